import type { IncomingHttpHeaders } from 'node:http';
import { single } from './headers.ts';
import type { Config } from './options.ts';

/** No exponential backoff grows beyond this. */
const LONGEST_BACKOFF_MS = 30_000;
/** A stamp that lies further ahead is taken for garbage. */
const FARTHEST_RESET_MS = 7 * 24 * 3_600_000;
/** `Date` is cut to whole seconds and has travelled: a smaller difference is no wrong clock. */
const CLOCK_TOLERANCE_MS = 2_000;
/** A reset is a whole second: the window may still be closed for so long behind it. */
const RESET_ROUNDING_MS = 1_000;

/** The answer that failed; `undefined` where there was none. */
export interface FailedAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** As much of its body as was read. */
  readonly text: string;
}

/** Clock (ms since 1970) and random source (0 to 1) are arguments, so that tests need neither. */
export interface Chance {
  readonly now: number;
  readonly random: number;
}

/** Why a request waits for its next attempt; or `status`, and the status. */
export const RETRY_REASONS = [
  'no answer',
  'blocked for failed requests',
  'retry-after',
  'error event',
  'overloaded',
  'rate limit',
] as const;

type RetryReason = (typeof RETRY_REASONS)[number] | `status ${number}`;

export interface Delay {
  readonly delayMs: number;
  /** For the log and the `retry` hook. */
  readonly reason: RetryReason;
  /** Whether the upstream said when to come back; otherwise the delay is a guess. */
  readonly told: boolean;
  /** Whether a window or a block ends then, for every request of its kind. */
  readonly isWindow: boolean;
}

type BackoffConfig = Pick<Config, 'baseRetryDelayMs' | 'rateLimitWaitMs'>;

/** How long to wait before attempt `attempt` + 1. */
export function delayAfter(
  answer: FailedAnswer | undefined,
  attempt: number,
  chance: Chance,
  config: BackoffConfig,
): Delay {
  const backoff = (reason: RetryReason): Delay => {
    // Growth stops long before it would become infinite, which times a base of 0 is no number.
    const growth = 2 ** Math.min(attempt - 1, 30);
    const ceilingMs = Math.min(LONGEST_BACKOFF_MS, config.baseRetryDelayMs * growth);
    const delayMs = Math.round(chance.random * ceilingMs);
    return { delayMs, reason, told: false, isWindow: false };
  };
  if (answer === undefined) return backoff('no answer');

  const now = upstreamNow(answer.headers, chance.now);
  if (answer.status === 429 && answer.text.includes('Too many failed attempts')) {
    const delayMs = config.rateLimitWaitMs;
    return { delayMs, reason: 'blocked for failed requests', told: true, isWindow: true };
  }
  const afterMs = retryAfterMs(answer.headers['retry-after'], now);
  if (afterMs !== undefined) {
    return { delayMs: afterMs, reason: 'retry-after', told: true, isWindow: false };
  }
  if (answer.status < 400) return backoff('error event');
  if (answer.status !== 429) return backoff(`status ${answer.status}`);

  const untilReset = exhaustedWindowMs(answer.headers, now);
  if (untilReset === undefined || untilReset < -RESET_ROUNDING_MS) return backoff('overloaded');
  const delayMs = untilReset > 0 ? untilReset : untilReset + RESET_ROUNDING_MS;
  return { delayMs: Math.ceil(delayMs), reason: 'rate limit', told: true, isWindow: true };
}

/** Our clock, or the upstream's where the two differ by more than `Date` can be wrong. */
export function upstreamNow(headers: IncomingHttpHeaders, now: number): number {
  const date = headers.date === undefined ? Number.NaN : parseDate(headers.date);
  return Math.abs(date - now) > CLOCK_TOLERANCE_MS ? date : now;
}

let lastDate = '';
let lastParsed = Number.NaN;

/** All answers of a second carry the same one. */
function parseDate(date: string): number {
  if (date !== lastDate) {
    lastDate = date;
    lastParsed = Date.parse(date);
  }
  return lastParsed;
}

/** `Retry-After` (RFC 9110 §10.2.3), seconds or a date, as milliseconds from `now`. */
export function retryAfterMs(value: string | undefined, now: number): number | undefined {
  if (value === undefined) return undefined;
  const afterMs = /^\s*\d+(\.\d+)?\s*$/.test(value)
    ? Number(value) * 1_000
    : Date.parse(value) - now;
  // "At once" is no time to come back at: backoff knows better.
  return afterMs > 0 && afterMs <= FARTHEST_RESET_MS ? Math.ceil(afterMs) : undefined;
}

/**
 * Until the window that refused the request resets; negative when its stamp has passed. Of
 * several windows with nothing left the latest counts; when both have something left, the refusal
 * was not theirs.
 */
function exhaustedWindowMs(headers: IncomingHttpHeaders, now: number): number | undefined {
  let latest: number | undefined;
  for (const kind of ['requests', 'tokens']) {
    const remaining = single(headers[`x-ratelimit-remaining-${kind}`]);
    const reset = resetMs(single(headers[`x-ratelimit-reset-${kind}`]), now);
    const isExhausted = remaining === undefined ? kind === 'requests' : Number(remaining) <= 0;
    if (isExhausted && reset !== undefined) latest = Math.max(latest ?? reset, reset);
  }
  return latest;
}

/**
 * `x-ratelimit-reset-*` as milliseconds from `now`: Unix seconds as Venice documents it; Unix
 * milliseconds and seconds from now have been seen, too.
 */
export function resetMs(value: string | undefined, now: number): number | undefined {
  if (value === undefined || !/^\s*\d+(\.\d+)?\s*$/.test(value)) return undefined;
  const number = Number(value);
  let fromNow: number;
  if (number >= 1e11) fromNow = number - now;
  else if (number >= 1e9) fromNow = number * 1_000 - now;
  else fromNow = number * 1_000;
  return fromNow <= FARTHEST_RESET_MS ? fromNow : undefined;
}
