import * as fc from 'fast-check';

/** What breaks parsers: framing, line ends, signs that mean something. */
const PIECES: readonly string[] = [
  '\r\n',
  '\n',
  '\r',
  '\r\n\r\n',
  ' ',
  '\t',
  '\0',
  ':',
  ';a=b',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: xchunked\r\n',
  'Transfer-Encoding : chunked\r\n',
  'Transfer-Encoding: gzip, chunked\r\n',
  'Content-Length: 5\r\n',
  'Content-Length: 0\r\n',
  'Content-Length: -1\r\n',
  'Content-Length: 0x10\r\n',
  'Content-Length: 99999999999999999999\r\n',
  'Connection: close\r\n',
  'Connection: upgrade\r\nUpgrade: x\r\n',
  'Trailer: X\r\n',
  ' folded\r\n',
  '0\r\n\r\n',
  'ffffffffffffffff\r\n',
  'HTTP/1.0',
  'HTTP/2.0',
  '../',
  '%2e%2e/',
  '\u00ff',
  `X-Long: ${'x'.repeat(20_000)}\r\n`,
];

type Edit = (bytes: Buffer) => Buffer;

const edit: fc.Arbitrary<Edit> = fc.oneof(
  fc.tuple(fc.nat(), fc.constantFrom(...PIECES)).map(([at, piece]): Edit => (bytes) => {
    const place = at % (bytes.length + 1);
    return splice(bytes, place, 0, Buffer.from(piece, 'latin1'));
  }),
  // Behind a line, where a header can stand.
  fc.tuple(fc.nat(), fc.constantFrom(...PIECES)).map(([nth, piece]): Edit => (bytes) => {
    const ends = [...bytes.toString('latin1').matchAll(/\r\n/g)].map(({ index }) => index + 2);
    const place = ends[nth % Math.max(1, ends.length)] ?? 0;
    return splice(bytes, place, 0, Buffer.from(piece, 'latin1'));
  }),
  fc.tuple(fc.nat(), fc.integer({ min: 1, max: 12 })).map(
    ([at, length]): Edit =>
      (bytes) =>
        splice(bytes, at % (bytes.length + 1), length, Buffer.alloc(0)),
  ),
  fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })).map(
    ([at, byte]): Edit =>
      (bytes) =>
        splice(bytes, at % (bytes.length + 1), 1, Buffer.of(byte)),
  ),
  fc.nat().map(
    (at): Edit =>
      (bytes) =>
        bytes.subarray(0, at % (bytes.length + 1)),
  ),
);

/** A text with up to four changes. */
export function mutated(text: string): fc.Arbitrary<Buffer> {
  return fc.array(edit, { maxLength: 4 }).map((edits) => {
    let bytes: Buffer = Buffer.from(text, 'latin1');
    for (const each of edits) bytes = each(bytes);
    return bytes;
  });
}

function splice(bytes: Buffer, at: number, length: number, put: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + length)]);
}
