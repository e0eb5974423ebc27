/** Kinds of requests, by what a second attempt may cost and how their bodies and answers travel. */
export const KINDS = {
  chat: 'chat',
  stream: 'chat, streamed',
  embeddings: 'embeddings, converted',
  upload: 'upload',
  billed: 'billed POST',
  get: 'GET',
} as const;

export type Kind = keyof typeof KINDS;

/** Where a request is on its way when the fault strikes, in this order. */
export const PHASES = {
  connecting: 'connecting',
  sending: 'sending the body',
  waiting: 'waiting for the head',
  first: 'between the head and the first byte',
  body: 'in the middle of the body',
  between: 'between two requests on a kept connection',
} as const;

export type Phase = keyof typeof PHASES;

export const FAULTS = {
  refused: 'refused',
  reset: 'reset',
  silent: 'silent',
  slow: 'slow',
  half: 'half an answer',
  'too long': '`Content-Length` too long',
  'too short': '`Content-Length` too short',
  garbage: 'garbage instead of HTTP',
  headers: 'headers too large',
  interim: 'interim answer (1xx)',
  bodiless: '204 or 304 with a body',
  gzip: 'gzip that breaks off',
  early: 'early answer',
  tls: 'TLS failure',
  dns: 'DNS failure',
} as const;

export type FaultName = keyof typeof FAULTS;

/** What the client gets. */
export type Gets =
  /** The upstream's answer, to the last byte. */
  | { readonly answer: 'whole'; readonly status: number }
  /** What the upstream sent, although it is no whole answer: the client sees that by itself. */
  | { readonly answer: 'as it came'; readonly status: number }
  /** An error of the proxy's own, in OpenAI's shape. */
  | { readonly error: string; readonly status: number }
  /**
   * 200 and a part, and then what no client can take for an end: the error event and a destroyed
   * connection, or a body without its last chunk or byte.
   */
  | { readonly broken: 'error event' | 'unfinished'; readonly code: string };

/** What is expected of one request that meets the fault in every attempt. */
export interface Cell {
  readonly gets: Gets;
  readonly attempts: number;
  /** How many of its calls arrived upstream; as many as attempts where it is left out. */
  readonly arrived?: number;
  /** Whether the attempt behind one that met the fault is hit by it, too; default false. */
  readonly lingers?: boolean;
  /** The log's lines of what went wrong: the message, and its reason or code. */
  readonly log: readonly string[];
}

/** How an answer's body is delimited and written. */
export type Framing =
  /** Events in chunks, everything else with its `Content-Length`. */
  'usual' | 'chunked' | 'too long' | 'too short' | 'gzip';

/** A part of the answer of the request's kind, in the row's framing; or these bytes. */
export type Piece =
  | 'half a head'
  | 'head'
  | 'first half'
  | 'second half'
  | 'all but the end'
  | 'refusal'
  | { readonly bytes: string };

/** What the upstream does, one after another, when a request's head has come. */
export type Step =
  | 'read the body'
  | 'stop reading'
  /** In one write. */
  | { readonly send: readonly Piece[] }
  | { readonly waitMs: number }
  | 'close'
  | 'reset'
  /** The connection stays; nothing more is said on it. */
  | 'be silent'
  /** The next request of the connection is served well. */
  | 'go on';

/** What happens to a connection before there is one. */
export type ConnectStep =
  | 'nobody listens'
  | 'the name is unknown'
  | 'the look-up never ends'
  | 'the look-up takes 60 ms'
  | 'the certificate is unknown'
  | { readonly handshake: readonly Step[] };

export interface Row {
  readonly phase: Phase;
  readonly fault: FaultName;
  /** In words, where the fault's name does not tell all. */
  readonly how: string;
  readonly connect?: ConnectStep;
  /** On a connection that has served a request: what happens before the next one comes. */
  readonly idle?: readonly Step[];
  /** Whether the call before was answered by `steps`, and not this one. */
  readonly strikesBefore?: boolean;
  /** Only on connections that were used before. */
  readonly onlyKept?: boolean;
  readonly steps?: readonly Step[];
  readonly framing?: Framing;
  /** Which of the proxy's timeouts are short, as one of them is to be met. */
  readonly short?: readonly ('connect' | 'firstByte' | 'idle')[];
  /** Length of the request's body, where it matters. */
  readonly bodyBytes?: number;
  /** The kinds that are left out have no such phase. */
  readonly cells: Readonly<Partial<Record<Kind, Cell>>>;
}
