import { afterEach, describe, expect, jest, test } from '@jest/globals';
import type { Fault, StandInOptions } from '../examples/stand-in-venice.ts';
import { chat, startScene } from './helpers/scene.ts';
import type { Scene } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';
import type { Reply } from './helpers/serve.ts';

afterEach(() => {
  jest.restoreAllMocks();
});

const WINDOW_MS = 400;
const ONE_A_WINDOW = { requests: { limit: 1, windowMs: WINDOW_MS } };

/** What becomes of a refusal is the matter here: the gate would avoid it. */
function startUngated(standIn: StandInOptions): Promise<Scene> {
  return startScene({ rateLimit: false }, standIn);
}

/** Sends a second request on the heels of the first, which uses up the window. */
async function sendTwo(scene: Scene, first: object = {}, second: object = {}): Promise<Reply> {
  const served = chat(scene, first);
  await scene.venice.arrived(1);
  const refused = await chat(scene, second);
  expect((await served).status).toBe(200);
  return refused;
}

/** When the calls arrived, in milliseconds after the first. */
function arrivals({ venice }: Scene): number[] {
  return venice.calls.map(({ at }) => at - (venice.calls[0]?.at ?? 0));
}

/** What a wait must be when nothing but the backoff counts and chance says 1. */
function noChance(): void {
  jest.spyOn(Math, 'random').mockReturnValue(1);
}

describe('a request window with nothing left', () => {
  test.each([
    ['seconds', 'ceil'],
    ['seconds', 'floor'],
    ['milliseconds', 'ceil'],
    ['relative', 'ceil'],
    ['relative', 'floor'],
  ] as const)(
    'is waited for until it resets: %s, rounded by %s',
    async (resetFormat, resetRounding) => {
      const scene = await startUngated({ ...ONE_A_WINDOW, resetFormat, resetRounding });
      const reply = await sendTwo(scene);
      expect(reply.status).toBe(200);
      // A stamp in whole seconds may lie before the end of the window: then one more is spent.
      const retries = scene.venice.calls.length - 2;
      expect([1, 2]).toContain(retries);
      expect(scene.venice.calls.slice(1, -1).map(({ refusedBy }) => refusedBy)).toEqual(
        Array(retries).fill('requests'),
      );
      expect(scene.recorder.retries).toHaveLength(retries);
      for (const retry of scene.recorder.retries) {
        expect(retry).toMatchObject({ status: 429, reason: 'rate limit' });
        expect(retry.delayMs).toBeGreaterThan(0);
        expect(retry.delayMs).toBeLessThanOrEqual(1_000 + WINDOW_MS);
      }
      expect(arrivals(scene).at(-1)).toBeGreaterThanOrEqual(WINDOW_MS - 1);
    },
  );

  test('is told by milliseconds to the millisecond', async () => {
    const scene = await startUngated({ ...ONE_A_WINDOW, resetFormat: 'milliseconds' });
    await sendTwo(scene);
    expect(scene.recorder.delays).toHaveLength(1);
    // Whole seconds would make it longer.
    expect(scene.recorder.delays[0]).toBeLessThanOrEqual(WINDOW_MS);
    expect(arrivals(scene)[2]).toBeGreaterThanOrEqual(WINDOW_MS - 1);
  });

  test('belongs to the model without its suffix, as the upstream counts', async () => {
    const scene = await startUngated({ ...ONE_A_WINDOW, resetFormat: 'milliseconds' });
    const reply = await sendTwo(scene, { model: 'm:enable_web_search=on' }, { model: 'm' });
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 3]);
    expect(scene.recorder.retries).toEqual([
      expect.objectContaining({ request: expect.objectContaining({ model: 'm' }) }),
    ]);
  });

  test('is waited for by a stream, too', async () => {
    const scene = await startUngated({ ...ONE_A_WINDOW, resetFormat: 'milliseconds' });
    const reply = await sendTwo(scene, {}, { stream: true });
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 3]);
    expect(reply.text).toMatch(/\[DONE\]\n\n$/);
    expect(scene.recorder.retries).toEqual([expect.objectContaining({ reason: 'rate limit' })]);
  });
});

test('a token window with nothing left is waited for until it resets', async () => {
  const scene = await startUngated({ tokens: { limit: 1, windowMs: 900 } });
  await chat(scene);
  const reply = await chat(scene);
  expect([reply.status, scene.venice.calls.length]).toEqual([200, 3]);
  expect(scene.venice.calls[1]?.refusedBy).toBe('tokens');
  // `reset-tokens` counts in whole seconds from now.
  expect(scene.recorder.retries).toEqual([
    expect.objectContaining({ status: 429, reason: 'rate limit', delayMs: 1_000 }),
  ]);
});

describe('a clock of the upstream that is off by minutes', () => {
  test.each([
    [5 * 60_000, 'seconds'],
    [-5 * 60_000, 'seconds'],
    [5 * 60_000, 'milliseconds'],
    [-5 * 60_000, 'milliseconds'],
  ] as const)('does not change the wait: %d ms, in %s', async (clockOffsetMs, resetFormat) => {
    const scene = await startUngated({ ...ONE_A_WINDOW, clockOffsetMs, resetFormat });
    const reply = await sendTwo(scene);
    // `Date` is cut to whole seconds, so the wait can be a second too long, but not too short.
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 3]);
    expect(scene.recorder.retries).toEqual([expect.objectContaining({ reason: 'rate limit' })]);
    expect(scene.recorder.delays[0]).toBeLessThanOrEqual(WINDOW_MS + 2_000);
    expect(arrivals(scene)[2]).toBeGreaterThanOrEqual(WINDOW_MS - 1);
  });
});

describe('Retry-After', () => {
  test.each([
    [429, '1', 1_000],
    [503, '0.05', 50],
  ])('decides how long a wait after %d is: %s s', async (status, seconds, delayMs) => {
    noChance();
    const scene = await startScene();
    scene.venice.script({ kind: 'answer', status, headers: { 'Retry-After': seconds } });
    const reply = await chat(scene);
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 2]);
    expect(scene.recorder.retries).toEqual([
      expect.objectContaining({ status, reason: 'retry-after', delayMs }),
    ]);
    expect(arrivals(scene)[1]).toBeGreaterThanOrEqual(delayMs - 2);
  });

  test('may be a date', async () => {
    const scene = await startScene();
    const date = new Date(Date.now() + 1_900).toUTCString();
    scene.venice.script({ kind: 'answer', status: 429, headers: { 'Retry-After': date } });
    const reply = await chat(scene);
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 2]);
    const [retry] = scene.recorder.retries;
    expect(retry?.reason).toBe('retry-after');
    // The date is cut to whole seconds.
    expect(retry?.delayMs).toBeLessThanOrEqual(1_900);
  });

  test('counts more than the reset of the window', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'rate-limited', resetMs: 60_000, retryAfter: 0.05 });
    const reply = await chat(scene);
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 2]);
    expect(scene.recorder.retries).toEqual([
      expect.objectContaining({ reason: 'retry-after', delayMs: 50 }),
    ]);
  });

  test.each(['soon', '', '0', '-1', 'Wed, 21 Oct 2015 07:28:00 GMT'])(
    'that is no time to come is as if it were not there: %j',
    async (retryAfter) => {
      noChance();
      const scene = await startScene({ baseRetryDelay: 7 });
      scene.venice.script({ kind: 'answer', status: 503, headers: { 'Retry-After': retryAfter } });
      expect((await chat(scene)).status).toBe(200);
      expect(scene.recorder.retries).toEqual([
        expect.objectContaining({ reason: 'status 503', delayMs: 7 }),
      ]);
    },
  );
});

describe('the block for failed requests', () => {
  test.each([
    ['text', 50],
    ['text', 20],
    ['json', 50],
  ] as const)('is waited out for rateLimitWait: as %s, more than %d', async (shape, failures) => {
    const scene = await startScene({ rateLimitWait: 120 });
    scene.venice.script({ kind: 'abuse-block', shape, failures });
    const reply = await chat(scene);
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 2]);
    expect(scene.recorder.retries).toEqual([
      expect.objectContaining({
        status: 429,
        reason: 'blocked for failed requests',
        delayMs: 120,
      }),
    ]);
    expect(arrivals(scene)[1]).toBeGreaterThanOrEqual(118);
  });

  test.each(['gzip', 'br', 'deflate'] as const)(
    'is recognised although the answer is compressed: %s',
    async (compress) => {
      const scene = await startScene({ rateLimitWait: 60 }, { compress });
      scene.venice.script({ kind: 'abuse-block', shape: 'json' });
      const reply = await send(`${scene.baseUrl}/api_keys`, {
        headers: { 'accept-encoding': 'gzip, deflate, br' },
      });
      expect([reply.status, scene.venice.calls.length]).toEqual([200, 2]);
      expect(scene.recorder.retries).toEqual([
        expect.objectContaining({ reason: 'blocked for failed requests', delayMs: 60 }),
      ]);
    },
  );

  test('for unsupported features is waited out alike', async () => {
    const scene = await startScene({ rateLimitWait: 60 });
    scene.venice.script({ kind: 'feature-block' });
    const reply = await chat(scene);
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 2]);
    expect(scene.recorder.delays).toEqual([60]);
  });

  test('counts more than the headers of a window beside it', async () => {
    const scene = await startScene({ rateLimitWait: 60 });
    scene.venice.script({
      kind: 'answer',
      status: 429,
      headers: {
        'x-ratelimit-remaining-requests': '0',
        'x-ratelimit-reset-requests': '50',
        'Retry-After': '40',
      },
      body: 'Too many failed attempts (> 50) resulting in a non-success status code.',
    });
    const reply = await chat(scene);
    expect([reply.status, scene.recorder.delays]).toEqual([200, [60]]);
  });

  test('ends after a wait that is as long as its window: no call in between prolongs it', async () => {
    const scene = await startScene(
      { rateLimitWait: 450 },
      { abuse: { failures: 50, windowMs: 400 } },
    );
    scene.venice.block('test-key');
    const reply = await chat(scene);
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 2]);
    expect(scene.venice.calls[0]?.refusedBy).toBe('abuse');
    expect(scene.recorder.delays).toEqual([450]);
  });
});

describe('an overloaded model', () => {
  test.each([
    ['requests remain', { kind: 'overloaded' }],
    ['nothing is said of the quota', { kind: 'overloaded', headers: false }],
  ] satisfies [string, Fault][])('means exponential backoff: %s', async (_name, fault) => {
    noChance();
    const scene = await startScene({ baseRetryDelay: 10 });
    scene.venice.script(fault, fault, fault);
    const reply = await chat(scene);
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 4]);
    expect(scene.recorder.retries).toEqual([
      expect.objectContaining({ status: 429, reason: 'overloaded', delayMs: 10 }),
      expect.objectContaining({ status: 429, reason: 'overloaded', delayMs: 20 }),
      expect.objectContaining({ status: 429, reason: 'overloaded', delayMs: 40 }),
    ]);
  });

  test('is not taken for a window whose reset lies far ahead', async () => {
    const scene = await startScene();
    scene.venice.script({
      kind: 'answer',
      status: 429,
      headers: { 'x-ratelimit-remaining-requests': '7', 'x-ratelimit-reset-requests': '3600' },
    });
    const reply = await chat(scene);
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 2]);
    expect(scene.recorder.retries).toEqual([expect.objectContaining({ reason: 'overloaded' })]);
    expect(scene.recorder.delays[0]).toBeLessThanOrEqual(1);
  });
});

describe('maxWait', () => {
  test('a wait that would pass it is not begun: the answer is forwarded at once', async () => {
    const scene = await startScene({ maxWait: 10_000 });
    scene.venice.script({ kind: 'rate-limited', resetMs: 60_000 });
    const reply = await chat(scene);
    expect([reply.status, scene.venice.calls.length]).toEqual([429, 1]);
    expect(JSON.parse(reply.text)).toEqual({ error: 'Rate limit exceeded' });
    expect(scene.recorder.retries).toEqual([]);
    expect(reply.headers['x-venice-proxy-wait']).toBe('0');
    expect(reply.headers['x-should-retry']).toBe('false');
    const seconds = Number(reply.headers['retry-after']);
    expect(seconds).toBeGreaterThanOrEqual(50);
    expect(seconds).toBeLessThanOrEqual(61);
  });

  test('holds for all waits of a request together', async () => {
    noChance();
    const scene = await startScene(
      { baseRetryDelay: 60, maxWait: 300 },
      { onCall: () => ({ kind: 'answer', status: 500, body: 'no' }) },
    );
    const reply = await chat(scene);
    // 60 and 120 ms fit; the 240 behind them would alone.
    expect([reply.status, reply.text, scene.venice.calls.length]).toEqual([500, 'no', 3]);
    expect(scene.recorder.delays).toEqual([60, 120]);
    expect(Number(reply.headers['x-venice-proxy-wait'])).toBeGreaterThan(50);
  });

  test('0 lets no wait begin but those of no time', async () => {
    noChance();
    const scene = await startScene({ maxWait: 0 });
    scene.venice.script({ kind: 'answer', status: 500 });
    const reply = await chat(scene);
    expect([reply.status, scene.venice.calls.length]).toEqual([500, 1]);
    expect(scene.recorder.retries).toEqual([]);
  });
});
