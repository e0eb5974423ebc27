import type { BucketState, RequestState, VeniceProxy, WindowState } from 'venice-proxy';
import { brief } from './history.ts';

/** What is there now of a proxy. */
export type Live = Pick<VeniceProxy, 'requests' | 'buckets' | 'draining'>;

/** More are counted, but not shown. */
export const MOST_REQUESTS = 100;
export const MOST_BUCKETS = 60;

/** To so many milliseconds points in time are told, so that they stay the same from look to look. */
const GRAIN_MS = 100;

interface ShownRequest extends Omit<RequestState, 'ageMs'> {
  /** When it came: milliseconds since 1970, as is each point in time here. */
  readonly since: number;
}

interface ShownWindow {
  readonly limit: number | undefined;
  readonly remaining: number;
  readonly resetsAt: number | undefined;
}

interface ShownBucket {
  readonly model: string | undefined;
  readonly key: string;
  readonly requests: ShownWindow | undefined;
  readonly tokens: ShownWindow | undefined;
  readonly waiting: number;
  readonly waitsSince: number | undefined;
  readonly opensAt: number | undefined;
}

/** A part of what there is, and how much that is. */
interface Shown<Item> {
  readonly total: number;
  readonly shown: readonly Item[];
}

/** The requests in flight, those that came first before the others. */
export function requestsToShow(states: readonly RequestState[], now: number): Shown<ShownRequest> {
  const shown = states
    .toSorted((a, b) => b.ageMs - a.ageMs)
    .slice(0, MOST_REQUESTS)
    .map(({ id, method, path, model, stream, phase, attempts, waitedMs, ageMs }) => ({
      id,
      method: brief(method),
      path: brief(path),
      model: model === undefined ? undefined : brief(model),
      stream,
      phase,
      attempts,
      waitedMs,
      since: instant(now - ageMs),
    }));
  return { total: states.length, shown };
}

/**
 * The buckets, in the order of their names; when there are too many, those with a queue first, then
 * those with a window: a stranger can make any number of the others.
 */
export function bucketsToShow(
  states: readonly BucketState[],
  now: number,
): Shown<ShownBucket> & { readonly waiting: number } {
  const chosen =
    states.length <= MOST_BUCKETS
      ? states
      : states.toSorted((a, b) => weight(b) - weight(a)).slice(0, MOST_BUCKETS);
  const shown = chosen
    .toSorted((a, b) => order(a.model ?? '', b.model ?? '') || order(a.key, b.key))
    .map(({ model, key, requests, tokens, waiting, oldestWaitMs, opensInMs }) => ({
      model: model === undefined ? undefined : brief(model),
      key,
      requests: windowToShow(requests, now),
      tokens: windowToShow(tokens, now),
      waiting,
      waitsSince: oldestWaitMs === undefined ? undefined : instant(now - oldestWaitMs),
      opensAt: opensInMs === undefined ? undefined : instant(now + opensInMs),
    }));
  const waiting = states.reduce((sum, state) => sum + state.waiting, 0);
  return { total: states.length, waiting, shown };
}

function weight({ waiting, requests, tokens }: BucketState): number {
  return waiting + (requests || tokens ? 0.5 : 0);
}

function windowToShow(window: WindowState | undefined, now: number): ShownWindow | undefined {
  if (window === undefined) return undefined;
  const { limit, remaining, resetsInMs } = window;
  return {
    limit,
    remaining: Math.max(0, Math.round(remaining)),
    resetsAt: resetsInMs === undefined ? undefined : instant(now + resetsInMs),
  };
}

function instant(at: number): number {
  return Math.round(at / GRAIN_MS) * GRAIN_MS;
}

/** As the code units are: the same on every machine. */
function order(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
