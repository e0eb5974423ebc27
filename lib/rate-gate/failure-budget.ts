import { ABANDONED_MS, BUDGET, HIGHEST_BUDGET, PROBE_PATIENCE_MS, QUIET_MS } from './constants.ts';

/** A request that was sent a moment ago. */
interface YoungGrant {
  readonly bucket: string;
  readonly seq: number;
  readonly at: number;
}

/**
 * What an upstream forgives a key: more failures than `budget` within a window, and every call of
 * the key is refused until the window has passed without one. Times are milliseconds.
 */
export interface KeyState {
  budget: number;
  /** When the last failures came, oldest first. */
  failures: number[];
  /** Who may still be refused. */
  young: YoungGrant[];
  /** Requests without an answer to models that have not served anybody yet. */
  unproven: number;
  unprovenAt: number;
  /** When the block was last heard of; 0: there is none. */
  blockedAt: number;
  blockedUntil: number;
  /** When the request was sent that tries whether it is over; 0: there is none. */
  probeAt: number;
}

export function newKeyState(): KeyState {
  return {
    budget: BUDGET,
    failures: [],
    young: [],
    unproven: 0,
    unprovenAt: 0,
    blockedAt: 0,
    blockedUntil: 0,
    probeAt: 0,
  };
}

export function forgetOld(key: KeyState, now: number, windowMs: number): void {
  while ((key.failures[0] ?? now) <= now - windowMs) key.failures.shift();
  while ((key.young[0]?.at ?? now) <= now - QUIET_MS) key.young.shift();
  if (now - key.unprovenAt > ABANDONED_MS) key.unproven = 0;
}

export function noteFailure(key: KeyState, now: number, windowMs: number): void {
  key.failures.push(now);
  // Each failed call in between prolongs the block.
  if (key.blockedAt > 0) key.blockedUntil = now + windowMs;
}

export function noteBlock(key: KeyState, now: number, windowMs: number, budget: number): void {
  key.blockedAt = now;
  key.blockedUntil = now + windowMs;
  key.probeAt = 0;
  if (budget > key.budget) key.budget = Math.min(budget, HIGHEST_BUDGET);
}

/** A request that was sent at `sentAt` did not meet the block: if it was sent into it, it is over. */
export function noteOver(key: KeyState, sentAt: number): void {
  if (key.blockedAt === 0 || sentAt <= key.blockedAt) return;
  key.blockedAt = 0;
  key.blockedUntil = 0;
  key.probeAt = 0;
  key.failures = [];
}

/** An answer came, or none will: the request is no risk any more. */
export function settle(key: KeyState, bucket: string, seq: number): void {
  const index = key.young.findIndex((each) => each.seq === seq && each.bucket === bucket);
  if (index >= 0) key.young.splice(index, 1);
}

/** What may fail at once without a block: so many more requests may be sent. */
export function failuresLeft(key: KeyState, peers: number): number {
  return share(key, peers) - key.failures.length - key.young.length;
}

/** The same for models of which nothing is known: there, silence is no proof. */
export function unprovenLeft(key: KeyState, peers: number): number {
  return share(key, peers) - key.failures.length - key.unproven;
}

function share({ budget }: KeyState, peers: number): number {
  return Math.max(1, Math.floor(budget / peers));
}

/** Milliseconds until failures are forgotten or grants are quiet; the next of these counts. */
export function untilMoreLeft(key: KeyState, now: number, windowMs: number): number {
  const byFailure = (key.failures[0] ?? now + windowMs) + windowMs - now;
  const byQuiet = (key.young[0]?.at ?? now + windowMs) + QUIET_MS - now;
  return Math.max(1, Math.min(byFailure, byQuiet));
}

/** Milliseconds for which no request of this key may be sent because of the block; 0: one may. */
export function blockedForMs(key: KeyState, now: number): number {
  if (key.blockedAt === 0) return 0;
  if (now < key.blockedUntil) return key.blockedUntil - now;
  return key.probeAt === 0 ? 0 : Math.max(0, key.probeAt + PROBE_PATIENCE_MS - now);
}
