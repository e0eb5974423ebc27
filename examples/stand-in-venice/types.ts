import type { IncomingHttpHeaders, Server } from 'node:http';
import type { ServerOptions as TlsServerOptions } from 'node:https';
import type { Fault } from './fault.ts';

/** So many units (requests, tokens) in each fixed window of so many milliseconds. */
export interface RateLimit {
  limit: number;
  windowMs: number;
}

/** More than `failures` failed calls within `windowMs` milliseconds block a key. */
interface FailureLimit {
  failures: number;
  windowMs: number;
}

/** A content coding of an answer. */
export type Coding = 'gzip' | 'br' | 'deflate';

/** How the stand-in behaves. Durations are milliseconds. */
export interface StandInOptions {
  /**
   * Requests per key and model id (without its `:feature=value` suffix); routes without a model
   * share one window per key. A window is fixed and starts at its first request.
   * @defaultValue `{ limit: 100, windowMs: 60_000 }`
   */
  requests?: RateLimit;
  /**
   * Tokens (prompt and completion, four characters each) per key and model id. The call that
   * passes the limit is still served, as the length of an answer is not known before; `false`
   * sends no token headers and counts nothing.
   * @defaultValue `{ limit: 2_000_000, windowMs: 60_000 }`
   */
  tokens?: RateLimit | false;
  /**
   * Whether answers carry `x-ratelimit-*` headers.
   * @defaultValue true
   */
  headers?: boolean;
  /**
   * How `x-ratelimit-reset-requests` is written: Unix time in whole seconds (as documented), Unix
   * time in milliseconds, or whole seconds from now. `x-ratelimit-reset-tokens` is always whole
   * seconds from now.
   * @defaultValue 'seconds'
   */
  resetFormat?: 'seconds' | 'milliseconds' | 'relative';
  /**
   * How those whole seconds are rounded: the stamp lies up to a second before or after the end
   * of the window.
   * @defaultValue 'ceil'
   */
  resetRounding?: 'floor' | 'ceil' | 'round';
  /**
   * The failed-request budget of a key. Once more than `failures` answers of 400 and above were
   * given within `windowMs`, every call of that key is refused until `windowMs` have passed
   * without one: a refused call counts, too.
   * @defaultValue `{ failures: 50, windowMs: 30_000 }`
   */
  abuse?: FailureLimit | false;
  /**
   * Codes JSON answers, the errors included, although nobody asked for it.
   * @defaultValue false
   */
  compress?: Coding | false;
  /**
   * Between two events of a stream, in milliseconds.
   * @defaultValue 5
   */
  tokenDelayMs?: number;
  /**
   * Before an answer, in milliseconds. Refusals (400 and above) come at once, as Venice's do.
   * @defaultValue 0
   */
  latencyMs?: number;
  /**
   * How far the stand-in's clock is ahead, in milliseconds: in `Date` and in the reset stamps.
   * @defaultValue 0
   */
  clockOffsetMs?: number;
  /**
   * Path under which the API lies.
   * @defaultValue '/api/v1'
   */
  basePath?: string;
  /**
   * Top-level members of a JSON body that are refused with 400, and in which shape: a lasting
   * `unknown-field` fault that ends when the client leaves the member out.
   * @defaultValue `{}`
   */
  refuseFields?: Readonly<Record<string, UnknownFieldShape>>;
  /**
   * How many calls are remembered: the oldest is forgotten first. What runs for long needs a
   * bound, as each call keeps up to a megabyte of its body.
   * @defaultValue Infinity
   */
  keptCalls?: number;
  /** A key and certificate make it speak TLS; a reset is then a plain close. */
  tls?: TlsServerOptions;
  /** Chooses the fault of a call that meets none from the script; `undefined`: none. */
  onCall?: (call: RecordedCall) => Fault | undefined;
}

/** What may change while the stand-in runs. */
export type StandInChanges = Omit<StandInOptions, 'basePath' | 'tls'>;

/** The two bodies in which Venice names a field that it does not know. */
export type UnknownFieldShape = 'zod' | 'extra';

/** One call as it arrived, and what became of it. */
export interface RecordedCall {
  readonly method: string;
  /** The request target, byte for byte. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: string[];
  /** What has arrived of the body; at most the first megabyte. */
  readonly body: Buffer;
  /** How many bytes of the body have arrived, those beyond the first megabyte included. */
  readonly bodyBytes: number;
  /** Whether `body` is shorter than what arrived. */
  readonly bodyCut: boolean;
  /** When the head had arrived, in milliseconds since 1970, by the real clock. */
  readonly at: number;
  /** The client went away before the answer was complete. */
  readonly aborted: boolean;
  /** Status of the answer's head; `undefined` while (or if) none was written. */
  readonly status: number | undefined;
  /** Every byte of the answer has been handed to the system. */
  readonly finished: boolean;
  /** Which limit refused the call; scripted refusals name none. */
  readonly refusedBy: 'requests' | 'tokens' | 'abuse' | undefined;
  /** Number of the connection, the first being 1: two calls with the same one shared it. */
  readonly connection: number;
  /** Settles when nothing more happens: the answer is complete, or the connection is gone. */
  readonly over: Promise<void>;
}

/** A running stand-in. */
export interface StandInVenice {
  /** Every call in order of arrival (up to `keptCalls`), also to paths that do not exist. */
  readonly calls: readonly RecordedCall[];
  /**
   * Begins to listen. Port 0 takes a free one; the host is `127.0.0.1` by default.
   * @returns The base URL, such as `http://127.0.0.1:4123/api/v1`.
   */
  listen(port?: number, host?: string): Promise<string>;
  /** Stops listening and destroys every open connection. */
  close(): Promise<void>;
  /**
   * Queues faults: the next calls meet one each, in the order in which their heads arrive. Then
   * service is normal again.
   */
  script(...faults: Fault[]): void;
  /** How many scripted faults nobody has met yet. */
  readonly scripted: number;
  /** Settles with the `count`th call of all (1: the first) as soon as its head has arrived. */
  arrived(count: number): Promise<RecordedCall>;
  /** Changes options while it runs; windows that are open keep what was used of them. */
  configure(changes: StandInChanges): void;
  /** Trips the failed-request budget of a key (the bearer token) now. */
  block(key: string): void;
  readonly openSockets: number;
  /** How many connections were accepted since the beginning. */
  readonly connections: number;
  readonly server: Server;
}
