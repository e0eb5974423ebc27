/**
 * What a repeated call costs, by route (docs.venice.ai, API reference):
 * `always`: nothing, or tokens at most; `refused-only`: it is billed by the call and not
 * idempotent, so it is made again only when it certainly did not happen; `never`: money or keys
 * move, and nobody but the client decides that it may happen again.
 */
export type ReplayClass = 'always' | 'refused-only' | 'never';

/** How an attempt failed, as far as the replay depends on it. */
export type FailureCause =
  /** No connection: nothing of the request has left. */
  | 'unsent'
  /** The upstream had closed a kept connection before it read the request. */
  | 'stale'
  /** An answer that says that nothing was done: 429, 503. */
  | 'refused'
  /** An answer after which something may have been done: 408, 500, 502, 520 to 524. */
  | 'failed'
  /** The connection broke, or what came was no HTTP, after the request had gone out. */
  | 'lost'
  /** A 504, or our own patience ran out: the upstream may still be at work. */
  | 'timeout'
  /** An answer that would be the same a second time. */
  | 'final';

/**
 * By route; `*` stands for one or more segments. The first match counts.
 * @internal
 */
export const REPLAY_TABLE: readonly (readonly [string, string, ReplayClass])[] = [
  ['POST', '/x402/top-up', 'never'],
  ['POST', '/crypto/rpc', 'never'],
  ['POST', '/crypto/rpc/*', 'never'],
  ['POST', '/api_keys', 'never'],
  ['POST', '/api_keys/*', 'never'],
  ['PATCH', '/api_keys', 'never'],
  ['PATCH', '/api_keys/*', 'never'],
  ['DELETE', '/api_keys', 'never'],
  ['DELETE', '/api_keys/*', 'never'],
  ['POST', '/chat/completions', 'always'],
  ['POST', '/responses', 'always'],
  ['POST', '/embeddings', 'always'],
  ['POST', '/augment/*', 'always'],
  ['POST', '*/quote', 'always'],
  ['POST', '*/retrieve', 'always'],
  ['POST', '/image/generate', 'refused-only'],
  ['POST', '/images/generations', 'refused-only'],
  ['POST', '/image/edit', 'refused-only'],
  ['POST', '/image/multi-edit', 'refused-only'],
  ['POST', '/image/upscale', 'refused-only'],
  ['POST', '/image/background-remove', 'refused-only'],
  ['POST', '/video/queue', 'refused-only'],
  ['POST', '/video/transcriptions', 'refused-only'],
  ['POST', '/audio/queue', 'refused-only'],
  ['POST', '/audio/speech', 'refused-only'],
  ['POST', '/audio/transcriptions', 'refused-only'],
  ['POST', '/audio/voices', 'refused-only'],
  ['GET', '*', 'always'],
  ['HEAD', '*', 'always'],
  ['OPTIONS', '*', 'always'],
];

/** What is not in the table may be billed by the call. */
const OTHERWISE: ReplayClass = 'refused-only';

/** By method, then by route: two looks cost less than a name for both. */
const ROUTES: ReadonlyMap<string, ReadonlyMap<string, ReplayClass>> = new Map(
  [...new Set(REPLAY_TABLE.map(([method]) => method))].map((method) => [
    method,
    new Map(REPLAY_TABLE.filter((row) => row[0] === method).map(([, route, its]) => [route, its])),
  ]),
);

const PATTERNS = REPLAY_TABLE.filter(([, route]) => route.includes('*')).map(
  ([method, route, replay]) => {
    const pattern = new RegExp(`^${route.replace('*', route === '*' ? '.*' : '.+')}$`);
    return { method, pattern, replay };
  },
);

/** @internal */
export function isReplayClass(value: unknown): value is ReplayClass {
  return value === 'always' || value === 'refused-only' || value === 'never';
}

/** @internal */
export function replayClassOf(method: string, route: string): ReplayClass {
  const routes = ROUTES.get(method);
  const spelt = routes?.get(route);
  if (spelt !== undefined) return spelt;
  const path = canonical(route);
  const known = routes?.get(path);
  if (known !== undefined) return known;
  const matching = PATTERNS.find((row) => row.method === method && row.pattern.test(path));
  return matching?.replay ?? OTHERWISE;
}

/**
 * The route as a lenient server may read it. It goes out as the client wrote it, but money must
 * not hang on how that is spelt.
 */
function canonical(route: string): string {
  // Nearly every route is spelt as it should be, and this runs for each request.
  if (/^(\/[a-z\d_.-]+)*$/.test(route)) return route;
  let path = route;
  try {
    path = decodeURIComponent(route);
  } catch {
    // Not encoded properly: then it is read as it stands.
  }
  return path
    .toLowerCase()
    .replace(/;[^/]*/g, '')
    .replace(/\/{2,}/g, '/')
    .replace(/(.)\/$/, '$1');
}

const REPLAYED: Readonly<Record<FailureCause, Readonly<Record<ReplayClass, boolean>>>> = {
  unsent: { always: true, 'refused-only': true, never: true },
  stale: { always: true, 'refused-only': false, never: false },
  refused: { always: true, 'refused-only': true, never: false },
  failed: { always: true, 'refused-only': false, never: false },
  lost: { always: true, 'refused-only': false, never: false },
  timeout: { always: false, 'refused-only': false, never: false },
  final: { always: false, 'refused-only': false, never: false },
};

/** @internal */
export function causeOfStatus(status: number): FailureCause {
  if (status === 429 || status === 503) return 'refused';
  if (status === 408 || status === 500 || status === 502) return 'failed';
  if (status >= 520 && status <= 524) return 'failed';
  return status === 504 ? 'timeout' : 'final';
}

/** @internal */
export interface ReplayQuestion {
  readonly replayClass: ReplayClass;
  readonly cause: FailureCause;
  /** Whether the request can be sent again: its body is held, or none of it has been read. */
  readonly bodyAtHand: boolean;
  /** The answer's `x-should-retry`. */
  readonly shouldRetry: string | undefined;
}

/**
 * `undefined`: it may be sent again. Otherwise why not, for the log.
 * @internal
 */
export function reasonAgainstReplay(question: ReplayQuestion): string | undefined {
  const { replayClass, cause, bodyAtHand, shouldRetry } = question;
  if (cause === 'final') return 'the answer is final';
  if (shouldRetry === 'false') return 'the upstream says x-should-retry: false';
  if (cause === 'timeout') return 'the upstream may still be at work on it';
  if (!bodyAtHand) return 'its body streamed through and is gone';
  if (REPLAYED[cause][replayClass]) return undefined;
  return replayClass === 'never'
    ? 'this route is never replayed'
    : 'it is billed by the call and may have been done';
}
