import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { Patience } from '../lib/patience.ts';

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  for (const patience of open.splice(0)) patience.end();
  jest.useRealTimers();
});

const open: Patience[] = [];

function begun(waitMs: number): { patience: Patience; endedAfter: () => number | undefined } {
  const patience = new Patience();
  open.push(patience);
  const since = performance.now();
  let endedAt: number | undefined;
  patience.begin(waitMs, () => {
    endedAt = performance.now();
  });
  return { patience, endedAfter: () => endedAt && endedAt - since };
}

describe('patience', () => {
  test.each([1, 80, 9_999, 10_000, 10_001, 300_000])('ends after %d ms', (waitMs) => {
    const { endedAfter } = begun(waitMs);
    jest.advanceTimersByTime(waitMs - 1);
    expect(endedAfter()).toBeUndefined();
    jest.advanceTimersByTime(1);
    expect(endedAfter()).toBe(waitMs);
    expect(jest.getTimerCount()).toBe(0);
  });

  test('begins anew when it is prolonged, with the same timer', () => {
    const { patience, endedAfter } = begun(100);
    for (let i = 0; i < 50; i += 1) {
      jest.advanceTimersByTime(90);
      patience.prolong(100);
      expect(jest.getTimerCount()).toBe(1);
    }
    expect(endedAfter()).toBeUndefined();
    jest.advanceTimersByTime(100);
    expect(endedAfter()).toBe(50 * 90 + 100);
  });

  test('turns from a long wait to a shorter one', () => {
    const { patience, endedAfter } = begun(300_000);
    const ended = jest.fn();
    patience.begin(50, ended);
    jest.advanceTimersByTime(50);
    expect(ended).toHaveBeenCalledTimes(1);
    expect(endedAfter()).toBeUndefined();
  });

  test('that was stopped ends nothing, and can begin again', () => {
    const { patience, endedAfter } = begun(100);
    patience.stop();
    jest.advanceTimersByTime(100_000);
    expect(endedAfter()).toBeUndefined();
    expect(jest.getTimerCount()).toBe(0);
    const ended = jest.fn();
    patience.begin(20, ended);
    jest.advanceTimersByTime(20);
    expect(ended).toHaveBeenCalledTimes(1);
  });

  test('that has ended leaves no timer, whatever begins then', () => {
    const { patience, endedAfter } = begun(100);
    patience.end();
    expect(jest.getTimerCount()).toBe(0);
    patience.begin(10, () => {});
    patience.prolong(10);
    expect(jest.getTimerCount()).toBe(0);
    jest.advanceTimersByTime(1_000);
    expect(endedAfter()).toBeUndefined();
  });

  test('of many has one timer, and each ends when it would alone', () => {
    const waits = Array.from({ length: 200 }, (_, i) => ({ waitMs: ((i * 7_919) % 997) + 1, i }));
    const all = waits.map(({ waitMs, i }) => ({ waitMs, i, wait: begun(waitMs) }));
    expect(jest.getTimerCount()).toBe(1);
    for (const { i, wait } of all) if (i % 3 === 0) wait.patience.end();
    for (let ms = 0; ms < 1_000; ms += 1) {
      jest.advanceTimersByTime(1);
      expect(jest.getTimerCount()).toBeLessThan(2);
    }
    for (const { i, waitMs, wait } of all) {
      expect(wait.endedAfter()).toBe(i % 3 === 0 ? undefined : waitMs);
    }
    expect(jest.getTimerCount()).toBe(0);
  });

  test('that is lost may end that of others, or begin another', () => {
    const [first, second] = [new Patience(), new Patience()];
    open.push(first, second);
    const lost: string[] = [];
    first.begin(10, () => {
      lost.push('first');
      second.end();
      first.begin(5, () => lost.push('first again'));
    });
    second.begin(10, () => lost.push('second'));
    jest.advanceTimersByTime(100);
    expect(lost).toEqual(['first', 'first again']);
    first.end();
    expect(jest.getTimerCount()).toBe(0);
  });
});
