import type { IncomingHttpHeaders } from 'node:http';
import { resetMs, retryAfterMs, upstreamNow } from '../backoff.ts';
import { single } from '../headers.ts';
import type { Report, ToldWindow } from './gate-store.ts';

/** What an answer says to the gate; the grant that it belongs to is added later. */
export type AnswerReport = Omit<Report, 'seq' | 'at'>;

/** Beside whom a refused request waits by itself. */
export interface OwnBackoff {
  readonly delayMs: number;
  /** Whether the upstream named this time; otherwise it is a guess. */
  readonly told: boolean;
  readonly attempt: number;
}

/** Any answer but a 429: its head is enough. */
export function readAnswer(
  status: number,
  headers: IncomingHttpHeaders,
  now: number,
): AnswerReport {
  return { outcome: status < 400 ? 'served' : 'failed', ...toldWindows(headers, now) };
}

/**
 * A 429: which of the four kinds it is (docs.venice.ai, rate limiting).
 *
 * @param text - the beginning of its body
 * @param backoff - how long the request would wait if it were alone
 */
export function readRefusal(
  headers: IncomingHttpHeaders,
  text: string,
  now: number,
  backoff: OwnBackoff,
): AnswerReport {
  if (text.includes('Too many failed attempts')) {
    return { outcome: 'blocked', budget: budgetIn(text) };
  }
  const { requests, tokens } = toldWindows(headers, now);
  if (requests?.remaining === 0 || tokens?.remaining === 0) {
    const afterMs = retryAfterMs(headers['retry-after'], upstreamNow(headers, now));
    return {
      outcome: 'refused',
      requests: requests && withReset(requests, afterMs),
      tokens: tokens && withReset(tokens, afterMs),
    };
  }
  return {
    outcome: 'refused',
    requests,
    tokens,
    backoffMs: backoff.delayMs,
    attempt: backoff.told ? undefined : backoff.attempt,
  };
}

/** `Retry-After` counts more than the reset of the window beside it. */
function withReset(told: ToldWindow, afterMs: number | undefined): ToldWindow {
  return told.remaining > 0 || afterMs === undefined ? told : { ...told, resetMs: afterMs };
}

/** The number of the budget for failures; the one for unsupported features has its own. */
function budgetIn(text: string): number | undefined {
  const match = /feature/i.test(text) ? null : /\(>\s*(\d{1,6})\)/.exec(text);
  return match === null ? undefined : Number(match[1]);
}

function toldWindows(
  headers: IncomingHttpHeaders,
  now: number,
): Pick<Report, 'requests' | 'tokens'> {
  const upstream = upstreamNow(headers, now);
  return {
    requests: toldWindow(headers, 'requests', upstream),
    tokens: toldWindow(headers, 'tokens', upstream),
  };
}

function toldWindow(
  headers: IncomingHttpHeaders,
  unit: 'requests' | 'tokens',
  now: number,
): ToldWindow | undefined {
  const remaining = single(headers[`x-ratelimit-remaining-${unit}`]);
  if (remaining === undefined) return undefined;
  return {
    limit: count(single(headers[`x-ratelimit-limit-${unit}`])),
    remaining: count(remaining),
    resetMs: resetMs(single(headers[`x-ratelimit-reset-${unit}`]), now),
  };
}

/** What is no number, or a negative one, is 0. */
function count(text: string | undefined): number {
  const value = text === undefined || text.trim() === '' ? Number.NaN : Number(text);
  return Number.isFinite(value) && value > 0 ? Math.floor(value) : 0;
}
