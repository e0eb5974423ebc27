import {
  CLOCK_ERROR_MS,
  FARTHEST_RESET_MS,
  HIGHEST_LIMIT,
  JITTER_MS,
  SAME_WINDOW_MS,
  STAMP_ERROR_MS,
  WORTH_TRYING_MS,
} from './constants.ts';
import type { ToldWindow } from './gate-store.ts';

/**
 * One fixed window of an upstream, as far as its answers have told. Times are milliseconds of the
 * store's clock; 0 stands for what is not known.
 */
export interface Window {
  limit: number;
  /** What is used up, requests in flight included. */
  used: number;
  /** Since when this window is taken to be open. */
  openedAt: number;
  /** The end as the upstream stamped it. */
  resetAt: number;
  /** When the request left that opened this window; 0 where it was not ours. */
  startAt: number;
  /** A whole number of seconds that a window is tried, or known, to last. */
  span: number;
  isSpanProven: boolean;
  /** To be earlier than the stamp has failed: not again. */
  isStampEarliest: boolean;
  /** How many requests were granted when its end came near; 0: it has not yet. */
  edgeSeq: number;
  /** So much later than thought the last window really ended. */
  late: number;
  /** The longest time to a reset that was told: about the length of a window. */
  length: number;
  /** What one request uses: 1, or its tokens on average. */
  cost: number;
  /** What was used when the newest answer was given, and the number of its request. */
  toldUsed: number;
  toldSeq: number;
}

export function newWindow(): Window {
  return {
    limit: 0,
    used: 0,
    openedAt: 0,
    resetAt: 0,
    startAt: 0,
    span: 0,
    isSpanProven: false,
    isStampEarliest: false,
    edgeSeq: 0,
    late: 0,
    length: 0,
    cost: 1,
    toldUsed: 0,
    toldSeq: 0,
  };
}

/** Which request an answer belongs to, and how many were granted so far. */
export interface Granted {
  /** 0 where nobody knows. */
  readonly seq: number;
  readonly at: number;
  readonly lastSeq: number;
  /** Whether nothing was granted just before it. */
  readonly isCalm: boolean;
  /** How many processes grant beside this one without telling. */
  readonly peers: number;
}

/**
 * Learns from an answer's headers. Requests that leave together arrive in any order, so an answer
 * cannot tell how many of the others it has counted: within a window it may only show that more is
 * used than was granted. That less is used is believed where nothing left just before.
 */
export function learn(
  window: Window,
  told: ToldWindow,
  granted: Granted,
  answeredAt: number,
  countsRequests: boolean,
): void {
  const left = sane(told.remaining, HIGHEST_LIMIT);
  const limit = sane(told.limit, HIGHEST_LIMIT) || Math.max(window.limit, left, 1);
  const remaining = Math.min(limit, left);
  const used = limit - remaining;
  const stamp = stampOf(told, answeredAt);
  const { openedAt, resetAt } = window;
  const isSame = isSameEnd(window, stamp);
  if (stamp === 0 && granted.seq > 0) learnFromPast(window, told, granted, answeredAt);
  // It reached an earlier window, and says little of this one.
  const isEarlier = stamp > 0 && stamp <= resetAt - SAME_WINDOW_MS;
  if (
    (granted.at < openedAt && stamp <= openedAt + STAMP_ERROR_MS) ||
    (isEarlier && stamp <= answeredAt + STAMP_ERROR_MS)
  ) {
    if (granted.seq < window.toldSeq) return;
    window.limit = limit;
    window.toldSeq = granted.seq;
    return;
  }
  const isFirst = countsRequests && granted.seq > 0 && remaining === limit - 1;
  if (granted.seq < window.toldSeq) {
    if (!isSame || limit !== window.limit) return;
    window.used = Math.max(window.used, used);
    if (isFirst) window.startAt = granted.at;
    return;
  }

  if (countsRequests) {
    // Sent before the end that is known: its window is this one, whatever its stamp.
    const isWithin = granted.at < resetAt - STAMP_ERROR_MS;
    const isCounted = isSame || isEarlier || isWithin || (resetAt === 0 && openedAt > 0);
    const since = (granted.lastSeq - window.toldSeq) * granted.peers;
    const counted = isCounted ? window.used : Math.min(window.used, since);
    const atMost = used + (granted.lastSeq - granted.seq) * granted.peers;
    window.used = Math.max(used, granted.isCalm ? Math.min(counted, atMost) : counted);
    if (isFirst) window.startAt = granted.at;
    else if (!isSame) window.startAt = 0;
  } else {
    if (isSame && granted.seq > window.toldSeq) {
      const sample = (used - window.toldUsed) / (granted.seq - window.toldSeq);
      if (sample > 0) window.cost += 0.3 * (sample - window.cost);
    }
    window.used = used + (granted.lastSeq - granted.seq) * window.cost * granted.peers;
  }
  window.limit = limit;
  window.toldUsed = used;
  window.toldSeq = granted.seq;
  if (stamp === 0) return;
  const resetMs = stamp - granted.at;
  window.length = Math.max(resetMs, isSame ? window.length : 0.8 * window.length);
  window.resetAt = stamp;
  if (!isSame) window.edgeSeq = 0;
  forgetWrongSpan(window);
}

/** The answer took longer than its window: when another one is there, only the length can tell. */
function learnFromPast(
  window: Window,
  { resetMs }: ToldWindow,
  { at }: Granted,
  answeredAt: number,
): void {
  const length = resetMs === undefined ? 0 : answeredAt + resetMs - at;
  if (length <= 0) return;
  window.length = Math.max(window.length, length);
  if (window.openedAt === 0 && window.resetAt === 0) window.openedAt = answeredAt;
}

/** Negative, huge or no numbers are taken for none. */
function sane(value: number, highest: number): number {
  return value > 0 && value <= highest ? Math.floor(value) : 0;
}

/** The end that an answer tells; 0 where it is none to rely on. */
export function stampOf({ resetMs }: ToldWindow, answeredAt: number): number {
  const isSane = resetMs !== undefined && resetMs > -CLOCK_ERROR_MS && resetMs <= FARTHEST_RESET_MS;
  return isSane ? answeredAt + resetMs : 0;
}

/** Whether a stamp names the end that is known already. */
export function isSameEnd({ resetAt }: Window, stamp: number): boolean {
  return stamp > 0 && resetAt > 0 && Math.abs(stamp - resetAt) < SAME_WINDOW_MS;
}

/** The windows have become longer or shorter. */
function forgetWrongSpan(window: Window): void {
  if (window.startAt === 0 || window.span === 0) return;
  const told = window.resetAt - window.startAt;
  if (Math.abs(told - window.span) <= STAMP_ERROR_MS + JITTER_MS) return;
  window.span = 0;
  window.isSpanProven = false;
  window.isStampEarliest = false;
}

export function isUsedUp(window: Window, peers: number): boolean {
  if (window.limit === 0) return false;
  return window.used + Math.min(window.cost * peers, window.limit) > window.limit;
}

/** The tokens of a request are not known before: it may go while there are any. */
export function hasNothingLeft(window: Window): boolean {
  return window.limit > 0 && window.used >= window.limit;
}

/** When to try whether the next window is there; 0 where nothing tells. */
export function opensAt(window: Window): number {
  const { startAt, span, isSpanProven, resetAt, late, openedAt, length } = window;
  if (resetAt === 0) return openedAt > 0 && length > 0 ? openedAt + length + STAMP_ERROR_MS : 0;
  if (startAt === 0 || span === 0) return resetAt + late;
  const errorMs = isSpanProven ? CLOCK_ERROR_MS : STAMP_ERROR_MS;
  return Math.min(startAt + span + JITTER_MS + late, resetAt + errorMs);
}

/** When the window is over whatever is wrong with its stamp; 0 where nothing tells. */
export function isOverAt({ resetAt }: Window): number {
  return resetAt === 0 ? 0 : resetAt + CLOCK_ERROR_MS;
}

/** The next window is there; `used` of it is known to be used. */
export function turn(window: Window, used: number, now: number): void {
  window.used = used;
  window.openedAt = now;
  window.resetAt = 0;
  window.startAt = 0;
  window.edgeSeq = 0;
}

/**
 * The request that was sent to try it found the next window open. If it waited for the stamp, the
 * next one may be earlier: windows last whole seconds, and the stamp was perhaps rounded up.
 */
export function probeSucceeded(window: Window): void {
  const { startAt, span, resetAt } = window;
  window.late = Math.floor(window.late * 0.9);
  if (startAt === 0 || resetAt === 0) return;
  if (span > 0) {
    window.isSpanProven = true;
    return;
  }
  const shorter = Math.floor((resetAt - startAt) / 1_000) * 1_000;
  const gain = resetAt - (startAt + shorter + JITTER_MS);
  if (!window.isStampEarliest && shorter > 0 && gain > WORTH_TRYING_MS) window.span = shorter;
}

/**
 * It was refused, so the window goes on: for as long as is learned here, a second at most unless
 * the clocks differ.
 *
 * @param stamp - the end that the refusal told; another window's means that this one is over
 */
export function probeFailed(window: Window, sentAt: number, stamp: number): void {
  const { startAt, span, resetAt } = window;
  if (stamp > 0 && Math.abs(stamp - resetAt) >= SAME_WINDOW_MS) return;
  if (startAt > 0 && span > 0 && window.isSpanProven) {
    window.late = Math.min(STAMP_ERROR_MS, window.late + 2 * JITTER_MS);
    return;
  }
  const wasTrial = startAt > 0 && span > 0;
  window.span = 0;
  if (wasTrial && sentAt < resetAt) {
    window.isStampEarliest = true;
    return;
  }
  const longer = Math.ceil((resetAt - startAt) / 1_000) * 1_000;
  const isLater = startAt + longer + JITTER_MS > sentAt;
  if (startAt > 0 && isLater && !wasTrial) window.span = longer;
  else window.late = Math.min(CLOCK_ERROR_MS, window.late + STAMP_ERROR_MS);
}
