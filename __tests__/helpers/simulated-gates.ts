import { delayAfter } from '../../lib/backoff.ts';
import type { Ask, Reply, Report } from '../../lib/rate-gate/gate-store.ts';
import { newBucketState, newKeyState, step } from '../../lib/rate-gate/policy.ts';
import type { BucketState, KeyState } from '../../lib/rate-gate/policy.ts';
import { readAnswer, readRefusal } from '../../lib/rate-gate/read-answer.ts';
import { WaitingLine } from '../../lib/rate-gate/waiting-line.ts';
import { BUDGET_WINDOW_MS } from './simulated-venice.ts';
import type { SimulatedVenice } from './simulated-venice.ts';
import type { Dice, Range, VirtualTime } from './virtual-time.ts';

const CONFIG = { baseRetryDelayMs: 1_000, rateLimitWaitMs: BUDGET_WINDOW_MS };
/** As in `bucket-line.ts`. */
const SHARED_NEWS_MS = 50;
const SHARED_LOOK_MS = 2_000;
const REPORT_WAIT_MS = 10;

export interface GateSettings {
  /** How many processes. */
  readonly count: number;
  /** One view of the windows for all of them, or one for each. */
  readonly isShared: boolean;
  /** What a process that is alone is told of the others. */
  readonly peers: number;
  /** To the shared store, or back. */
  readonly storeMs: Range;
  /** To the upstream, or back. */
  readonly networkMs: Range;
}

/** One request of a client. */
export interface SimulatedRequest {
  readonly key: string;
  readonly model: string;
  readonly gate: number;
  readonly arrivedAt: number;
  readonly deadline: number;
  attempts: number;
  /** When it was let through for the first time; 0: not yet. */
  admittedAt: number;
  /** When its answer came; 0: not yet. */
  answeredAt: number;
  /** It waited for longer than it would. */
  hasLeft: boolean;
}

interface Buckets {
  readonly state: KeyState;
  readonly buckets: Map<string, BucketState>;
}

/** What a store keeps: one for all gates, or one for each. */
class SimulatedStore {
  readonly #keys = new Map<string, Buckets>();

  step(ask: Ask, time: VirtualTime, peers: number): Reply {
    // As both stores do: their clocks tell whole milliseconds.
    const now = Math.round(time.now);
    const key = this.#keys.get(ask.key) ?? { state: newKeyState(), buckets: new Map() };
    this.#keys.set(ask.key, key);
    const bucket = key.buckets.get(ask.bucket) ?? newBucketState(now);
    key.buckets.set(ask.bucket, bucket);
    return step(key.state, bucket, ask, { now, peers });
  }
}

/** The processes that stand in front of the upstream: each has its lines, as `bucket-line.ts`. */
export class SimulatedGates {
  readonly venice: SimulatedVenice;
  readonly time: VirtualTime;
  readonly dice: Dice;
  readonly settings: GateSettings;
  /** In the order in which they were let through for the first time. */
  readonly admitted: SimulatedRequest[] = [];
  answered = 0;
  left = 0;
  /** Answers by what they were. */
  readonly refusals = { window: 0, overload: 0, block: 0, failure: 0 };
  readonly #lines = new Map<string, SimulatedLine>();
  readonly #stores: readonly SimulatedStore[];

  constructor(settings: GateSettings, venice: SimulatedVenice, time: VirtualTime, dice: Dice) {
    this.settings = settings;
    this.venice = venice;
    this.time = time;
    this.dice = dice;
    const stores = settings.isShared ? 1 : settings.count;
    this.#stores = Array.from({ length: stores }, () => new SimulatedStore());
  }

  arrive(request: SimulatedRequest): void {
    this.#line(request).join(request);
  }

  /** How many wait now. */
  get waiting(): number {
    let waiting = 0;
    for (const line of this.#lines.values()) waiting += line.length;
    return waiting;
  }

  send(request: SimulatedRequest, seq: number, at: number): void {
    const { time, dice, venice, settings } = this;
    request.attempts += 1;
    if (request.admittedAt === 0) {
      request.admittedAt = time.now;
      this.admitted.push(request);
    }
    time.after(dice.within(settings.networkMs), () => {
      const answer = venice.call(request.key, request.model);
      time.after(answer.afterMs + dice.within(settings.networkMs), () => {
        this.#hear(request, { seq, at }, answer);
      });
    });
  }

  #hear(
    request: SimulatedRequest,
    grant: Pick<Report, 'seq' | 'at'>,
    answer: ReturnType<SimulatedVenice['call']>,
  ): void {
    const { time, dice, refusals } = this;
    const { status, headers, text } = answer;
    const line = this.#line(request);
    if (status < 400) {
      line.report({ ...grant, ...readAnswer(status, headers, time.now) });
      request.answeredAt = time.now;
      this.answered += 1;
      return;
    }
    const chance = { now: time.now, random: dice.next() };
    const delay = delayAfter(answer, request.attempts, chance, CONFIG);
    if (status === 429) {
      const backoff = { delayMs: delay.delayMs, told: delay.told, attempt: request.attempts };
      const read = readRefusal(headers, text, time.now, backoff);
      if (read.outcome === 'blocked') refusals.block += 1;
      else if (text.includes('overloaded')) refusals.overload += 1;
      else refusals.window += 1;
      line.report({ ...grant, ...read });
    } else {
      refusals.failure += 1;
      line.report({ ...grant, ...readAnswer(status, headers, time.now) });
    }
    if (delay.isWindow) line.join(request);
    else time.after(delay.delayMs, () => line.join(request));
  }

  #line({ gate, key, model }: SimulatedRequest): SimulatedLine {
    const id = `${gate} ${key} ${model}`;
    let line = this.#lines.get(id);
    if (line === undefined) {
      const store = this.#stores[this.settings.isShared ? 0 : gate] ?? new SimulatedStore();
      line = new SimulatedLine(this, store, { key, bucket: model });
      this.#lines.set(id, line);
    }
    return line;
  }
}

/** The requests of one bucket that wait in one process. */
class SimulatedLine {
  readonly #gates: SimulatedGates;
  readonly #store: SimulatedStore;
  readonly #name: Pick<Ask, 'key' | 'bucket'>;
  readonly #line = new WaitingLine<SimulatedRequest>();
  #reports: Report[] = [];
  #isAsking = false;
  #hasNews = false;
  #hasAsked = false;
  /** Of the timer that counts: any other has been cleared. */
  #timer = 0;
  #timerIsSet = false;

  constructor(gates: SimulatedGates, store: SimulatedStore, name: Pick<Ask, 'key' | 'bucket'>) {
    this.#gates = gates;
    this.#store = store;
    this.#name = name;
  }

  get length(): number {
    return this.#line.length;
  }

  join(request: SimulatedRequest): void {
    const { time } = this.#gates;
    const hasReturned = request.attempts > 0;
    const ahead = this.#line.ahead(hasReturned);
    this.#line.join(request, hasReturned);
    if (request.deadline < Infinity) {
      const { attempts } = request;
      time.after(request.deadline - time.now, () => this.#giveUp(request, attempts));
    }
    if (ahead === 0 || !this.#hasAsked) this.#ask();
  }

  report(report: Report): void {
    this.#reports.push(report);
    if (this.#line.length > 0 || !this.#gates.settings.isShared) this.#ask();
    else if (!this.#timerIsSet) this.#sleep(REPORT_WAIT_MS);
  }

  #giveUp(request: SimulatedRequest, attempts: number): void {
    if (request.attempts !== attempts || request.hasLeft) return;
    request.hasLeft = true;
    this.#gates.left += 1;
    this.#line.leave(request);
    if (this.#line.length === 0 && this.#reports.length === 0) this.#clear();
  }

  #ask(): void {
    if (this.#isAsking) {
      this.#hasNews = true;
      return;
    }
    this.#clear();
    const { settings, time, dice } = this.#gates;
    const reports = this.#reports;
    this.#reports = [];
    const ask = {
      ...this.#name,
      want: this.#line.length,
      reports,
      budgetWindowMs: BUDGET_WINDOW_MS,
    };
    if (!settings.isShared) {
      this.#take(this.#store.step(ask, time, settings.peers));
      return;
    }
    this.#isAsking = true;
    time.after(dice.within(settings.storeMs), () => {
      const reply = this.#store.step(ask, time, 1);
      time.after(dice.within(settings.storeMs), () => {
        this.#isAsking = false;
        this.#take(reply);
      });
    });
  }

  #take(reply: Reply): void {
    this.#hasAsked = true;
    for (let i = 0; i < reply.granted; i += 1) {
      const request = this.#line.shift();
      const seq = reply.firstSeq + i;
      if (request === undefined) this.#reports.push({ seq, at: reply.at, outcome: 'unsent' });
      else this.#gates.send(request, seq, reply.at);
    }
    if (this.#line.length === 0 && this.#reports.length === 0) {
      this.#hasNews = false;
      this.#clear();
    } else if (this.#hasNews || this.#line.length === 0) {
      this.#hasNews = false;
      this.#ask();
    } else {
      const shared = reply.opensMs === undefined ? SHARED_NEWS_MS : SHARED_LOOK_MS;
      const { isShared } = this.#gates.settings;
      this.#sleep(isShared ? Math.min(shared, reply.askAgainMs) : reply.askAgainMs);
    }
  }

  #sleep(delayMs: number): void {
    this.#clear();
    this.#timerIsSet = true;
    const timer = this.#timer;
    this.#gates.time.after(Math.max(1, Math.ceil(delayMs)), () => {
      if (timer === this.#timer && this.#timerIsSet) this.#ask();
    });
  }

  #clear(): void {
    this.#timer += 1;
    this.#timerIsSet = false;
  }
}
