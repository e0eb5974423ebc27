/** What is left of a window. */
export interface WindowState {
  /** `undefined`: not known yet. */
  readonly limit: number | undefined;
  /** Requests in flight count as used. */
  readonly remaining: number;
  /** Milliseconds until the next window begins; `undefined`: not known, or it may have begun. */
  readonly resetsInMs: number | undefined;
}

/** What is known of one API key's window for one model. */
export interface BucketState {
  /** The model's id without its features; `undefined` for routes without a model. */
  readonly model: string | undefined;
  /** 8 hex digits: tells keys apart and tells nothing of them. The same in every process. */
  readonly key: string;
  /** `undefined`: nothing is known of it. */
  readonly requests: WindowState | undefined;
  /** `undefined`: nothing is known of it. */
  readonly tokens: WindowState | undefined;
  /** Requests of this process that are held. */
  readonly waiting: number;
  /** For so many milliseconds the oldest of them has been held. */
  readonly oldestWaitMs: number | undefined;
  /** Milliseconds until a request may go, where none may now: a full window, or a blocked key. */
  readonly opensInMs: number | undefined;
}
