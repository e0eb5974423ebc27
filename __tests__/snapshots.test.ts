import { describe, expect, test } from '@jest/globals';
import type { Phase, RequestState } from '../lib/index.ts';
import { chatBytes, getBytes, hold, oneIn } from './helpers/held.ts';
import { chat, startScene } from './helpers/scene.ts';
import type { Scene } from './helpers/scene.ts';
import { until } from './helpers/until.ts';
import { dial } from './helpers/wire.ts';

/** The only request in flight, as soon as it is in that phase. */
async function alone({ proxy }: Scene, phase: Phase): Promise<RequestState> {
  let found: RequestState | undefined;
  await until(() => {
    [found] = proxy.requests();
    return found?.phase === phase;
  });
  if (found === undefined) throw new Error('gone');
  expect(proxy.requests()).toHaveLength(1);
  return found;
}

describe('requests()', () => {
  test('tells nothing of requests that have ended', async () => {
    const scene = await startScene();
    expect(scene.proxy.requests()).toEqual([]);
    await chat(scene);
    await scene.recorder.ended();
    expect(scene.proxy.requests()).toEqual([]);
  });

  test('tells who it is and what it is busy with: its body, an attempt', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'silent' });
    const bytes = chatBytes({ stream: true, prompt: 'secret' });
    const client = await dial(scene.origin);
    await client.write(bytes.slice(0, -10));
    expect(await alone(scene, 'receiving')).toMatchObject({ attempts: 0, model: undefined });
    await client.write(bytes.slice(-10));
    const state = await alone(scene, 'attempt');
    expect(state).toEqual({
      id: expect.any(String),
      method: 'POST',
      path: '/chat/completions',
      model: 'llama-3.3-70b',
      stream: true,
      phase: 'attempt',
      attempts: 1,
      waitedMs: 0,
      ageMs: expect.any(Number),
    });
    await until(() => (scene.proxy.requests()[0]?.ageMs ?? 0) > state.ageMs);
  });

  test('tells that the answer is on its way', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'stall-stream', afterEvents: 1 });
    await (await dial(scene.origin)).write(chatBytes({ stream: true }));
    expect(await alone(scene, 'relaying')).toMatchObject({ attempts: 1, stream: true });
  });

  test('counts the wait that goes on: held in the gate', async () => {
    const scene = await startScene({}, { requests: { limit: 1, windowMs: 60_000 } });
    await chat(scene);
    await hold(scene, chatBytes());
    const { waitedMs, attempts } = await alone(scene, 'held');
    expect(attempts).toBe(0);
    await until(() => (scene.proxy.requests()[0]?.waitedMs ?? 0) > waitedMs);
  });

  test('counts the wait that goes on, and those before it: between two attempts', async () => {
    const scene = await startScene();
    const retryLater = { kind: 'answer', status: 503, headers: { 'retry-after': '0.1' } } as const;
    const never = { ...retryLater, headers: { 'retry-after': '60' } } as const;
    scene.venice.script(retryLater, never);
    await (await dial(scene.origin)).write(getBytes('/models'));
    await scene.recorder.retried(2);
    const { waitedMs } = await alone(scene, 'backoff');
    expect(waitedMs).toBeGreaterThanOrEqual(99);
    expect(scene.proxy.requests()[0]?.attempts).toBe(2);
    await until(() => (scene.proxy.requests()[0]?.waitedMs ?? 0) > waitedMs);
  });
});

describe('buckets()', () => {
  test('knows nothing of a gate that is off, or that nobody has passed', async () => {
    const off = await startScene({ rateLimit: false });
    await chat(off);
    expect(off.proxy.buckets()).toEqual([]);
    expect((await startScene()).proxy.buckets()).toEqual([]);
  });

  test('tells the windows of each model and key, and nothing of the key', async () => {
    const scene = await startScene({}, { requests: { limit: 7, windowMs: 60_000 } });
    await chat(scene);
    await chat(scene, { model: 'llama-3.3-70b:enable_web_search=on' });
    const [bucket, ...others] = scene.proxy.buckets();
    expect(others).toEqual([]);
    expect(bucket).toEqual({
      model: 'llama-3.3-70b',
      key: expect.stringMatching(/^[\da-f]{8}$/),
      requests: { limit: 7, remaining: 5, resetsInMs: expect.any(Number) },
      tokens: { limit: 2_000_000, remaining: expect.any(Number), resetsInMs: expect.any(Number) },
      waiting: 0,
      oldestWaitMs: undefined,
      opensInMs: undefined,
    });
    expect(bucket?.requests?.resetsInMs).toBeGreaterThan(50_000);
    expect(bucket?.requests?.resetsInMs).toBeLessThanOrEqual(61_000);
    expect(bucket?.tokens?.remaining).toBeLessThan(2_000_000);

    await chat(scene, { model: 'other' });
    await (await dial(scene.origin)).write(chatBytes({ model: 'other' }, 'another-key'));
    await until(() => scene.proxy.buckets().length === 3);
    const names = scene.proxy.buckets().map(({ model, key }) => `${model} ${key}`);
    expect(names).toContain(`other ${bucket?.key}`);
    expect(new Set(names).size).toBe(3);
    expect(new Set(scene.proxy.buckets().map(({ key }) => key)).size).toBe(2);
  });

  test('names no model for routes without one', async () => {
    const scene = await startScene();
    const client = await dial(scene.origin);
    await client.write(getBytes('/models'));
    await scene.recorder.ended();
    expect(scene.proxy.buckets()[0]?.model).toBeUndefined();
  });

  test('tells who waits, for how long, and until when', async () => {
    const scene = await startScene({}, { requests: { limit: 1, windowMs: 60_000 } });
    await chat(scene);
    await hold(scene);
    await hold(scene);
    const [bucket] = scene.proxy.buckets();
    expect(bucket).toMatchObject({ waiting: 2, requests: { limit: 1, remaining: 0 } });
    expect(bucket?.opensInMs).toBeGreaterThan(50_000);
    const before = bucket?.oldestWaitMs ?? 0;
    await until(() => (scene.proxy.buckets()[0]?.oldestWaitMs ?? 0) > before);
  });

  test('takes a window that is over for a new one', async () => {
    const scene = await startScene({}, oneIn(100));
    await chat(scene);
    expect(scene.proxy.buckets()[0]?.requests?.remaining).toBe(0);
    await until(() => scene.proxy.buckets()[0]?.requests?.remaining === 1);
    expect(scene.proxy.buckets()[0]).toMatchObject({ opensInMs: undefined });
  });

  test('tells that the key is blocked', async () => {
    const scene = await startScene({ rateLimitWait: 60_000, retries: 0 });
    scene.venice.script({ kind: 'abuse-block' });
    await chat(scene);
    const [bucket] = scene.proxy.buckets();
    expect(bucket?.opensInMs).toBeGreaterThan(55_000);
    expect(bucket?.opensInMs).toBeLessThanOrEqual(60_000);
  });

  test('tells a limit that was found out without headers', async () => {
    const scene = await startScene(
      { retries: 0 },
      { headers: false, requests: { limit: 2, windowMs: 60_000 } },
    );
    await chat(scene);
    await chat(scene);
    expect(scene.proxy.buckets()[0]?.requests).toBeUndefined();
    expect((await chat(scene)).status).toBe(429);
    expect(scene.proxy.buckets()[0]?.requests).toMatchObject({ limit: 1, remaining: 0 });
  });

  test('tells what this process has heard, where the windows are shared', async () => {
    const scene = await startScene(
      {
        store: {
          step: ({ want }) =>
            Promise.resolve({
              granted: want,
              firstSeq: 1,
              at: 1,
              askAgainMs: 1_000,
              reason: 'none',
              opensMs: undefined,
              perWindow: 0,
              spanMs: 0,
              peers: 2,
            }),
        },
      },
      { requests: { limit: 7, windowMs: 60_000 } },
    );
    await chat(scene);
    await until(() => scene.proxy.buckets()[0]?.requests !== undefined);
    expect(scene.proxy.buckets()[0]?.requests).toMatchObject({ limit: 7, remaining: 6 });
  });
});
