import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { endOfLastEvent, EventAligner } from '../lib/event-stream.ts';

const LF = 0x0a;

/** A reader of lines, forwards: behind the last blank line of the text, 0 when there is none. */
function behindLastBlankLine(text: string): number {
  let behind = 0;
  for (const { 0: line, 1: content, index } of text.matchAll(/([^\r\n]*)(?:\r\n|\r|\n)/g)) {
    if (content === '') behind = index + line.length;
  }
  return behind;
}

const streams = fc
  .array(
    fc.constantFrom('data: a', 'b', ':', 'é', '\n', '\n\n', '\r', '\r\n', '\r\n\r\n', '\r\r'),
    {
      maxLength: 30,
    },
  )
  .map((parts) => Buffer.from(parts.join('')));

/** A stream in chunks, some of them empty. */
const chunked = fc
  .tuple(streams, fc.array(fc.nat({ max: 9 }), { minLength: 1, maxLength: 40 }))
  .map(([stream, sizes]) => {
    const chunks: Buffer[] = [];
    let at = 0;
    for (let i = 0; at < stream.length; i++) {
      const size = sizes[i % sizes.length] ?? 0;
      // After one round of sizes that may all be 0, the rest comes at once.
      const end = i < sizes.length ? Math.min(at + size, stream.length) : stream.length;
      chunks.push(stream.subarray(at, end));
      at = end;
    }
    return { stream, chunks };
  });

function check(property: fc.IProperty<[{ stream: Buffer; chunks: Buffer[] }, number]>): void {
  fc.assert(property, { seed: 20260401, numRuns: 2000 });
}

describe('endOfLastEvent', () => {
  test.each([
    ['data: a\n\n', 9],
    ['data: a\r\r', 9],
    ['data: a\r\n\r\n', 11],
    ['data: a\n\r', 9],
    ['data: a\r\n\n', 10],
    ['data: a\n\r\n', 10],
    ['data: a\r\r\n', 10],
    ['data: a\n\ndata: b\n', 9],
    ['data: a\n\ndata: b\n\n: c', 18],
    ['data: a\n', 0],
    ['data: a\r\n', 0],
    ['data: a', 0],
    ['', 0],
  ])('finds the end of the last blank line in %j', (text, end) => {
    const x = 'x'.charCodeAt(0);
    expect(endOfLastEvent(Buffer.from(text), x, x)).toBe(end);
  });

  test.each([
    ['a', '\n', '\n', 1],
    ['a', '\n', '\r', 1],
    ['a', '\r', '\r', 1],
    ['a', '\r', '\n', 0],
    ['\n', '\r', '\n', 1],
    ['\r', '\r', '\n', 1],
    ['a', '\n', '\r\n', 2],
    ['a', '\r', '\n\r\n', 3],
    ['a', '\r', '\n\r', 2],
    ['\n', '\n', 'a', 0],
  ])('takes the bytes %j %j in front of %j into account', (beforeLast, last, text, end) => {
    expect(endOfLastEvent(Buffer.from(text), beforeLast.charCodeAt(0), last.charCodeAt(0))).toBe(
      end,
    );
  });

  test('agrees with a reader of lines', () => {
    fc.assert(
      fc.property(streams, (stream) => {
        expect(endOfLastEvent(stream, LF, LF)).toBe(behindLastBlankLine(stream.toString('latin1')));
      }),
      { seed: 20260402, numRuns: 2000 },
    );
  });

  test('looks at the end only, when the chunk ends with an event', () => {
    const chunk = Buffer.alloc(4 * 1024 * 1024, 'x');
    chunk.write('\n\n', chunk.length - 2);
    // Ten seconds and more, were it to look at every byte.
    for (let i = 0; i < 5000; i++) endOfLastEvent(chunk, LF, LF);
    expect(endOfLastEvent(chunk, LF, LF)).toBe(chunk.length);
  });
});

describe('EventAligner', () => {
  test('passes a chunk of whole events on without copying it', () => {
    const aligner = new EventAligner();
    const chunk = Buffer.from('data: a\n\ndata: b\n\n');
    expect(aligner.push(chunk)).toBe(chunk);
    expect(aligner.midEvent).toBe(false);
    expect(aligner.tail()).toHaveLength(0);
    expect(aligner.midEvent).toBe(false);
  });

  test('holds an unfinished event until its end comes', () => {
    const aligner = new EventAligner();
    expect(aligner.push(Buffer.from('data: a\n\ndata'))?.toString()).toBe('data: a\n\n');
    expect(aligner.push(Buffer.from(': b\n'))).toBeUndefined();
    expect(aligner.push(Buffer.from('\n: c'))?.toString()).toBe('data: b\n\n');
    expect(aligner.midEvent).toBe(false);
  });

  test('gives out the tail once', () => {
    const aligner = new EventAligner();
    aligner.push(Buffer.from('data: a\n\nda'));
    aligner.push(Buffer.from('ta: b'));
    expect(aligner.tail().toString()).toBe('data: b');
    expect(aligner.tail()).toHaveLength(0);
  });

  test('takes the LF of a CRLF that was split between chunks for a part of the event before', () => {
    const aligner = new EventAligner();
    expect(aligner.push(Buffer.from('data: a\r\n\r'))?.toString()).toBe('data: a\r\n\r');
    expect(aligner.midEvent).toBe(false);
    expect(aligner.push(Buffer.from('\n'))?.toString()).toBe('\n');
    expect(aligner.midEvent).toBe(false);
    expect(aligner.push(Buffer.from('data: b\r'))).toBeUndefined();
    expect(aligner.push(Buffer.from('\n'))).toBeUndefined();
    expect(aligner.push(Buffer.from('\r\n'))?.toString()).toBe('data: b\r\n\r\n');
  });

  test('passes an event over the limit on as it comes, and holds again behind its end', () => {
    const aligner = new EventAligner(10);
    expect(aligner.push(Buffer.from('data: 1234'))).toBeUndefined();
    expect(aligner.midEvent).toBe(false);
    expect(aligner.push(Buffer.from('5'))?.toString()).toBe('data: 12345');
    expect(aligner.midEvent).toBe(true);
    const more = Buffer.from('6\n');
    expect(aligner.push(more)).toBe(more);
    expect(aligner.push(Buffer.from('\ndata'))?.toString()).toBe('\n');
    expect(aligner.midEvent).toBe(false);
    expect(aligner.tail().toString()).toBe('data');
  });

  test('counts only the unfinished event towards the limit', () => {
    const aligner = new EventAligner(10);
    const whole = 'data: a long event\n\n';
    expect(aligner.push(Buffer.from(`${whole}data: 1234`))?.toString()).toBe(whole);
    expect(aligner.push(Buffer.from(`\n\n${whole}data: 5678`))?.toString()).toBe(
      `data: 1234\n\n${whole}`,
    );
    expect(aligner.midEvent).toBe(false);
    expect(aligner.push(Buffer.from(`\n\n${whole}data: 12345`))?.toString()).toBe(
      `data: 5678\n\n${whole}data: 12345`,
    );
    expect(aligner.midEvent).toBe(true);
  });

  test('holds 1 MiB by default', () => {
    const aligner = new EventAligner();
    expect(aligner.push(Buffer.alloc(1024 * 1024, 'x'))).toBeUndefined();
    expect(aligner.push(Buffer.from('x'))).toHaveLength(1024 * 1024 + 1);
  });

  test('holds an event that comes in 100 000 chunks', () => {
    const aligner = new EventAligner();
    const chunk = Buffer.from('0123456789');
    // Far beyond the time limit, were it to join them again and again.
    let given = 0;
    for (let i = 0; i < 100_000; i++) given += aligner.push(chunk)?.length ?? 0;
    expect(given).toBe(0);
    expect(aligner.push(Buffer.from('\n\n'))).toHaveLength(1_000_002);
  });

  test('lets out every event as soon as it is whole, and nothing beyond, in any chunking', () => {
    check(
      fc.property(chunked, fc.constant(1000), ({ stream, chunks }, maxTail) => {
        const aligner = new EventAligner(maxTail);
        const out: Buffer[] = [];
        let received = 0;
        let sent = 0;
        for (const chunk of chunks) {
          const piece = aligner.push(chunk);
          received += chunk.length;
          sent += piece?.length ?? 0;
          if (piece !== undefined) out.push(piece);
          expect(sent).toBe(behindLastBlankLine(stream.toString('latin1', 0, received)));
          expect(aligner.midEvent).toBe(false);
        }
        expect(out.filter((piece) => piece.length === 0)).toEqual([]);
        out.push(aligner.tail());
        expect(Buffer.concat(out).equals(stream)).toBe(true);
      }),
    );
  });

  test('never holds more than the limit, and knows when it has let out a part of an event', () => {
    check(
      fc.property(chunked, fc.nat({ max: 20 }), ({ stream, chunks }, maxTail) => {
        const aligner = new EventAligner(maxTail);
        const out: Buffer[] = [];
        let received = 0;
        let sent = 0;
        for (const chunk of chunks) {
          const piece = aligner.push(chunk);
          received += chunk.length;
          sent += piece?.length ?? 0;
          if (piece !== undefined) out.push(piece);
          const boundary = behindLastBlankLine(stream.toString('latin1', 0, received));
          expect(received - sent).toBeLessThanOrEqual(maxTail);
          expect(sent).toBe(aligner.midEvent ? received : boundary);
          expect(aligner.midEvent).toBe(sent > boundary);
        }
        out.push(aligner.tail());
        expect(Buffer.concat(out).equals(stream)).toBe(true);
      }),
    );
  });
});
