import { hash } from 'node:crypto';
import type { BucketLine } from './bucket-line.ts';
import { blockedForMs } from './failure-budget.ts';
import type { FoundLimit } from './found-limit.ts';
import type { BucketState, WindowState } from './gate-state.ts';
import type { KnownBucket } from './memory-store.ts';
import { hasNothingLeft, isUsedUp, opensAt } from './window.ts';
import type { Window } from './window.ts';

/** Which bucket, what the memory of this process knows of it, and who waits for it here. */
export interface Sighting {
  readonly key: string;
  readonly bucket: string;
  readonly known: KnownBucket | undefined;
  readonly line: BucketLine | undefined;
}

/** @param now - by the clock of the memory store; `monotonicNow` by `performance.now()` */
export function bucketStateOf(
  { key, bucket, known, line }: Sighting,
  now: number,
  monotonicNow: number,
): BucketState {
  const oldestAt = line?.oldestSince;
  return {
    model: bucket === '' ? undefined : bucket,
    key: shownKey(key),
    requests:
      known && (windowState(known.state.requests, now) ?? foundState(known.state.found, now)),
    tokens: known && windowState(known.state.tokens, now),
    waiting: line?.length ?? 0,
    oldestWaitMs: oldestAt === undefined ? undefined : Math.round(monotonicNow - oldestAt),
    opensInMs: latest(line?.opensMs(monotonicNow), known && untilOpenMs(known, now)),
  };
}

/** The name is a hash already; from this one nobody gets back to it. */
function shownKey(key: string): string {
  return hash('sha256', `shown ${key}`, 'hex').slice(0, 8);
}

function windowState(window: Window, now: number): WindowState | undefined {
  const { limit, used } = window;
  if (limit === 0) return undefined;
  const opens = opensAt(window);
  if (opens > 0 && opens <= now) return { limit, remaining: limit, resetsInMs: undefined };
  return {
    limit,
    remaining: Math.max(0, Math.floor(limit - used)),
    resetsInMs: opens === 0 ? undefined : Math.ceil(opens - now),
  };
}

/** A limit that no header tells. */
function foundState(found: FoundLimit, now: number): WindowState | undefined {
  const { limit, used, isShut, startAt, span } = found;
  if (limit === 0) return undefined;
  const opens = isShut ? found.opensAt : span === 0 ? 0 : startAt + span;
  return {
    limit,
    remaining: isShut ? 0 : Math.max(0, limit - used),
    resetsInMs: opens > now ? Math.ceil(opens - now) : undefined,
  };
}

function untilOpenMs({ keyState, state, peers }: KnownBucket, now: number): number | undefined {
  const { requests, tokens, found, closedUntil } = state;
  const until = Math.max(
    now + blockedForMs(keyState, now),
    closedUntil,
    isUsedUp(requests, peers) ? opensAt(requests) : 0,
    hasNothingLeft(tokens) ? opensAt(tokens) : 0,
    requests.limit === 0 && found.isShut ? found.opensAt : 0,
  );
  return until > now ? Math.ceil(until - now) : undefined;
}

function latest(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return Math.max(one, other);
}
