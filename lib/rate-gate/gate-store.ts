/** What became of a request that had been granted. */
export interface Report {
  /** Number of the grant; 0 where the store cannot know it. */
  readonly seq: number;
  /** When it was granted, by the store's clock. */
  readonly at: number;
  readonly outcome:
    | 'served'
    /** 429, whoever is to blame. */
    | 'refused'
    /** The key itself is blocked for too many failed requests. */
    | 'blocked'
    /** Any other answer of 400 or above. */
    | 'failed'
    /** There was no answer: the upstream may have counted the request. */
    | 'gone'
    /** Nothing was sent, and nothing counted. */
    | 'unsent';
  readonly requests?: ToldWindow | undefined;
  readonly tokens?: ToldWindow | undefined;
  /** Milliseconds for which the request backs off, after a refusal that names no time. */
  readonly backoffMs?: number | undefined;
  /** Which attempt of its request it was; the first is 1. */
  readonly attempt?: number | undefined;
  /** After so many failures a key is blocked, as the text of the block says. */
  readonly budget?: number | undefined;
  /** So many milliseconds ago the answer came. */
  readonly ageMs?: number | undefined;
}

/** What an answer's headers say of one window. */
export interface ToldWindow {
  readonly limit: number;
  readonly remaining: number;
  /** Milliseconds from the answer to the stamp; `undefined` where no reset is told. */
  readonly resetMs: number | undefined;
}

/** What a process tells of a bucket, and asks for it. */
export interface Ask {
  /** Names the API key: a hash. */
  readonly key: string;
  /** Names the bucket among those of the key. */
  readonly bucket: string;
  /** How many requests wait. */
  readonly want: number;
  readonly reports: readonly Report[];
  /** The window of the failed-request budget, and how long a block lasts: milliseconds. */
  readonly budgetWindowMs: number;
}

/** Why the next request is not granted yet. */
export const HOLD_REASONS = [
  'none',
  'request limit',
  'token limit',
  'limit unknown',
  'refused',
  'failed requests',
  'blocked',
] as const;

export type HoldReason = (typeof HOLD_REASONS)[number];

export interface Reply {
  /** How many requests may go now; never more than were asked for. */
  readonly granted: number;
  /** The number of the first; the others follow. */
  readonly firstSeq: number;
  /** When they were granted, by the store's clock. */
  readonly at: number;
  /** Milliseconds until asking again makes sense, without news. */
  readonly askAgainMs: number;
  /** What holds the next request up. */
  readonly reason: HoldReason;
  /** Milliseconds until what holds it up is over; `undefined`: not known. */
  readonly opensMs: number | undefined;
  /** Requests in a window; 0: not known. */
  readonly perWindow: number;
  /** Milliseconds from one window to the next; 0: not known. */
  readonly spanMs: number;
  /** Processes that share the store. */
  readonly peers: number;
}

/**
 * Keeps the windows. One step is atomic: it learns from the reports, then grants as many requests
 * as may go. A store that fails or takes too long is done without until it answers again.
 */
export interface GateStore {
  step(ask: Ask): Reply | Promise<Reply>;
}
