import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { describe, expect, test } from '@jest/globals';
import { BucketNames } from '../lib/rate-gate/bucket-name.ts';
import { readAnswer, readRefusal } from '../lib/rate-gate/read-answer.ts';

const NOW = Date.parse('2026-09-01T12:00:00Z');
const BACKOFF = { delayMs: 700, told: false, attempt: 2 };

const windowed = (remaining: string, reset = String(NOW / 1_000 + 20)): IncomingHttpHeaders => ({
  'x-ratelimit-limit-requests': '20',
  'x-ratelimit-remaining-requests': remaining,
  'x-ratelimit-reset-requests': reset,
});

describe('an answer', () => {
  test.each([
    [200, 'served'],
    [304, 'served'],
    [400, 'failed'],
    [404, 'failed'],
    [503, 'failed'],
  ] as const)('of %i counts as %s', (status, outcome) => {
    expect(readAnswer(status, {}, NOW)).toEqual({
      outcome,
      requests: undefined,
      tokens: undefined,
    });
  });

  test('tells both windows', () => {
    const tokens = {
      'x-ratelimit-limit-tokens': '1000',
      'x-ratelimit-remaining-tokens': '900',
      'x-ratelimit-reset-tokens': '7',
    };
    expect(readAnswer(200, { ...windowed('19'), ...tokens }, NOW)).toEqual({
      outcome: 'served',
      requests: { limit: 20, remaining: 19, resetMs: 20_000 },
      tokens: { limit: 1_000, remaining: 900, resetMs: 7_000 },
    });
  });

  test.each(['-5', 'many', '', 'NaN', 'Infinity', '-0'])('takes %j for nothing left', (text) => {
    expect(readAnswer(200, windowed(text), NOW).requests?.remaining).toBe(0);
  });

  test('is read by the clock of the upstream where that differs by more than 2 s', () => {
    const near = { ...windowed('1'), date: new Date(NOW + 2_000).toUTCString() };
    const far = { ...windowed('1'), date: new Date(NOW + 5_000).toUTCString() };
    expect(readAnswer(200, near, NOW).requests?.resetMs).toBe(20_000);
    expect(readAnswer(200, far, NOW).requests?.resetMs).toBe(15_000);
  });

  test('without a reset tells none', () => {
    expect(readAnswer(200, windowed('3', 'soon'), NOW).requests?.resetMs).toBeUndefined();
  });
});

describe('a refusal', () => {
  test('for the window tells the window, and no time of its own', () => {
    expect(readRefusal(windowed('0'), '', NOW, BACKOFF)).toEqual({
      outcome: 'refused',
      requests: { limit: 20, remaining: 0, resetMs: 20_000 },
      tokens: undefined,
    });
  });

  test('with Retry-After believes that rather than the reset', () => {
    const headers = { ...windowed('0'), 'retry-after': '3' };
    expect(readRefusal(headers, '', NOW, BACKOFF).requests?.resetMs).toBe(3_000);
  });

  test('that has something left is an overload: it says how long the request backs off', () => {
    const read = readRefusal(windowed('5'), 'The model is overloaded', NOW, BACKOFF);
    expect(read).toMatchObject({ outcome: 'refused', backoffMs: 700, attempt: 2 });
  });

  test('whose time was told has no attempt: it does not grow', () => {
    const read = readRefusal({}, '', NOW, { ...BACKOFF, told: true });
    expect(read).toMatchObject({ backoffMs: 700, attempt: undefined });
  });

  test.each([
    ['Too many failed attempts (> 50) resulting in a non-success status code.', 50],
    ['Too many failed attempts (> 20)…', 20],
    ['Too many failed attempts', undefined],
    ['Too many failed attempts (> 200) to use unsupported features.', undefined],
  ])('for a block tells the budget, but not that of features: %s', (text, budget) => {
    expect(readRefusal(windowed('0'), text, NOW, BACKOFF)).toEqual({ outcome: 'blocked', budget });
  });
});

describe('the name of a bucket', () => {
  const names = new BucketNames(new URL('https://api.venice.ai/api/v1'));
  const name = (authorization: string | undefined, model?: string) =>
    names.of(authorization === undefined ? {} : { authorization }, model);

  test('holds no credentials', () => {
    expect(JSON.stringify(name('Bearer secret', 'a-model'))).not.toContain('secret');
  });

  test('is one for each key, each model and each target', () => {
    expect(name('Bearer a', 'm').key).not.toBe(name('Bearer b', 'm').key);
    expect(name('Bearer a', 'm').key).toBe(name('Bearer a', 'n').key);
    const other = new BucketNames(new URL('https://other')).of({ authorization: 'Bearer a' }, 'm');
    expect(other.key).not.toBe(name('Bearer a', 'm').key);
    const wallet = names.of({ 'sign-in-with-x': 'w' }, 'm');
    expect(wallet.key).not.toBe(name(undefined, 'm').key);
  });

  test('is the same in every process', () => {
    const again = new BucketNames(new URL('https://api.venice.ai/api/v1'));
    for (let i = 0; i < 3_000; i += 1) {
      const headers = { authorization: `Bearer ${i}` };
      expect(names.of(headers, 'm')).toEqual(again.of(headers, 'm'));
    }
    expect(name('Bearer 1', 'm').key).toBe(
      createHash('sha256')
        .update('https://api.venice.ai Bearer 1')
        .digest('base64url')
        .slice(0, 22),
    );
  });

  test('leaves the features of a model out', () => {
    expect(name('k', 'llama-3.3-70b:enable_web_search=on').bucket).toBe('llama-3.3-70b');
    expect(name('k').bucket).toBe('');
  });

  test('is short whatever the model is called', () => {
    expect(name('k', 'm'.repeat(100_000)).bucket.length).toBeLessThan(30);
    expect(name('k', 'm'.repeat(101)).bucket).not.toBe(name('k', 'm'.repeat(102)).bucket);
  });
});
