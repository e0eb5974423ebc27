import { describe, expect, jest, test } from '@jest/globals';
import * as fc from 'fast-check';
import { Pieces } from '../lib/pieces.ts';

describe('pieces', () => {
  test('come out as they went in, however many and however long', () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 3 }),
      fc.uint8Array({ minLength: 1_000, maxLength: 1_100 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 300 }), (given) => {
        const pieces = new Pieces();
        for (const each of given) pieces.push(Buffer.from(each));
        const whole = Buffer.concat(given);
        expect(pieces.bytes).toBe(whole.length);
        expect(pieces.join().equals(whole)).toBe(true);
        expect(Buffer.concat(pieces.take()).equals(whole)).toBe(true);
        expect(pieces.bytes).toBe(0);
        expect(pieces.take()).toEqual([]);
      }),
      { seed: 1 },
    );
  });

  test('that are many and small become few', () => {
    const pieces = new Pieces();
    for (let i = 0; i < 100_000; i += 1) pieces.push(Buffer.from('x'));
    expect(pieces.bytes).toBe(100_000);
    expect(pieces.list.length).toBeLessThan(100);
    expect(pieces.join().toString()).toBe('x'.repeat(100_000));
  });

  test('that are small take no block each, where they stand between long ones', () => {
    const allocations = jest.spyOn(Buffer, 'allocUnsafe');
    const pieces = new Pieces();
    for (let i = 0; i < 500; i += 1) {
      pieces.push(Buffer.alloc(1_024, 'l'));
      pieces.push(Buffer.from('s'));
    }
    const blocks = allocations.mock.calls.length;
    allocations.mockRestore();
    expect(pieces.join().toString()).toBe(`${'l'.repeat(1_024)}s`.repeat(500));
    expect(blocks).toBe(1);
  });

  test('that are looked at in between stay in their order', () => {
    const pieces = new Pieces();
    for (let i = 0; i < 500; i += 1) {
      pieces.push(Buffer.from(`${i} `));
      expect(Buffer.concat(pieces.list).toString().endsWith(`${i} `)).toBe(true);
    }
    expect(pieces.join().toString().trim().split(' ').map(Number)).toEqual(
      Array.from({ length: 500 }, (_, i) => i),
    );
  });

  test('of which there is one are that one', () => {
    const pieces = new Pieces();
    const only = Buffer.from('only');
    pieces.push(only);
    expect(pieces.join()).toBe(only);
  });
});
