import { describe, expect, test } from '@jest/globals';
import type { StandInOptions } from '../examples/stand-in-venice.ts';
import type { VeniceProxyOptions } from '../lib/index.ts';
import { hold, oneIn, upload } from './helpers/held.ts';
import { CHAT, chat, startScene } from './helpers/scene.ts';
import type { Scene } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';
import type { Reply } from './helpers/serve.ts';

/** A scene whose window is used up. */
async function usedUp(
  options: Omit<VeniceProxyOptions, 'target' | 'on'> = {},
  standIn: StandInOptions = oneIn(60_000),
): Promise<Scene> {
  const scene = await startScene(options, standIn);
  expect((await chat(scene)).status).toBe(200);
  return scene;
}

/** What every refusal of the gate must be, and the seconds of its `Retry-After`. */
function retryAfterOf(reply: Reply, code: string): number {
  expect(reply.status).toBe(429);
  expect(JSON.parse(reply.text)).toEqual({
    error: { message: expect.any(String), type: 'rate_limit_error', param: null, code },
  });
  expect(reply.headers['x-venice-proxy-attempts']).toBe('0');
  return Number(reply.headers['retry-after']);
}

describe('maxWait', () => {
  test.each([
    [50_000, undefined],
    [75_000, 'false'],
  ])(
    'passed by a window of %d ms is told at once, true to the second, x-should-retry: %s',
    async (windowMs, shouldRetry) => {
      const scene = await usedUp({ maxWait: 10_000 }, oneIn(windowMs));
      const reply = await chat(scene);
      const retryAt = Date.now() + 1_000 * retryAfterOf(reply, 'rate_limit_exceeded');
      const opensAt = (scene.venice.calls[0]?.at ?? 0) + windowMs;
      expect(retryAt).toBeGreaterThanOrEqual(opensAt);
      expect(retryAt).toBeLessThan(opensAt + 2_000);
      expect(reply.headers['x-should-retry']).toBe(shouldRetry);
      expect(Number(reply.headers['x-venice-proxy-wait'])).toBeLessThan(1_000);
      expect(scene.venice.calls).toHaveLength(1);
      expect(await scene.recorder.ended(2)).toMatchObject({
        attempts: 0,
        outcome: 'refused',
        code: 'rate_limit_exceeded',
      });
    },
  );

  test('holds for the place in the line, too: a second one a window ahead is too late', async () => {
    const scene = await usedUp({ maxWait: 2_000 }, oneIn(1_500));
    const first = chat(scene);
    await scene.recorder.held(1);
    const seconds = retryAfterOf(await chat(scene), 'rate_limit_exceeded');
    expect(seconds).toBeGreaterThanOrEqual(2);
    expect(seconds).toBeLessThanOrEqual(4);
    expect((await first).status).toBe(200);
  });

  test('that passes while nothing is known is told then, to come back after rateLimitWait', async () => {
    const scene = await startScene(
      { maxWait: 300, rateLimitWait: 1_500 },
      { onCall: () => ({ kind: 'silent' }) },
    );
    for (const tag of ['a', 'b', 'c']) void chat(scene, { tag }).catch(() => 'closed');
    await scene.venice.arrived(3);
    const reply = await chat(scene);
    expect(retryAfterOf(reply, 'rate_limit_exceeded')).toBe(2);
    expect(Number(reply.headers['x-venice-proxy-wait'])).toBeGreaterThan(100);
    expect(scene.recorder.holds).toEqual([
      expect.objectContaining({ reason: 'limit unknown', expectedMs: undefined }),
    ]);
    expect(scene.venice.calls).toHaveLength(3);
  });

  test('of 0 lets nobody wait, and everybody through who need not', async () => {
    const scene = await usedUp({ maxWait: 0 });
    retryAfterOf(await chat(scene), 'rate_limit_exceeded');
    expect((await chat(scene, { model: 'other' })).status).toBe(200);
  });

  test('is the time that the client says it waits, where that is shorter', async () => {
    const scene = await usedUp();
    const headers = { 'x-stainless-timeout': '20' };
    const reply = await send(`${scene.baseUrl}/chat/completions`, { headers, body: CHAT });
    expect(retryAfterOf(reply, 'rate_limit_exceeded')).toBeGreaterThan(50);
  });

  test('is 10 s for an upload: told at once where the reset is farther away', async () => {
    const scene = await startScene({}, oneIn(20_000));
    expect((await upload(scene)).status).toBe(200);
    const reply = await upload(scene);
    const seconds = retryAfterOf(reply, 'rate_limit_exceeded');
    expect(seconds).toBeGreaterThan(10);
    expect(seconds).toBeLessThanOrEqual(21);
    expect(scene.venice.calls).toHaveLength(1);
  });
});

/** Headers of a window with nothing left. */
function told(resetSeconds: number): Record<string, string> {
  return {
    'x-ratelimit-limit-requests': '2',
    'x-ratelimit-remaining-requests': '0',
    'x-ratelimit-reset-requests': String(resetSeconds),
  };
}

describe('who was refused upstream', () => {
  test("and cannot be served in time gets the upstream's own answer", async () => {
    const scene = await startScene({ maxWait: 3_000 });
    const body = { error: 'of the upstream' };
    scene.venice.script(
      { kind: 'answer', status: 429, headers: told(1), body, delayMs: 100 },
      // What comes later tells that it takes longer.
      { kind: 'answer', status: 200, headers: told(60), body: {}, delayMs: 300 },
    );
    const refused = chat(scene);
    await scene.venice.arrived(1);
    const served = chat(scene);
    const reply = await refused;
    expect([reply.status, JSON.parse(reply.text)]).toEqual([429, body]);
    expect(reply.headers['x-venice-proxy-attempts']).toBe('1');
    expect(scene.recorder.holds).toEqual([expect.objectContaining({ attempt: 2 })]);
    expect((await served).status).toBe(200);
    expect(scene.venice.calls).toHaveLength(2);
  });
});

describe('maxQueue', () => {
  test('who stands behind that many is told at once', async () => {
    const scene = await usedUp({ maxQueue: 2 });
    await hold(scene);
    await hold(scene);
    const seconds = retryAfterOf(await chat(scene), 'queue_full');
    // Three windows of a minute.
    expect(seconds).toBeGreaterThan(170);
    expect(seconds).toBeLessThanOrEqual(183);
    expect((await chat(scene, { model: 'other' })).status).toBe(200);
    expect(await scene.recorder.ended(2)).toMatchObject({ code: 'queue_full', attempts: 0 });
  });

  test('counts nobody who has left', async () => {
    const scene = await usedUp({ maxQueue: 1 });
    const client = await hold(scene);
    client.reset();
    await scene.recorder.ended(2);
    await hold(scene);
    expect(retryAfterOf(await chat(scene), 'queue_full')).toBeGreaterThan(60);
  });

  test('of 0 lets nobody wait, and everybody through who need not', async () => {
    const scene = await usedUp({ maxQueue: 0 }, oneIn(1_000));
    const [window] = scene.venice.calls;
    expect(retryAfterOf(await chat(scene), 'queue_full')).toBeLessThanOrEqual(2);
    retryAfterOf(await chat(scene), 'queue_full');
    expect((await chat(scene, { model: 'other' })).status).toBe(200);
    await new Promise((resolve) => {
      setTimeout(resolve, (window?.at ?? 0) + 1_050 - Date.now());
    });
    expect((await chat(scene)).status).toBe(200);
  });
});

describe('drain', () => {
  test('ends those who wait when the grace is over', async () => {
    const scene = await usedUp();
    const held = [chat(scene), chat(scene)];
    await scene.recorder.held(2);
    await scene.proxy.drain(50);
    for (const reply of await Promise.all(held)) {
      expect(reply.status).toBe(503);
      expect(JSON.parse(reply.text)).toMatchObject({ error: { code: 'draining' } });
      expect(reply.headers['x-venice-proxy-attempts']).toBe('0');
      expect(reply.headers['retry-after']).toBe('1');
    }
    expect(scene.venice.calls).toHaveLength(1);
    expect([scene.proxy.inFlight, scene.recorder.attempts]).toEqual([0, 1]);
  });

  test('without a grace lets them wait for their place', async () => {
    const scene = await usedUp({}, oneIn(500));
    const held = chat(scene);
    await scene.recorder.held(1);
    const drained = scene.proxy.drain();
    expect((await chat(scene)).status).toBe(503);
    expect((await held).status).toBe(200);
    await drained;
    expect(scene.venice.calls).toHaveLength(2);
  });
});
