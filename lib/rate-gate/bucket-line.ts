import type { BucketName } from './bucket-name.ts';
import type { Ask, GateStore, HoldReason, Reply, Report } from './gate-store.ts';
import { WaitingLine } from './waiting-line.ts';

/** Without news from this line: other models of the key, or other processes, may have some. */
const NEWS_MS = 50;
const SHARED_LOOK_MS = 2_000;
/** What the other models of a key may end. */
const REASONS_OF_KEY: ReadonlySet<HoldReason> = new Set([
  'limit unknown',
  'failed requests',
  'blocked',
]);
/** So long a report to a shared store may wait for company. */
const REPORT_WAIT_MS = 10;
/** `setTimeout` turns a longer delay into 1 ms. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** A request that waits for its place in a window. */
export interface Waiter {
  /** By `performance.now()`: from then on waiting is in vain. */
  readonly deadline: number;
  /** Since when it waits, by `performance.now()`. */
  readonly since: number;
  /** Whether it has been told that it must wait. */
  isHeld: boolean;
  /** It may go: `seq` and `at` name its grant. */
  admit(seq: number, at: number): void;
  /** It would wait in vain. `opensMs`: milliseconds until somebody new could be let through. */
  refuse(opensMs: number | undefined, reason: HoldReason): void;
  /** It must wait: told once, when that is known. */
  hold(reason: HoldReason, ahead: number, expectedMs: number | undefined): void;
}

/** What the line knows of the time at which places come. */
interface Outlook {
  readonly opensAt: number | undefined;
  readonly perWindow: number;
  readonly spanMs: number;
}

/** The requests of one bucket that wait in this process, and their talk with the store. */
export class BucketLine {
  readonly #name: BucketName;
  readonly #store: GateStore;
  readonly #budgetWindowMs: number;
  readonly #onIdle: () => void;
  readonly #line = new WaitingLine<Waiter>();
  #reports: Report[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isAsking = false;
  #hasNews = false;
  #reply: Reply | undefined;
  #outlook: Outlook = { opensAt: undefined, perWindow: 0, spanMs: 0 };

  /** @param onIdle - called when nobody waits and nothing is to be told */
  constructor(name: BucketName, store: GateStore, budgetWindowMs: number, onIdle: () => void) {
    this.#name = name;
    this.#store = store;
    this.#budgetWindowMs = budgetWindowMs;
    this.#onIdle = onIdle;
  }

  get name(): BucketName {
    return this.#name;
  }

  get length(): number {
    return this.#line.length;
  }

  /** Since when the one waits that has waited longest; `undefined`: nobody waits. */
  get oldestSince(): number | undefined {
    let oldest: number | undefined;
    for (const { since } of this.#line) oldest = Math.min(oldest ?? since, since);
    return oldest;
  }

  /** @param hasReturned - it was let through before, and was refused */
  join(waiter: Waiter, hasReturned: boolean): void {
    const ahead = this.#line.ahead(hasReturned);
    const now = performance.now();
    const servedAt = this.#servedAt(ahead, now);
    // Where nothing is known to hold it up, only asking can tell: even without any patience.
    if (servedAt > now && servedAt > waiter.deadline) {
      waiter.refuse(this.opensMs(now), this.#reply?.reason ?? 'none');
      return;
    }
    this.#line.join(waiter, hasReturned);
    // Behind others who are held there is nothing to ask for; of those the store is being asked for,
    // nobody knows yet whether they are.
    if (ahead === 0 || this.#isAsking || this.#reply === undefined) this.#ask();
    else this.#tellHeld(waiter, ahead);
  }

  leave(waiter: Waiter): void {
    this.#line.leave(waiter);
    if (this.#line.length === 0) this.#rest();
  }

  /** Milliseconds until somebody new could be let through; `undefined`: at once, or not known. */
  opensMs(now = performance.now()): number | undefined {
    const servedAt = this.#servedAt(this.#line.length, now);
    return servedAt > now ? Math.ceil(servedAt - now) : undefined;
  }

  report(report: Report): void {
    this.#reports.push(report);
    if (this.#line.length > 0) this.#ask();
    else this.#timer ??= setTimeout(() => this.#wake(), REPORT_WAIT_MS);
  }

  #wake(): void {
    this.#timer = undefined;
    this.#ask();
  }

  #ask(): void {
    if (this.#isAsking) {
      this.#hasNews = true;
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const reports = this.#reports;
    this.#reports = [];
    const ask: Ask = {
      key: this.#name.key,
      bucket: this.#name.bucket,
      want: this.#line.length,
      reports,
      budgetWindowMs: this.#budgetWindowMs,
    };
    const reply = this.#store.step(ask);
    if (!(reply instanceof Promise)) {
      this.#take(reply, false);
      return;
    }
    this.#isAsking = true;
    void this.#takeLater(reply);
  }

  /** A shared store never rejects: what stands in for it answers then. */
  async #takeLater(reply: Promise<Reply>): Promise<void> {
    const told = await reply;
    this.#isAsking = false;
    this.#take(told, true);
  }

  #take(reply: Reply, isShared: boolean): void {
    for (let i = 0; i < reply.granted; i += 1) {
      const waiter = this.#line.shift();
      const seq = reply.firstSeq + i;
      if (waiter === undefined) this.#reports.push({ seq, at: reply.at, outcome: 'unsent' });
      else waiter.admit(seq, reply.at);
    }
    this.#reply = reply;
    this.#look(reply);
    if (this.#line.length === 0 && this.#reports.length === 0) {
      this.#rest();
    } else if (this.#hasNews || this.#line.length === 0) {
      this.#hasNews = false;
      this.#ask();
    } else {
      this.#sleep(reply, isShared);
    }
  }

  /** Whoever would wait in vain need not wait; whoever waits is told. */
  #look(reply: Reply): void {
    const now = performance.now();
    const { opensMs, spanMs } = reply;
    const before = this.#outlook;
    this.#outlook = {
      opensAt: opensMs === undefined ? undefined : now + opensMs,
      // At best: nobody knows how many of the peers have somebody who waits.
      perWindow: reply.perWindow,
      spanMs,
    };
    if (isWorse(this.#outlook, before) || now >= this.#line.earliestDeadline) {
      for (const waiter of this.#line.takeHopeless((ahead) => this.#servedAt(ahead, now))) {
        waiter.refuse(this.opensMs(now), reply.reason);
      }
    }
    const first = this.#line.first;
    // Who came while the store was asked is held by nothing yet.
    if (reply.reason !== 'none' && first !== undefined && !first.isHeld) this.#tellAll();
  }

  #tellAll(): void {
    let ahead = 0;
    for (const waiter of this.#line) {
      this.#tellHeld(waiter, ahead);
      ahead += 1;
    }
  }

  #tellHeld(waiter: Waiter, ahead: number): void {
    if (waiter.isHeld) return;
    waiter.isHeld = true;
    const now = performance.now();
    const servedAt = this.#servedAt(ahead, now);
    const expectedMs = servedAt > now ? Math.ceil(servedAt - now) : undefined;
    waiter.hold(this.#reply?.reason ?? 'none', ahead, expectedMs);
  }

  /** When somebody with so many ahead will be let through, at best; by `performance.now()`. */
  #servedAt(ahead: number, now: number): number {
    const { opensAt, perWindow, spanMs } = this.#outlook;
    if (opensAt === undefined || opensAt < now) return now;
    return perWindow === 0 ? opensAt : opensAt + Math.floor(ahead / perWindow) * spanMs;
  }

  #sleep(reply: Reply, isShared: boolean): void {
    let sleepMs = reply.askAgainMs;
    const isOthersTurn = isShared || REASONS_OF_KEY.has(reply.reason);
    if (isOthersTurn && reply.opensMs === undefined) sleepMs = Math.min(sleepMs, NEWS_MS);
    else if (isShared) sleepMs = Math.min(sleepMs, SHARED_LOOK_MS);
    const untilDeadline = this.#line.earliestDeadline - performance.now();
    sleepMs = Math.max(1, Math.ceil(Math.min(sleepMs, untilDeadline, LONGEST_TIMER_MS)));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#wake(), sleepMs);
  }

  #rest(): void {
    if (this.#isAsking || this.#reports.length > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#onIdle();
  }
}

/** Somebody who could have been served in time perhaps cannot any more. */
function isWorse(now: Outlook, before: Outlook): boolean {
  if (now.opensAt === undefined) return false;
  return (
    before.opensAt === undefined ||
    now.opensAt > before.opensAt + 100 ||
    now.perWindow !== before.perWindow ||
    now.spanMs > before.spanMs + 1_000
  );
}
