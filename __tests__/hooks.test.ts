import { describe, expect, jest, test } from '@jest/globals';
import { callHook } from '../lib/hooks.ts';

const EVENT = Object.freeze({ attempt: 1 });

describe('a hook', () => {
  test('is told its event, once and at once', () => {
    const hook = jest.fn((_event: typeof EVENT): void => {});
    callHook(hook, EVENT);
    expect(hook.mock.calls).toEqual([[EVENT]]);
    expect(hook.mock.calls[0]?.[0]).toBe(EVENT);
  });

  test('need not be there', () => {
    expect(() => callHook(undefined, EVENT)).not.toThrow();
  });

  test.each<[string, unknown]>([
    ['an error', new Error('mine')],
    ['a string', 'mine'],
    ['nothing', undefined],
    ['a symbol', Symbol('mine')],
    ['a thing that has no string', Object.create(null)],
  ])('may throw %s, and nothing comes of it', (_what, thrown) => {
    const hook = jest.fn(() => {
      throw thrown;
    });
    expect(() => callHook(hook, EVENT)).not.toThrow();
    expect(hook).toHaveBeenCalledTimes(1);
  });

  // Jest fails a test during which a rejection is left unhandled, as Node would end the process.
  test('may be an async function that fails later, and nothing comes of it', async () => {
    const hook = jest.fn(async () => {
      await Promise.resolve();
      throw new Error('mine');
    });
    callHook(hook as unknown as (event: typeof EVENT) => void, EVENT);
    await new Promise((resolve) => setImmediate(resolve));
    expect(hook).toHaveBeenCalledTimes(1);
  });
});
