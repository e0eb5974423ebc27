import type { IncomingHttpHeaders } from 'node:http';
import type { Dice, Range, VirtualTime } from './virtual-time.ts';

/** What a fixed window allows. */
export interface Allowance {
  readonly limit: number;
  readonly windowMs: number;
}

/** What goes on from `fromMs` to `untilMs` after the start. */
export type Trouble = { readonly fromMs: number; readonly untilMs: number } & (
  | { readonly kind: 'overload' | 'outage'; readonly share: number; readonly model?: string }
  | { readonly kind: 'lie'; readonly headers: Readonly<Record<string, string>> }
);

export interface VeniceSettings {
  readonly requests: Allowance;
  /** Models whose allowance is another one. */
  readonly models?: Readonly<Record<string, Allowance>>;
  readonly tokens?: Allowance & { readonly perRequest: Range };
  /** From `atMs` after the start on; a new length counts from the next window on. */
  readonly changes?: readonly (Allowance & { readonly atMs: number })[];
  readonly isClockAligned?: boolean;
  readonly stamps?: 'floor' | 'ceil' | 'round' | 'milliseconds' | 'relative';
  readonly hasHeaders?: boolean;
  readonly clockOffsetMs?: number;
  readonly answerMs?: Range;
  readonly refusalMs?: Range;
  /** So many failures within 30 s are forgiven. */
  readonly budget?: number;
  readonly troubles?: readonly Trouble[];
}

export interface SimulatedAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** Until its head leaves. */
  readonly afterMs: number;
}

/** One window, and what arrived in it. */
export interface WindowRecord {
  readonly key: string;
  readonly model: string;
  readonly startedAt: number;
  readonly endsAt: number;
  limit: number;
  used: number;
  refused: number;
}

export const BUDGET_WINDOW_MS = 30_000;

const NO_WINDOW = { startedAt: -Infinity, endsAt: -Infinity, limit: 0, used: 0, refused: 0 };

/** What of Venice the gate has to do with, without sockets and in virtual time. */
export class SimulatedVenice {
  readonly windows: WindowRecord[] = [];
  /** How often a key was blocked. */
  blocks = 0;
  calls = 0;
  readonly #settings: VeniceSettings;
  readonly #time: VirtualTime;
  readonly #dice: Dice;
  readonly #open = new Map<string, WindowRecord>();
  readonly #tokens = new Map<string, WindowRecord>();
  readonly #failures = new Map<string, { times: number[]; isBlocked: boolean }>();

  constructor(settings: VeniceSettings, time: VirtualTime, dice: Dice) {
    this.#settings = settings;
    this.#time = time;
    this.#dice = dice;
  }

  /** A request arrives. */
  call(key: string, model: string): SimulatedAnswer {
    this.calls += 1;
    const answer = this.#answer(key, model);
    if (answer.status >= 400) this.#fail(key);
    return answer;
  }

  /** As after many failures. */
  block(key: string): void {
    this.#failures.set(key, { times: [this.#time.now], isBlocked: true });
  }

  /** The windows of a bucket, oldest first. */
  windowsOf(key: string, model: string): readonly WindowRecord[] {
    return this.windows.filter((each) => each.key === key && each.model === model);
  }

  #answer(key: string, model: string): SimulatedAnswer {
    const { answerMs = [200, 2_000], refusalMs = [2, 20] } = this.#settings;
    const quickMs = this.#dice.within(refusalMs);
    if (this.#isBlocked(key)) {
      const text = `Too many failed attempts (> ${this.#settings.budget ?? 50}) resulting in …`;
      return { status: 429, headers: this.#date(), text, afterMs: quickMs };
    }
    const window = this.#windowOf(this.#open, key, model, this.#allowance(model));
    const { tokens } = this.#settings;
    const spent = tokens && this.#windowOf(this.#tokens, key, model, tokens);
    const answer = (status: number, text: string, afterMs: number): SimulatedAnswer => ({
      status,
      headers: this.#headers(window, spent, afterMs),
      text,
      afterMs,
    });
    if (window.used >= window.limit || (spent !== undefined && spent.used >= spent.limit)) {
      window.refused += 1;
      return answer(429, 'Rate limit exceeded', quickMs);
    }
    const trouble = this.#trouble(model);
    if (trouble !== undefined) {
      const isOverload = trouble === 'overload';
      return answer(isOverload ? 429 : 503, 'The model is currently overloaded', quickMs);
    }
    window.used += 1;
    const slowMs = this.#dice.within(answerMs);
    if (tokens !== undefined) {
      const amount = Math.round(this.#dice.within(tokens.perRequest));
      this.#time.after(slowMs, () => {
        this.#windowOf(this.#tokens, key, model, tokens).used += amount;
      });
    }
    return answer(200, '', slowMs);
  }

  #allowance(model: string): Allowance {
    const { changes = [], models, requests } = this.#settings;
    const elapsedMs = this.#time.now - this.#time.startedAt;
    const change = changes.findLast(({ atMs }) => atMs <= elapsedMs);
    return change ?? models?.[model] ?? requests;
  }

  #trouble(model: string): 'overload' | 'outage' | undefined {
    const { troubles = [] } = this.#settings;
    const elapsedMs = this.#time.now - this.#time.startedAt;
    for (const each of troubles) {
      if (each.kind === 'lie' || elapsedMs < each.fromMs || elapsedMs >= each.untilMs) continue;
      if (each.model !== undefined && each.model !== model) continue;
      if (this.#dice.next() < each.share) return each.kind;
    }
    return undefined;
  }

  #windowOf(
    open: Map<string, WindowRecord>,
    key: string,
    model: string,
    { limit, windowMs }: Allowance,
  ): WindowRecord {
    const { now } = this.#time;
    const id = `${key} ${model}`;
    let window = open.get(id) ?? { key, model, ...NO_WINDOW };
    if (now >= window.endsAt) {
      const startedAt = this.#settings.isClockAligned === true ? now - (now % windowMs) : now;
      window = { key, model, startedAt, endsAt: startedAt + windowMs, limit, used: 0, refused: 0 };
      open.set(id, window);
      if (open === this.#open) this.windows.push(window);
    }
    window.limit = limit;
    return window;
  }

  #isBlocked(key: string): boolean {
    const known = this.#failures.get(key);
    if (known?.isBlocked !== true) return false;
    const silentMs = this.#time.now - (known.times.at(-1) ?? 0);
    if (silentMs >= BUDGET_WINDOW_MS) this.#failures.delete(key);
    return silentMs < BUDGET_WINDOW_MS;
  }

  #fail(key: string): void {
    const { now } = this.#time;
    const known = this.#failures.get(key) ?? { times: [], isBlocked: false };
    known.times = known.times.filter((at) => now - at < BUDGET_WINDOW_MS);
    known.times.push(now);
    if (!known.isBlocked && known.times.length > (this.#settings.budget ?? 50)) {
      known.isBlocked = true;
      this.blocks += 1;
    }
    this.#failures.set(key, known);
  }

  #date(): IncomingHttpHeaders {
    const { clockOffsetMs = 0 } = this.#settings;
    return { date: new Date(this.#time.now + clockOffsetMs).toUTCString() };
  }

  /** As they stand when the request arrives; what counts from now on, from when they leave. */
  #headers(
    window: WindowRecord,
    tokens: WindowRecord | undefined,
    afterMs: number,
  ): IncomingHttpHeaders {
    const { hasHeaders = true, troubles = [], clockOffsetMs = 0 } = this.#settings;
    const { now, startedAt } = this.#time;
    const date = new Date(now + afterMs + clockOffsetMs).toUTCString();
    if (!hasHeaders) return { date };
    const headers: Record<string, string> = {
      date,
      'x-ratelimit-limit-requests': String(window.limit),
      'x-ratelimit-remaining-requests': String(Math.max(0, window.limit - window.used)),
      'x-ratelimit-reset-requests': this.#stamp(window.endsAt, afterMs),
    };
    if (tokens !== undefined) {
      const seconds = Math.ceil((tokens.endsAt - now - afterMs) / 1_000);
      headers['x-ratelimit-limit-tokens'] = String(tokens.limit);
      headers['x-ratelimit-remaining-tokens'] = String(Math.max(0, tokens.limit - tokens.used));
      headers['x-ratelimit-reset-tokens'] = String(Math.max(0, seconds));
    }
    const elapsedMs = now - startedAt;
    for (const each of troubles) {
      const isOn = elapsedMs >= each.fromMs && elapsedMs < each.untilMs;
      if (isOn && each.kind === 'lie') Object.assign(headers, each.headers);
    }
    return headers;
  }

  #stamp(endsAt: number, afterMs: number): string {
    const { stamps = 'ceil', clockOffsetMs = 0 } = this.#settings;
    const stamp = endsAt + clockOffsetMs;
    if (stamps === 'milliseconds') return String(Math.round(stamp));
    if (stamps === 'relative') {
      const seconds = Math.ceil((endsAt - this.#time.now - afterMs) / 1_000);
      return String(Math.max(0, seconds));
    }
    return String(Math[stamps](stamp / 1_000));
  }
}
