import { DECREASE, SHORTEST_STEP_MS, FOUND_STEPS } from './constants.ts';

/**
 * A limit of which no header speaks: found out from refusals alone, by additive increase and
 * multiplicative decrease, and so is the length of its windows. A round lasts from the first
 * request that is served to the first one of the next window. Times are milliseconds; 0 stands for
 * what is not known.
 */
export interface FoundLimit {
  limit: number;
  startAt: number;
  used: number;
  served: number;
  /** How long a round took at most. */
  span: number;
  /** So long after its start this round was still refused. */
  low: number;
  /** Nothing more goes in this round: all is used, or a request was refused. */
  isShut: boolean;
  wasRefused: boolean;
  /** When to try whether the next round may begin. */
  opensAt: number;
}

export function newFoundLimit(): FoundLimit {
  return {
    limit: 0,
    startAt: 0,
    used: 0,
    served: 0,
    span: 0,
    low: 0,
    isShut: false,
    wasRefused: false,
    opensAt: 0,
  };
}

/** Ends the round when all is used, and begins the next one when it is time and nobody waited. */
export function advance(found: FoundLimit, now: number): void {
  if (found.isShut || found.limit === 0 || found.span === 0) return;
  const endsAt = found.startAt + found.span;
  if (found.used >= found.limit) {
    found.isShut = true;
    found.wasRefused = false;
    found.low = 0;
    found.opensAt = endsAt;
  } else if (now >= endsAt) {
    found.startAt = now;
    found.used = 0;
    found.served = 0;
  }
}

export function noteGrant(found: FoundLimit, now: number): void {
  if (found.startAt === 0) found.startAt = now;
  found.used += 1;
}

/** @param sentBehind - how many requests were sent after the one that was served */
export function noteServed(
  found: FoundLimit,
  isProbe: boolean,
  sentAt: number,
  sentBehind: number,
): void {
  if (!found.isShut || !isProbe) {
    found.served += 1;
    return;
  }
  if (!found.wasRefused) found.limit += 1;
  found.span = sentAt - found.startAt;
  found.startAt = sentAt;
  found.used = sentBehind + 1;
  found.served = 1;
  found.isShut = false;
  found.low = 0;
}

/**
 * @param sentBehind - how many requests were sent after the one that was refused
 * @param closedUntil - until then nothing goes anyway
 */
export function noteRefused(
  found: FoundLimit,
  isProbe: boolean,
  sentAt: number,
  sentBehind: number,
  closedUntil: number,
): void {
  if (!found.isShut) {
    // A refusal comes at once: those sent before it will be served, though they are not yet.
    const accepted = Math.max(found.served, found.used - sentBehind - 1);
    found.limit = Math.max(1, Math.floor(DECREASE * accepted));
    found.isShut = true;
    found.low = 0;
    found.opensAt = found.span === 0 ? closedUntil : found.startAt + found.span;
  } else if (isProbe) {
    found.low = Math.max(found.low, sentAt - found.startAt);
    const open = found.span > found.low ? found.span - found.low : found.low;
    const step = Math.max(SHORTEST_STEP_MS, open / FOUND_STEPS);
    found.opensAt = found.span === 0 ? closedUntil : Math.round(found.startAt + found.low + step);
  }
  found.wasRefused = true;
}
