import type { IncomingHttpHeaders } from 'node:http';
import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { delayAfter, resetMs, retryAfterMs } from '../lib/backoff.ts';
import type { Delay } from '../lib/backoff.ts';

const NOW = Date.parse('2026-09-01T12:00:00Z');
const NOW_S = NOW / 1_000;
const WEEK_S = 7 * 24 * 3_600;
const CONFIG = { baseRetryDelayMs: 1_000, rateLimitWaitMs: 30_000 };
const REQUEST_WINDOW = { 'x-ratelimit-remaining-requests': '0' };

interface Case {
  status?: number;
  headers?: IncomingHttpHeaders;
  text?: string;
  attempt?: number;
  now?: number;
  random?: number;
}

/** The delay after a 429 at `NOW`, with half of the backoff drawn, where nothing else is said. */
function delayOf(said: Case = {}): Delay {
  const { status = 429, headers = {}, text = '', attempt = 1, now = NOW, random = 0.5 } = said;
  return delayAfter({ status, headers, text }, attempt, { now, random }, CONFIG);
}

const date = (ms: number): string => new Date(ms).toUTCString();
const OVERLOADED: Delay = { delayMs: 500, reason: 'overloaded', told: false, isWindow: false };
const limited = (delayMs: number): Delay => {
  return { delayMs, reason: 'rate limit', told: true, isWindow: true };
};
const retryAfter = (delayMs: number): Delay => {
  return { delayMs, reason: 'retry-after', told: true, isWindow: false };
};

describe('four kinds of 429 have four clocks', () => {
  test('an exhausted window is waited out until its reset', () => {
    const headers = { ...REQUEST_WINDOW, 'x-ratelimit-reset-requests': String(NOW_S + 20) };
    expect(delayOf({ headers })).toEqual(limited(20_000));
  });

  test('Retry-After is obeyed', () => {
    expect(delayOf({ headers: { 'retry-after': '7' } })).toEqual(retryAfter(7_000));
  });

  test.each([
    '{"error":"Too many failed attempts (> 20) resulting in a non-success status code."}',
    '{"error":"Too many failed attempts (> 50) resulting in a non-success status code."}',
    '{"error":{"message":"Too many failed attempts (> 200)…","code":"RATE_LIMIT_EXCEEDED"}}',
    'Too many failed attempts',
  ])('a block for failed requests lasts as long as configured: %s', (text) => {
    const blocked: Delay = {
      delayMs: 30_000,
      reason: 'blocked for failed requests',
      told: true,
      isWindow: true,
    };
    expect(delayOf({ text })).toEqual(blocked);
    expect(delayOf({ text, attempt: 5, random: 0 })).toEqual(blocked);
  });

  test('a block outlasts whatever the headers say', () => {
    const headers = {
      'retry-after': '1',
      ...REQUEST_WINDOW,
      'x-ratelimit-reset-requests': String(NOW_S + 2),
    };
    expect(delayOf({ headers, text: 'Too many failed attempts' }).delayMs).toBe(30_000);
  });

  test('the words of a block mean nothing in an answer that is no 429', () => {
    const text = 'Too many failed attempts';
    expect(delayOf({ status: 500, text })).toEqual({
      delayMs: 500,
      reason: 'status 500',
      told: false,
      isWindow: false,
    });
  });

  test.each<[string, IncomingHttpHeaders]>([
    ['says nothing of the quota', {}],
    [
      'has requests and tokens left',
      {
        'x-ratelimit-remaining-requests': '3',
        'x-ratelimit-reset-requests': String(NOW_S + 20),
        'x-ratelimit-remaining-tokens': '1000',
        'x-ratelimit-reset-tokens': '20',
      },
    ],
    [
      'has requests left and says nothing of tokens',
      {
        'x-ratelimit-remaining-requests': '1',
        'x-ratelimit-reset-requests': String(NOW_S + 20),
        'x-ratelimit-reset-tokens': '20',
      },
    ],
    ['has no requests left but no reset either', REQUEST_WINDOW],
  ])('an overloaded model is backed off from: the answer %s', (_what, headers) => {
    expect(delayOf({ headers })).toEqual(OVERLOADED);
  });
});

describe('the window that refused', () => {
  const stamps = {
    'x-ratelimit-reset-requests': String(NOW_S + 20),
    'x-ratelimit-reset-tokens': '40',
  };

  test.each<[string | undefined, string | undefined, number]>([
    ['0', '5', 20_000],
    ['5', '0', 40_000],
    ['0', '0', 40_000],
    ['-1', '5', 20_000],
    ['5', '-3', 40_000],
    [undefined, undefined, 20_000],
    [undefined, '5', 20_000],
    [undefined, '0', 40_000],
    ['0', undefined, 20_000],
  ])('is the latest of those with nothing left: %s requests, %s tokens', (requests, tokens, ms) => {
    const headers: IncomingHttpHeaders = { ...stamps };
    if (requests !== undefined) headers['x-ratelimit-remaining-requests'] = requests;
    if (tokens !== undefined) headers['x-ratelimit-remaining-tokens'] = tokens;
    expect(delayOf({ headers })).toEqual(limited(ms));
  });

  test.each(['NaN', 'many', 'Infinity', '0, 0'])(
    'is none whose remainder is no number: %j',
    (remaining) => {
      const headers = { ...stamps, 'x-ratelimit-remaining-requests': remaining };
      expect(delayOf({ headers })).toEqual(OVERLOADED);
    },
  );

  test('is read from the first of several headers of one name', () => {
    const headers = {
      'x-ratelimit-remaining-requests': ['0', '9'],
      'x-ratelimit-reset-requests': [String(NOW_S + 3), String(NOW_S + 99)],
    };
    expect(delayOf({ headers })).toEqual(limited(3_000));
  });

  test('says nothing in an answer that is no 429', () => {
    const headers = { ...REQUEST_WINDOW, ...stamps };
    expect(delayOf({ status: 503, headers }).reason).toBe('status 503');
  });

  test('gives way to Retry-After', () => {
    const headers = { ...REQUEST_WINDOW, ...stamps, 'retry-after': '3' };
    expect(delayOf({ headers })).toEqual(retryAfter(3_000));
  });
});

describe('a reset', () => {
  test.each([
    ['Unix seconds', String(NOW_S + 20), 20_000],
    ['Unix seconds with a fraction', String(NOW_S + 20.5), 20_500],
    ['Unix milliseconds', String(NOW + 20_000), 20_000],
    ['seconds from now', '20', 20_000],
    ['a fraction of a second from now', '0.25', 250],
    ['a number amid spaces', ' 20 ', 20_000],
    ['nothing from now', '0', 0],
    ['a week from now in Unix seconds', String(NOW_S + WEEK_S), WEEK_S * 1_000],
    ['a week from now', String(WEEK_S), WEEK_S * 1_000],
    ['a stamp that has passed', String(NOW_S - 5), -5_000],
    ['a stamp in milliseconds that has passed', String(NOW - 1), -1],
  ])('may be %s: %j', (_what, value, expected) => {
    expect(resetMs(value, NOW)).toBe(expected);
  });

  test.each([
    undefined,
    '',
    ' ',
    '-5',
    '+5',
    'NaN',
    'Infinity',
    'soon',
    '20s',
    '1m30s',
    '20, 20',
    '0x10',
    '1e3',
    '1.2.3',
    '.',
    date(NOW + 20_000),
    String(WEEK_S + 1),
    String(NOW_S + WEEK_S + 1),
    String(NOW + WEEK_S * 1_000 + 1),
    '9'.repeat(400),
  ])('is nothing when it is garbage or more than a week ahead: %j', (value) => {
    expect(resetMs(value, NOW)).toBeUndefined();
    const headers: IncomingHttpHeaders = { ...REQUEST_WINDOW };
    if (value !== undefined) headers['x-ratelimit-reset-requests'] = value;
    expect(delayOf({ headers })).toEqual(OVERLOADED);
  });

  test.each([
    [0, 1_000],
    [1, 999],
    [400, 600],
    [999, 1],
    [1_000, 0],
  ])('that passed %i ms ago is probed when its second is over, in %i ms', (ago, delayMs) => {
    const headers = { ...REQUEST_WINDOW, 'x-ratelimit-reset-requests': String(NOW_S) };
    expect(delayOf({ headers, now: NOW + ago })).toEqual(limited(delayMs));
  });

  test.each([1_001, 60_000])('that passed %i ms ago explains nothing', (ago) => {
    const headers = { ...REQUEST_WINDOW, 'x-ratelimit-reset-requests': String(NOW_S) };
    expect(delayOf({ headers, now: NOW + ago })).toEqual(OVERLOADED);
  });

  test('is waited for without a margin', () => {
    const headers = { ...REQUEST_WINDOW, 'x-ratelimit-reset-requests': String(NOW_S) };
    expect(delayOf({ headers, now: NOW - 1 })).toEqual(limited(1));
    expect(delayOf({ headers, now: NOW - 250.5 })).toEqual(limited(251));
  });
});

describe('Retry-After', () => {
  test.each([
    ['seconds', '7', 7_000],
    ['a fraction, rounded up', '0.0001', 1],
    ['seconds amid spaces', ' 7 ', 7_000],
    ['a week', String(WEEK_S), WEEK_S * 1_000],
    ['a date', date(NOW + 90_000), 90_000],
  ])('may be %s: %j', (_what, value, expected) => {
    expect(retryAfterMs(value, NOW)).toBe(expected);
  });

  test.each([
    undefined,
    '',
    '0',
    '-5',
    'NaN',
    'Infinity',
    'soon',
    '7s',
    '5, 10',
    '1e3',
    String(WEEK_S + 1),
    '9'.repeat(400),
    date(NOW - 1_000),
    date(NOW),
    date(NOW + WEEK_S * 1_000 + 1_000),
  ])('is nothing when it is garbage, now, past or more than a week ahead: %j', (value) => {
    expect(retryAfterMs(value, NOW)).toBeUndefined();
    const headers: IncomingHttpHeaders = {};
    if (value !== undefined) headers['retry-after'] = value;
    expect(delayOf({ headers })).toEqual(OVERLOADED);
  });

  test.each([408, 500, 502, 503, 520])('is obeyed in a %i, too', (status) => {
    expect(delayOf({ status, headers: { 'retry-after': '3' } })).toEqual(retryAfter(3_000));
  });
});

describe("the upstream's clock", () => {
  test.each([-2_000, 2_000, -1_000, 0])('is ours while it differs by %i ms', (byMs) => {
    const headers = {
      ...REQUEST_WINDOW,
      'x-ratelimit-reset-requests': String(NOW_S + 20),
      date: date(NOW + byMs),
    };
    expect(delayOf({ headers })).toEqual(limited(20_000));
  });

  test.each([
    [-3_000, 23_000],
    [3_000, 17_000],
    [-3_600_000, 3_620_000],
  ])('counts when it differs by %i ms', (byMs, delayMs) => {
    const said = { date: date(NOW + byMs) };
    const stamp = { ...REQUEST_WINDOW, 'x-ratelimit-reset-requests': String(NOW_S + 20) };
    expect(delayOf({ headers: { ...said, ...stamp } })).toEqual(limited(delayMs));
    const at = { 'retry-after': date(NOW + 20_000) };
    expect(delayOf({ headers: { ...said, ...at } })).toEqual(retryAfter(delayMs));
  });

  test('does not touch what is counted from now', () => {
    const said = { date: date(NOW - 3_600_000) };
    expect(delayOf({ headers: { ...said, 'retry-after': '20' } })).toEqual(retryAfter(20_000));
    const reset = { ...REQUEST_WINDOW, 'x-ratelimit-reset-requests': '20' };
    expect(delayOf({ headers: { ...said, ...reset } })).toEqual(limited(20_000));
  });

  test.each(['', 'yesterday', 'NaN'])('is ours when Date is garbage: %j', (garbage) => {
    const headers = {
      ...REQUEST_WINDOW,
      'x-ratelimit-reset-requests': String(NOW_S + 20),
      date: garbage,
    };
    expect(delayOf({ headers })).toEqual(limited(20_000));
  });
});

describe('exponential backoff', () => {
  test.each([408, 500, 502, 503, 520, 524])('follows a %i', (status) => {
    expect(delayOf({ status })).toEqual({
      delayMs: 500,
      reason: `status ${status}`,
      told: false,
      isWindow: false,
    });
  });

  test('follows a failed connection', () => {
    expect(delayAfter(undefined, 2, { now: NOW, random: 0.5 }, CONFIG)).toEqual({
      delayMs: 1_000,
      reason: 'no answer',
      told: false,
      isWindow: false,
    });
  });

  test.each([
    [1, 1_000],
    [2, 2_000],
    [3, 4_000],
    [4, 8_000],
    [5, 16_000],
    [6, 30_000],
    [7, 30_000],
    [5_000, 30_000],
  ])('is drawn, after attempt %i, between 0 and %i ms', (attempt, ceilingMs) => {
    expect(delayOf({ status: 500, attempt, random: 0 }).delayMs).toBe(0);
    expect(delayOf({ status: 500, attempt, random: 0.25 }).delayMs).toBe(ceilingMs / 4);
    expect(delayOf({ status: 500, attempt, random: 1 }).delayMs).toBe(ceilingMs);
  });

  test('is a whole number of milliseconds within its bounds, whatever the base', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 2 ** 31 - 1, noNaN: true }),
        fc.integer({ min: 1, max: 1_000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (baseRetryDelayMs, attempt, random) => {
          const config = { ...CONFIG, baseRetryDelayMs };
          const { delayMs } = delayAfter(undefined, attempt, { now: NOW, random }, config);
          expect(Number.isInteger(delayMs)).toBe(true);
          expect(delayMs).toBeGreaterThanOrEqual(0);
          expect(delayMs).toBeLessThanOrEqual(30_000);
          expect(delayMs).toBeLessThanOrEqual(Math.ceil(baseRetryDelayMs * 2 ** (attempt - 1)));
        },
      ),
    );
  });

  test.each([1, 2, 1_025, 100_000])('of a base of 0 is 0 after attempt %i', (attempt) => {
    const config = { ...CONFIG, baseRetryDelayMs: 0 };
    expect(delayAfter(undefined, attempt, { now: NOW, random: 0.5 }, config).delayMs).toBe(0);
  });
});
