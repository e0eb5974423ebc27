import type { OutgoingHttpHeaders } from 'node:http';
import type { Coding, UnknownFieldShape } from './types.ts';

/** What may be different about an answer that is otherwise normal service. */
interface Delivery {
  /** Before the answer, in milliseconds, in place of the option; here refusals wait, too. */
  latencyMs?: number;
  /** Between two events, in milliseconds, in place of the option. */
  tokenDelayMs?: number;
  /** Headers over the stand-in's own; `undefined` takes one away. */
  headers?: OutgoingHttpHeaders;
  /** Interim answers that come first, such as `[103, 103]`. */
  informational?: readonly number[];
  /** `close`: neither a length nor chunks, the end of the connection ends the answer. */
  framing?: 'chunked' | 'close';
  /** Content coding of this answer, also of a stream. */
  compress?: Coding | false;
  /** What happens to the kept connection as soon as the answer is complete. */
  afterwards?: 'close' | 'reset';
}

/** Normal service, limits included, of which something goes wrong on the way. */
export type ServiceFault = Delivery &
  (
    | { kind: 'ok' }
    /** Breaks off after so many bytes of body; `end` ends the message as if it were whole. */
    | { kind: 'cut-body'; bytes: number; ending?: 'close' | 'reset' | 'end' }
    /**
     * Breaks the connection after so many events (comments do not count), and half of the next
     * one with `midEvent`. An answer that is no stream counts as one event, here and below.
     */
    | { kind: 'cut-stream'; afterEvents: number; midEvent?: boolean; ending?: 'close' | 'reset' }
    /** Says nothing more after so many events; the connection stays. */
    | { kind: 'stall-stream'; afterEvents: number; midEvent?: boolean }
    /** A clean end after so many events: neither `finish_reason` nor `[DONE]`. */
    | { kind: 'end-stream-early'; afterEvents: number; midEvent?: boolean }
    /** The body in pieces of so many bytes, wherever that cuts, so many milliseconds apart. */
    | { kind: 'slow-body'; chunkBytes: number; delayMs: number }
    /** `Content-Length` off by `delta`; above 0 the connection closes after the body. */
    | { kind: 'wrong-length'; delta: number }
    /** Rests so many milliseconds after each piece that it reads of the request's body. */
    | { kind: 'slow-upload'; delayMs: number }
  );

/** What a call can meet. Connections break with FIN (`close`) or RST (`reset`). */
export type Fault =
  | ServiceFault
  /** This answer, after the whole request; no header but these, `Date` and `CF-RAY`. */
  | {
      kind: 'answer';
      status: number;
      headers?: OutgoingHttpHeaders;
      /** An object goes out as JSON. */
      body?: string | Uint8Array | object;
      delayMs?: number;
      reason?: string;
    }
  /** 429 as at the end of a window that resets in `resetMs`. */
  | {
      kind: 'rate-limited';
      resetMs: number;
      /** Which window has nothing left; default `requests`. */
      window?: 'requests' | 'tokens';
      /** A `Retry-After` header beside the others. */
      retryAfter?: string | number;
      /** Whether it carries `x-ratelimit-*` headers; default: the option. */
      headers?: boolean;
    }
  /** 429 `MODEL_OVERLOADED`: requests remain, or no header speaks of them (`headers: false`). */
  | { kind: 'overloaded'; headers?: boolean }
  /** 429 `Too many failed attempts (> N)…`; the number defaults to that of the option. */
  | { kind: 'abuse-block'; failures?: number; shape?: 'text' | 'json' }
  /** 429 of the budget for unsupported features; the number defaults to 200. */
  | { kind: 'feature-block'; failures?: number; shape?: 'text' | 'json' }
  /** 400 that names a field. */
  | { kind: 'unknown-field'; field: string; shape: UnknownFieldShape }
  /** 400 that refuses an explicit `null`. */
  | { kind: 'null-field'; field: string }
  /** RST before any answer, when the request's head, or all of it, has been read. */
  | { kind: 'reset'; after: 'head' | 'body' }
  /** RST when so many bytes of the body (or all of a shorter one) have been read. */
  | { kind: 'reset-upload'; afterBytes: number }
  /** Stops reading after so many bytes, and never answers; the connection stays until `close()`. */
  | { kind: 'stall-upload'; afterBytes: number }
  /** Reads the request and never answers. */
  | { kind: 'silent' }
  /** The head of a normal answer, then nothing. */
  | { kind: 'head-then-silent' }
  /** The head of a normal answer, then RST. */
  | { kind: 'reset-after-head' }
  /**
   * These bytes in place of an HTTP answer, after the request's head or (default) all of it; then
   * the connection is closed. With `close: false` it stays, and serves nothing more.
   */
  | { kind: 'raw'; bytes: string | Uint8Array; after?: 'head' | 'body'; close?: boolean }
  /** 204, 205 or 304 that has a body nevertheless; the connection stays. */
  | { kind: 'bodiless'; status: 204 | 205 | 304; body?: string }
  /** 200 whose body is these pieces, written one by one. */
  | {
      kind: 'raw-stream';
      chunks: readonly (string | Uint8Array)[];
      /** Between two pieces, in milliseconds; default 0, which may join them on the way. */
      delayMs?: number;
      /** Default `text/event-stream`. */
      contentType?: string;
      /** Default `end`. */
      ending?: 'end' | 'close' | 'reset' | 'silence';
    }
  /**
   * An answer as soon as the request's head is there. Then the body is still read (default), or
   * not (`stall`), or the connection is reset.
   */
  | {
      kind: 'early-answer';
      status: number;
      body?: string | Uint8Array | object;
      headers?: OutgoingHttpHeaders;
      upload?: 'drain' | 'stall' | 'reset';
    }
  /** 200 `text/event-stream` whose first event is `data: {"error":…}`; then a clean end. */
  | { kind: 'sse-error-first'; error?: object }
  /**
   * Resets this and every other connection and refuses new ones for so many milliseconds, after
   * which it listens on the same port again.
   */
  | { kind: 'stop-accepting'; forMs: number };
