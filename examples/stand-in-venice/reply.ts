/** What the service answers, before anything goes wrong with it on the way. */
export interface Reply {
  status: number;
  headers: Record<string, string>;
  /** The body in the pieces in which it is written; may be made while it is read. */
  pieces: Iterable<Buffer>;
  /** Bytes of the body; `undefined` when it is not known before the end. */
  length: number | undefined;
  /** Whether the pieces are events with a delay between them. */
  paced: boolean;
  /** What the call costs of the token window. */
  tokens: number;
}

export type JsonObject = Record<string, unknown>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((member) => typeof member === 'string');
}

/** Four characters a token: near enough to what models count, and foreseeable. */
export function tokensIn(text: string): number {
  return Math.ceil(text.length / 4);
}

export function binary(contentType: string, body: Buffer): Reply {
  return {
    status: 200,
    headers: { 'Content-Type': contentType },
    pieces: [body],
    length: body.length,
    paced: false,
    tokens: 0,
  };
}

export function json(body: object, status = 200, tokens = 0): Reply {
  const reply = binary('application/json; charset=utf-8', Buffer.from(JSON.stringify(body)));
  return { ...reply, status, tokens };
}

/** A stream; an event is its whole text, blank line included. */
export function events(texts: readonly string[], tokens = 0): Reply {
  return {
    status: 200,
    headers: { 'Content-Type': 'text/event-stream; charset=utf-8', 'Cache-Control': 'no-cache' },
    pieces: texts.map((text) => Buffer.from(text)),
    length: undefined,
    paced: true,
    tokens,
  };
}
