import {
  ANY_PACE,
  DOUBTFUL_MS,
  DOUBT_EVERY_MS,
  FIRST_FEW,
  FOUND_STEPS,
  IDLE_MS,
  LONGEST_CLOSURE_MS,
  QUIET_MS,
  SHORTEST_CLOSURE_MS,
  STAMP_ERROR_MS,
  UNORDERED_MS,
} from './constants.ts';
import {
  blockedForMs,
  failuresLeft,
  forgetOld,
  newKeyState,
  noteBlock,
  noteFailure,
  noteOver,
  settle,
  unprovenLeft,
  untilMoreLeft,
} from './failure-budget.ts';
import type { KeyState } from './failure-budget.ts';
import { advance, newFoundLimit, noteGrant, noteRefused, noteServed } from './found-limit.ts';
import type { FoundLimit } from './found-limit.ts';
import type { Ask, HoldReason, Reply, Report } from './gate-store.ts';
import {
  hasNothingLeft,
  isOverAt,
  isSameEnd,
  isUsedUp,
  learn,
  newWindow,
  opensAt,
  probeFailed,
  probeSucceeded,
  stampOf,
  turn,
} from './window.ts';
import type { Window } from './window.ts';

/** All that is known of one model behind one key. Times are milliseconds of the store's clock. */
export interface BucketState {
  readonly bornAt: number;
  /** How many requests were granted. */
  seq: number;
  grantedAt: number;
  /** The newest request that nothing was granted just before. */
  calmSeq: number;
  /** Requests without an answer; only counted until the first one was served. */
  open: number;
  isProven: boolean;
  /** How many may be young at once. */
  pace: number;
  /** Refusals in a row that named no time. */
  refusals: number;
  refusedAt: number;
  closedUntil: number;
  requests: Window;
  tokens: Window;
  found: FoundLimit;
  /** The request that tries whether the next window is there; 0: there is none. */
  probeSeq: number;
  probeAt: number;
  probedAt: number;
}

export function newBucketState(now: number): BucketState {
  return {
    bornAt: now,
    seq: 0,
    grantedAt: now,
    calmSeq: 0,
    open: 0,
    isProven: false,
    pace: FIRST_FEW,
    refusals: 0,
    refusedAt: 0,
    closedUntil: 0,
    requests: newWindow(),
    tokens: newWindow(),
    found: newFoundLimit(),
    probeSeq: 0,
    probeAt: 0,
    probedAt: 0,
  };
}

export { newKeyState };
export type { KeyState };

/** What is the same for every step. */
export interface StepContext {
  readonly now: number;
  /** How many processes share the windows without telling each other; 1 where they do tell. */
  readonly peers: number;
}

/** What keeps the next request from going, and until when. */
interface Obstacle {
  readonly reason: HoldReason;
  /** Milliseconds until it is over; `undefined`: until there is news. */
  readonly opensMs: number | undefined;
  /** Milliseconds until it may be over without news. */
  readonly askAgainMs: number;
}

/**
 * One step of the gate: learns from what became of earlier requests, then grants as many of those
 * that wait as may go. Knows no clock, no randomness and no socket; the states are plain data, and
 * are changed in place.
 */
export function step(
  key: KeyState,
  bucket: BucketState,
  ask: Ask,
  { now, peers }: StepContext,
): Reply {
  forgetOld(key, now, ask.budgetWindowMs);
  for (const report of ask.reports) learnFrom(key, bucket, ask, report, { now, peers });
  const firstSeq = bucket.seq + 1;
  let obstacle: Obstacle | undefined;
  while (bucket.seq - firstSeq + 1 < ask.want) {
    obstacle = obstacleFor(key, bucket, ask, { now, peers });
    if (obstacle !== undefined) break;
    grant(key, bucket, ask, { now, peers });
  }
  const { requests, found } = bucket;
  return {
    granted: bucket.seq - firstSeq + 1,
    firstSeq,
    at: now,
    askAgainMs: Math.ceil(obstacle?.askAgainMs ?? IDLE_MS),
    reason: obstacle?.reason ?? 'none',
    opensMs: obstacle?.opensMs === undefined ? undefined : Math.ceil(obstacle.opensMs),
    perWindow: requests.limit > 0 ? requests.limit : found.limit,
    spanMs: Math.ceil(requests.limit > 0 ? requests.length : found.span),
    peers,
  };
}

function learnFrom(
  key: KeyState,
  bucket: BucketState,
  { bucket: name, budgetWindowMs }: Ask,
  report: Report,
  { now, peers }: StepContext,
): void {
  // Numbers of another life of the store mean nothing.
  const isOurs = report.seq > 0 && report.seq <= bucket.seq && report.at >= bucket.bornAt;
  const seq = isOurs ? report.seq : 0;
  const answeredAt = now - (report.ageMs ?? 0);
  const sentAt = isOurs ? report.at : answeredAt;
  if (isOurs) {
    settle(key, name, seq);
    closeUnproven(key, bucket, 1);
  }
  const isProbe = seq > 0 && seq === bucket.probeSeq;
  if (isProbe) bucket.probeSeq = 0;

  const { outcome } = report;
  if (outcome === 'gone') return;
  if (outcome === 'unsent') {
    bucket.requests.used = Math.max(0, bucket.requests.used - peers);
    bucket.found.used = Math.max(0, bucket.found.used - 1);
    return;
  }
  if (outcome === 'blocked') noteBlock(key, answeredAt, budgetWindowMs, report.budget ?? 0);
  // During a block every call meets the block: any other answer to one that was sent into it shows
  // that it is over.
  else if (isOurs || outcome === 'served') noteOver(key, sentAt);
  if (outcome !== 'served') noteFailure(key, answeredAt, budgetWindowMs);
  if (outcome === 'blocked') return;

  if (isProbe) endProbe(bucket, report, answeredAt, peers);
  learnWindows(bucket, { ...report, seq, at: sentAt }, answeredAt, peers);
  if (outcome === 'refused') {
    if (isExhausted(report)) closeWhileStampLies(bucket, now);
    else noteUnexplained(key, bucket, name, { ...report, seq, at: sentAt }, isProbe, now);
  } else if (outcome === 'served') {
    closeUnproven(key, bucket, bucket.open);
    noteServedIn(bucket, isProbe, seq, sentAt);
  }
}

/** Requests to a model that had not served anybody have settled, or the model has served. */
function closeUnproven(key: KeyState, bucket: BucketState, count: number): void {
  const closed = Math.min(count, bucket.open);
  bucket.open -= closed;
  key.unproven = Math.max(0, key.unproven - closed);
}

function endProbe(bucket: BucketState, report: Report, answeredAt: number, peers: number): void {
  for (const [window, told] of [
    [bucket.requests, report.requests],
    [bucket.tokens, report.tokens],
  ] as const) {
    const stamp = told === undefined ? 0 : stampOf(told, answeredAt);
    if (!hasNothingLeft(window)) continue;
    if (report.outcome !== 'refused') {
      // Another answer has told of the next window before, and that one is full, too.
      if (isSameEnd(window, stamp)) continue;
      // Nothing is told of tokens any more: what was told once could hold requests up for ever.
      if (report.outcome === 'served' && told === undefined && window === bucket.tokens) {
        window.limit = 0;
      }
      probeSucceeded(window);
      turn(window, (bucket.seq - report.seq + 1) * window.cost * peers, report.at);
    } else if (told?.remaining === 0) {
      probeFailed(window, report.at, stamp);
      // It does not count in the next one.
      if (window.edgeSeq > 0) window.edgeSeq += 1;
    }
  }
}

/** Whether the answer says which window has nothing left. */
function isExhausted({ requests, tokens }: Report): boolean {
  return requests?.remaining === 0 || tokens?.remaining === 0;
}

function learnWindows(
  bucket: BucketState,
  { seq, at, requests, tokens }: Report,
  answeredAt: number,
  peers: number,
): void {
  const isCalm = seq > 0 && seq === bucket.calmSeq;
  const granted = { seq, at, lastSeq: seq === 0 ? 0 : bucket.seq, isCalm, peers };
  if (requests !== undefined) {
    // As many as the window holds, from now on.
    if (bucket.requests.limit === 0) bucket.pace = ANY_PACE;
    learn(bucket.requests, requests, granted, answeredAt, true);
  }
  if (tokens !== undefined) learn(bucket.tokens, tokens, granted, answeredAt, false);
}

/** Refused although every stamp has passed: some time must go by before the next try. */
function closeWhileStampLies(bucket: BucketState, now: number): void {
  bucket.refusals += 1;
  const windows = [bucket.requests, bucket.tokens].filter((each) => hasNothingLeft(each));
  if (windows.some((each) => opensAt(each) > now)) return;
  const closureMs = Math.min(LONGEST_CLOSURE_MS, 1_000 * 2 ** Math.min(bucket.refusals - 1, 10));
  bucket.closedUntil = Math.max(bucket.closedUntil, now + closureMs);
}

/** 429 that names no window: the model is overloaded, or there is a limit without headers. */
function noteUnexplained(
  key: KeyState,
  bucket: BucketState,
  name: string,
  report: Report,
  isProbe: boolean,
  now: number,
): void {
  // Those that were sent before the last refusal came say nothing new.
  if (report.at > bucket.refusedAt) {
    bucket.refusals += 1;
    bucket.refusedAt = now;
    const young = key.young.filter((each) => each.bucket === name).length;
    bucket.pace = Math.max(1, Math.floor(Math.min(bucket.pace, young + 1) / 2));
  }
  const closureMs = closureAfter(bucket, report, now);
  bucket.closedUntil = Math.max(bucket.closedUntil, now + closureMs);
  if (bucket.requests.limit === 0) {
    const behind = Math.max(0, bucket.seq - report.seq);
    noteRefused(bucket.found, isProbe, report.at, behind, bucket.closedUntil);
  }
}

/** As long as the refused request backs off, were it the only one that was refused. */
function closureAfter(
  { refusals, requests, found }: BucketState,
  { backoffMs = 0, attempt }: Report,
  now: number,
): number {
  if (attempt === undefined) return backoffMs;
  const growth = 2 ** Math.min(30, Math.max(0, refusals - attempt));
  const closureMs = Math.min(LONGEST_CLOSURE_MS, Math.round(backoffMs * growth));
  if (requests.limit > 0 || found.span > 0) return closureMs;
  // Perhaps a limit without headers: its window may not be missed by much.
  const stepMs = Math.max(SHORTEST_CLOSURE_MS, Math.round((now - found.startAt) / FOUND_STEPS));
  return Math.min(closureMs, stepMs);
}

function noteServedIn(bucket: BucketState, isProbe: boolean, seq: number, sentAt: number): void {
  bucket.isProven = true;
  bucket.refusals = 0;
  const isTold = bucket.requests.limit > 0;
  // Without a limit to go by: one more each round trip.
  bucket.pace = Math.min(ANY_PACE, bucket.pace + (isTold ? 1 : 1 / bucket.pace));
  if (!isTold) noteServed(bucket.found, isProbe, sentAt, Math.max(0, bucket.seq - seq));
}

function obstacleFor(
  key: KeyState,
  bucket: BucketState,
  { bucket: name, budgetWindowMs }: Ask,
  { now, peers }: StepContext,
): Obstacle | undefined {
  const blockedMs = blockedForMs(key, now);
  if (blockedMs > 0) {
    const opensMs = now < key.blockedUntil ? blockedMs : undefined;
    return { reason: 'blocked', opensMs, askAgainMs: blockedMs };
  }
  const left = failuresLeft(key, peers);
  if (left < 1) {
    const untilMs = untilMoreLeft(key, now, budgetWindowMs);
    const opensMs = key.young.length === 0 ? untilMs : undefined;
    return { reason: 'failed requests', opensMs, askAgainMs: untilMs };
  }
  if (now < bucket.closedUntil) {
    const untilMs = bucket.closedUntil - now;
    return { reason: 'refused', opensMs: untilMs, askAgainMs: untilMs };
  }
  return (
    windowObstacle(bucket, bucket.requests, 'request limit', now, peers) ??
    windowObstacle(bucket, bucket.tokens, 'token limit', now, peers) ??
    foundObstacle(bucket, now) ??
    openingObstacle(key, bucket, name, now, peers)
  );
}

function windowObstacle(
  bucket: BucketState,
  window: Window,
  reason: HoldReason,
  now: number,
  peers: number,
): Obstacle | undefined {
  passEnd(bucket, window, now, peers);
  const isFull = reason === 'request limit' ? isUsedUp(window, peers) : hasNothingLeft(window);
  if (!isFull) return undefined;
  const opens = opensAt(window);
  if (opens === 0) {
    const quietMs = bucket.grantedAt + QUIET_MS - now;
    if (quietMs > 0) return { reason, opensMs: undefined, askAgainMs: quietMs };
  }
  if (now < opens) {
    const untilMs = opens - now;
    const untilDoubtMs = bucket.probedAt + DOUBT_EVERY_MS - now;
    const isDoubtful = untilMs > DOUBTFUL_MS && bucket.isProven;
    if (isDoubtful && untilDoubtMs <= 0) return undefined;
    const askAgainMs = isDoubtful ? Math.min(untilMs, untilDoubtMs) : untilMs;
    return { reason, opensMs: untilMs, askAgainMs };
  }
  // A probe from before then has tried another window.
  if (bucket.probeAt < opens) bucket.probeSeq = 0;
  return silentProbe(bucket, window, reason, now, peers);
}

/**
 * Turns a window that is over however its stamp was rounded. Who left near its end may count in the
 * next one.
 */
function passEnd(bucket: BucketState, window: Window, now: number, peers: number): void {
  if (window.resetAt === 0 || now < window.resetAt - STAMP_ERROR_MS) return;
  if (window.edgeSeq === 0) window.edgeSeq = bucket.seq;
  if (now < isOverAt(window)) return;
  const isTried = bucket.probeSeq > 0 && bucket.probeAt >= opensAt(window);
  const since = bucket.seq - window.edgeSeq;
  turn(window, since * window.cost * peers, isTried ? bucket.probeAt : now);
  if (isTried) bucket.probeSeq = 0;
}

/**
 * The window may be over: one request tries. Its silence is an answer, too: it was not refused.
 */
function silentProbe(
  bucket: BucketState,
  window: Window,
  reason: HoldReason,
  now: number,
  peers: number,
): Obstacle | undefined {
  if (bucket.probeSeq === 0) return undefined;
  const overAt = isOverAt(window);
  const quietMs = bucket.probeAt + QUIET_MS - now;
  const certainMs = overAt > 0 ? overAt - now : quietMs;
  if (quietMs > 0) return { reason, opensMs: undefined, askAgainMs: Math.min(quietMs, certainMs) };
  // Where nothing tells the end, there was perhaps just more room than was thought.
  if (opensAt(window) > 0) {
    const before = window.edgeSeq > 0 ? window.edgeSeq : bucket.probeSeq - 1;
    turn(window, (bucket.seq - before) * window.cost * peers, bucket.probeAt);
  }
  bucket.probeSeq = 0;
  return undefined;
}

function foundObstacle(bucket: BucketState, now: number): Obstacle | undefined {
  const { found } = bucket;
  if (bucket.requests.limit > 0) return undefined;
  advance(found, now);
  if (!found.isShut) return undefined;
  const reason = 'request limit';
  const untilMs = found.opensAt - now;
  if (untilMs > 0) return { reason, opensMs: untilMs, askAgainMs: untilMs };
  if (bucket.probeSeq === 0) return undefined;
  const quietMs = bucket.probeAt + QUIET_MS - now;
  if (quietMs > 0) return { reason, opensMs: undefined, askAgainMs: quietMs };
  noteServed(found, true, bucket.probeAt, bucket.seq - bucket.probeSeq);
  bucket.probeSeq = 0;
  return undefined;
}

/** Little is known yet, or too much was refused: carefully. */
function openingObstacle(
  key: KeyState,
  bucket: BucketState,
  name: string,
  now: number,
  peers: number,
): Obstacle | undefined {
  const reason = 'limit unknown';
  if (!bucket.isProven && unprovenLeft(key, peers) < 1) {
    return { reason, opensMs: undefined, askAgainMs: QUIET_MS };
  }
  let young = 0;
  let oldestAt = now;
  for (const each of key.young) {
    if (each.bucket !== name) continue;
    if (young === 0) oldestAt = each.at;
    young += 1;
  }
  if (young < bucket.pace) return undefined;
  return { reason, opensMs: undefined, askAgainMs: Math.max(1, oldestAt + QUIET_MS - now) };
}

function grant(
  key: KeyState,
  bucket: BucketState,
  { bucket: name }: Ask,
  { now, peers }: StepContext,
): void {
  bucket.seq += 1;
  if (now - bucket.grantedAt >= UNORDERED_MS) bucket.calmSeq = bucket.seq;
  bucket.grantedAt = now;
  if (!bucket.isProven) {
    bucket.open += 1;
    key.unproven += 1;
    key.unprovenAt = now;
  }
  key.young.push({ bucket: name, seq: bucket.seq, at: now });
  if (key.blockedAt > 0) key.probeAt = now;
  const { requests, tokens, found } = bucket;
  const isProbe =
    isUsedUp(requests, peers) || hasNothingLeft(tokens) || (requests.limit === 0 && found.isShut);
  if (isProbe) {
    bucket.probeSeq = bucket.seq;
    bucket.probeAt = now;
    bucket.probedAt = now;
  }
  requests.used += peers;
  tokens.used += tokens.cost * peers;
  noteGrant(found, now);
}
