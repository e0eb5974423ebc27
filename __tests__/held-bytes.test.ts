import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { HeldBytes } from '../lib/held-bytes.ts';
import type { JsonPart } from '../lib/json-members.ts';

const MEGABYTE = 1024 * 1024;

function inPieces(bytes: Buffer, cuts: readonly number[]): HeldBytes {
  const ends = [...cuts.filter((cut) => cut < bytes.length), bytes.length].toSorted(
    (a, b) => a - b,
  );
  return new HeldBytes(ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end)));
}

function fail(): never {
  throw new Error('seen enough');
}

const someCuts = fc.array(fc.nat(200), { maxLength: 8 });

describe('a held body', () => {
  test('is the same in one, in a look and in its length, wherever its pieces end', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), someCuts, (given, cuts) => {
        const bytes = Buffer.from(given);
        const held = inPieces(bytes, cuts);
        expect(held.length).toBe(bytes.length);
        expect(held.joined().equals(bytes)).toBe(true);
        expect(held.look((seen) => Buffer.from(seen)).equals(bytes)).toBe(true);
      }),
      { seed: 1 },
    );
  });

  test('is edited across its pieces as it would be in one', () => {
    const edits = fc.array(fc.oneof(fc.tuple(fc.nat(60), fc.nat(60)), fc.string()), {
      maxLength: 6,
    });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), someCuts, edits, (given, cuts, wanted) => {
        const bytes = Buffer.from(given);
        let at = 0;
        const parts = wanted.map((each): JsonPart => {
          if (typeof each === 'string') return Buffer.from(each);
          const start = Math.min(bytes.length, at + each[0]);
          at = Math.min(bytes.length, start + each[1]);
          return [start, at];
        });
        const expected = Buffer.concat(
          parts.map((part) => (Buffer.isBuffer(part) ? part : bytes.subarray(...part))),
        );
        expect(inPieces(bytes, cuts).edited(parts).joined().equals(expected)).toBe(true);
      }),
      { seed: 2 },
    );
  });

  test('is gone through once by an edit, however many parts that has', () => {
    let looks = 0;
    const pieces = new Proxy(
      Array.from({ length: 1_000 }, () => Buffer.from('0123')),
      {
        get(target, name) {
          looks += 1;
          return Reflect.get(target, name) as unknown;
        },
      },
    );
    const held = new HeldBytes(pieces);
    looks = 0;
    const parts = Array.from({ length: 1_000 }, (_, i): JsonPart => [4 * i + 1, 4 * i + 3]);
    expect(held.edited(parts).joined().toString()).toBe('12'.repeat(1_000));
    expect(looks).toBeLessThan(10_000);
  });

  test('that no edit changes is the very same', () => {
    const held = new HeldBytes([Buffer.from('{}')]);
    expect(held.edited(undefined)).toBe(held);
  });

  test('can be looked at while another one is', () => {
    const one = new HeldBytes([Buffer.from('on'), Buffer.from('e')]);
    const other = new HeldBytes([Buffer.from('oth'), Buffer.from('er')]);
    const seen = one.look((bytes) => [other.look(String), String(bytes)]);
    expect(seen).toEqual(['other', 'one']);
  });

  test('can be looked at after a look that failed', () => {
    const held = new HeldBytes([Buffer.from('o'), Buffer.from('ne')]);
    expect(() => held.look(fail)).toThrow('seen enough');
    const first = held.look((bytes) => bytes.buffer);
    expect(held.look((bytes) => bytes.buffer)).toBe(first);
  });

  test('takes no memory of its own for a look, unless it is very long', () => {
    const piece = Buffer.alloc(MEGABYTE, 'x');
    const first = new HeldBytes([piece, piece]).look((bytes) => bytes.buffer);
    const second = new HeldBytes([piece, piece, piece.subarray(1)]).look((bytes) => bytes.buffer);
    const long = new HeldBytes([piece, piece, piece, piece, piece.subarray(1)]);
    expect(second).toBe(first);
    expect(long.look((bytes) => bytes.buffer)).not.toBe(first);
    expect(long.look(({ length }) => length)).toBe(5 * MEGABYTE - 1);
  });
});
