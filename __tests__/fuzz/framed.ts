import * as fc from 'fast-check';

/** How a body is put on the wire. */
export interface Framing {
  readonly kind: 'length' | 'chunked' | 'close';
  /** Where chunks begin, as parts of the whole. */
  readonly borders: readonly number[];
}

/** A place in a whole, from its beginning (0) to its end (1); `fc.double` is nearly always near 0. */
export const anyPart: fc.Arbitrary<number> = fc
  .integer({ min: 0, max: 1_000 })
  .map((n) => n / 1_000);

/** Any framing, in pieces that end anywhere: between two bytes of a character, too. */
export const anyFraming: fc.Arbitrary<Framing> = fc.record({
  kind: fc.constantFrom('length' as const, 'chunked' as const, 'close' as const),
  borders: fc.array(anyPart, { maxLength: 6 }),
});

/** An answer of status 200 as bytes. */
export function framed(
  { kind, borders }: Framing,
  headers: readonly string[],
  body: Buffer,
): { head: Buffer; body: Buffer } {
  const own = {
    length: [`Content-Length: ${body.length}`],
    chunked: ['Transfer-Encoding: chunked'],
    close: [],
  }[kind];
  const lines = ['HTTP/1.1 200 OK', ...headers, ...own, 'Connection: close', '', ''];
  return {
    head: Buffer.from(lines.join('\r\n'), 'latin1'),
    body: kind === 'chunked' ? chunked(body, borders) : body,
  };
}

/** Without the last, empty chunk, which says that the body is complete. */
export function chunks(body: Buffer, borders: readonly number[]): Buffer {
  const ends = new Set([...borders.map((part) => Math.floor(part * body.length)), body.length]);
  const pieces: Buffer[] = [];
  let from = 0;
  for (const end of [...ends].toSorted((a, b) => a - b)) {
    if (end === from) continue;
    const piece = body.subarray(from, end);
    pieces.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n'));
    from = end;
  }
  return Buffer.concat(pieces);
}

function chunked(body: Buffer, borders: readonly number[]): Buffer {
  return Buffer.concat([chunks(body, borders), Buffer.from('0\r\n\r\n')]);
}
