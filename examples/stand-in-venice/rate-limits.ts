import type { Settings } from './settings.ts';
import type { RateLimit } from './types.ts';

interface OpenWindow {
  startedAt: number;
  used: number;
}

interface WindowState {
  limit: number;
  remaining: number;
  resetsAt: number;
}

/** The windows of one unit; one that has passed is replaced when it is next asked for. */
class FixedWindows {
  readonly #open = new Map<string, OpenWindow>();

  state(id: string, rate: RateLimit, now: number): WindowState {
    const { startedAt, used } = this.#at(id, rate, now) ?? { startedAt: now, used: 0 };
    return {
      limit: rate.limit,
      remaining: Math.max(0, rate.limit - used),
      resetsAt: startedAt + rate.windowMs,
    };
  }

  use(id: string, rate: RateLimit, now: number, amount: number): void {
    const open = this.#at(id, rate, now) ?? { startedAt: now, used: 0 };
    open.used += amount;
    this.#open.set(id, open);
  }

  #at(id: string, rate: RateLimit, now: number): OpenWindow | undefined {
    const open = this.#open.get(id);
    return open === undefined || now >= open.startedAt + rate.windowMs ? undefined : open;
  }
}

interface Failures {
  times: number[];
  tripped: boolean;
}

/** What Venice allows to a key: requests and tokens per model, and failed calls in all. */
export class RateLimits {
  readonly #settings: Settings;
  readonly #requests = new FixedWindows();
  readonly #tokens = new FixedWindows();
  readonly #failures = new Map<string, Failures>();

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** Takes one request, or says which window has nothing left. */
  take(key: string, model: string): 'requests' | 'tokens' | undefined {
    const { requests, tokens } = this.#settings;
    const id = bucketId(key, model);
    const now = Date.now();
    if (this.#requests.state(id, requests, now).remaining === 0) return 'requests';
    if (tokens !== false && this.#tokens.state(id, tokens, now).remaining === 0) return 'tokens';
    this.#requests.use(id, requests, now, 1);
    return undefined;
  }

  spend(key: string, model: string, amount: number): void {
    const { tokens } = this.#settings;
    if (tokens !== false) this.#tokens.use(bucketId(key, model), tokens, Date.now(), amount);
  }

  /** The headers that describe both windows, `over` what they say. */
  headers(key: string, model: string, over: RateOverrides = {}): Record<string, string> {
    const { requests, tokens } = this.#settings;
    const id = bucketId(key, model);
    const now = Date.now();
    const written = this.#written('requests', {
      ...this.#requests.state(id, requests, now),
      ...over.requests,
    });
    if (tokens !== false) {
      const state = { ...this.#tokens.state(id, tokens, now), ...over.tokens };
      Object.assign(written, this.#written('tokens', state));
    }
    return { ...written, 'x-ratelimit-type': 'api_key' };
  }

  fail(key: string): void {
    const { abuse } = this.#settings;
    if (abuse === false) return;
    const now = Date.now();
    const known = this.#failures.get(key) ?? { times: [], tripped: false };
    const times = known.times.filter((at) => now - at < abuse.windowMs);
    times.push(now);
    const tripped = known.tripped || times.length > abuse.failures;
    this.#failures.set(key, { times: tripped ? [now] : times, tripped });
  }

  block(key: string): void {
    this.#failures.set(key, { times: [Date.now()], tripped: true });
  }

  blocked(key: string): boolean {
    const { abuse } = this.#settings;
    const known = this.#failures.get(key);
    if (abuse === false || known === undefined || !known.tripped) return false;
    const silentMs = Date.now() - (known.times.at(-1) ?? 0);
    if (silentMs >= abuse.windowMs) this.#failures.delete(key);
    return silentMs < abuse.windowMs;
  }

  #written(unit: 'requests' | 'tokens', state: WindowState): Record<string, string> {
    const { resetFormat, resetRounding, clockOffsetMs } = this.#settings;
    const stamp = state.resetsAt + clockOffsetMs;
    const wholeSeconds = (ms: number): string => String(Math[resetRounding](ms / 1000));
    let reset = wholeSeconds(state.resetsAt - Date.now());
    if (unit === 'requests' && resetFormat === 'seconds') reset = wholeSeconds(stamp);
    if (unit === 'requests' && resetFormat === 'milliseconds') reset = String(stamp);
    return {
      [`x-ratelimit-limit-${unit}`]: String(state.limit),
      [`x-ratelimit-remaining-${unit}`]: String(state.remaining),
      [`x-ratelimit-reset-${unit}`]: reset,
    };
  }
}

/** What a scripted refusal claims of a window, whatever its true state. */
export interface RateOverrides {
  requests?: Partial<WindowState>;
  tokens?: Partial<WindowState>;
}

function bucketId(key: string, model: string): string {
  const [bare = ''] = model.split(':', 1);
  return `${key}\n${bare}`;
}
