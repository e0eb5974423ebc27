import { expect, jest, test } from '@jest/globals';
import { FirstTries } from '../lib/first-tries.ts';
import type { FirstTry } from '../lib/first-tries.ts';

function begun(tries: FirstTries, kind: string): FirstTry {
  const result = tries.begin(kind);
  if (result === undefined || result instanceof Promise) throw new Error('it is not ours to make');
  return result;
}

test('the first of a kind tries, the others wait for it, and go at once when it was taken', async () => {
  const tries = new FirstTries();
  const first = begun(tries, 'a');
  const waiting = tries.begin('a');
  expect(waiting).toBeInstanceOf(Promise);
  expect(tries.begin('a')).toBe(waiting);
  begun(tries, 'b').end(true);
  first.end(true);
  await waiting;
  expect(tries.begin('a')).toBeUndefined();
});

test('after one that was not taken the next one tries', async () => {
  const tries = new FirstTries();
  const first = begun(tries, 'a');
  const waiting = tries.begin('a');
  first.end(false);
  await waiting;
  const second = begun(tries, 'a');
  first.end(true);
  expect(tries.begin('a')).toBeInstanceOf(Promise);
  second.end(true);
  expect(tries.begin('a')).toBeUndefined();
});

test('who has heard nothing for a second was taken, and says so for an hour', async () => {
  jest.useFakeTimers();
  try {
    const tries = new FirstTries();
    const first = begun(tries, 'a');
    const waiting = tries.begin('a');
    jest.advanceTimersByTime(999);
    expect(tries.begin('a')).toBe(waiting);
    jest.advanceTimersByTime(1);
    await waiting;
    first.end(false);
    expect(tries.begin('a')).toBeUndefined();
    jest.advanceTimersByTime(3_599_999);
    expect(tries.begin('a')).toBeUndefined();
    jest.advanceTimersByTime(1);
    begun(tries, 'a').end(true);
    expect(jest.getTimerCount()).toBe(0);
  } finally {
    jest.useRealTimers();
  }
});

test('what was taken is remembered of a thousand kinds, the latest', () => {
  const tries = new FirstTries();
  for (let i = 0; i <= 1_000; i += 1) begun(tries, `kind ${i}`).end(true);
  expect(tries.begin('kind 1')).toBeUndefined();
  begun(tries, 'kind 0').end(true);
  begun(tries, 'kind 1').end(true);
});
