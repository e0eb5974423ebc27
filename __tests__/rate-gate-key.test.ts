import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { CHAT, chat, startScene } from './helpers/scene.ts';
import type { Scene } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';
import type { Reply } from './helpers/serve.ts';

afterEach(() => {
  jest.restoreAllMocks();
});

const FAILING = { kind: 'answer', status: 401 } as const;

function chats(scene: Scene, count: number, changes: object = {}): Promise<readonly Reply[]> {
  return Promise.all(Array.from({ length: count }, () => chat(scene, changes)));
}

function statuses(replies: readonly Reply[]): ReadonlySet<number> {
  return new Set(replies.map(({ status }) => status));
}

describe('a key that fails', () => {
  test('is held before it can be blocked, whatever the model, and its failures are told', async () => {
    const windowMs = 700;
    const scene = await startScene(
      { rateLimitWait: windowMs },
      { abuse: { failures: 20, windowMs }, onCall: () => ({ kind: 'answer', status: 401 }) },
    );
    const replies = await Promise.all([
      chats(scene, 25, { model: 'a' }),
      chats(scene, 25, { model: 'b' }),
    ]);
    expect(statuses(replies.flat())).toEqual(new Set([401]));
    const at = scene.venice.calls.map((call) => call.at);
    expect(at).toHaveLength(50);
    // Never one more within the window than Venice forgives.
    const spans = at.slice(20).map((sentAt, n) => sentAt - (at[n] ?? 0));
    for (const spanMs of spans) expect(spanMs).toBeGreaterThanOrEqual(windowMs - 1);
    expect(scene.recorder.holds.map(({ reason }) => reason)).toContain('failed requests');
  });

  test('holds up no other key', async () => {
    const scene = await startScene(
      { rateLimitWait: 60_000, maxWait: 1_000 },
      {
        onCall: ({ headers }) =>
          headers.authorization === 'Bearer test-key' ? FAILING : undefined,
      },
    );
    const replies = await chats(scene, 30);
    expect(replies.filter(({ status }) => status === 401)).toHaveLength(20);
    expect(replies.filter(({ status }) => status === 429)).toHaveLength(10);
    const headers = { authorization: 'Bearer other-key' };
    const other = await send(`${scene.baseUrl}/chat/completions`, { headers, body: CHAT });
    expect([other.status, other.headers['x-venice-proxy-wait']]).toEqual([200, '0']);
    expect(scene.venice.calls).toHaveLength(21);
  });
});

describe('models of which nothing is known', () => {
  test('get no more requests that nobody answers than the key may lose', async () => {
    const scene = await startScene(
      { rateLimitWait: 60_000, maxWait: 1_500 },
      { onCall: () => ({ kind: 'silent' }) },
    );
    const asked = Array.from({ length: 30 }, (_, n) =>
      chat(scene, { model: `m${n % 10}` }).catch(() => 'closed'),
    );
    await scene.venice.arrived(20);
    // The others are told that it took too long; those 20 stay without an answer.
    await scene.recorder.ended(10);
    expect(scene.venice.calls).toHaveLength(20);
    expect(scene.recorder.answers.map(({ code }) => code)).toEqual(
      Array(10).fill('rate_limit_exceeded'),
    );
    await scene.proxy.drain(1);
    await Promise.all(asked);
  });

  test('get a few at first, and all as soon as those are answered', async () => {
    const scene = await startScene({}, { latencyMs: 200 });
    expect(statuses(await chats(scene, 40))).toEqual(new Set([200]));
    const at = scene.venice.calls.map((call) => call.at - (scene.venice.calls[0]?.at ?? 0));
    // A few first, and the others behind their answers.
    expect(at.filter((ms) => ms < 190)).toHaveLength(3);
    expect(scene.recorder.holds.map(({ reason }) => reason)).toEqual(
      Array(37).fill('limit unknown'),
    );
  });
});

describe('an overloaded model', () => {
  test('is left alone for as long as the refused request backs off, and no other is', async () => {
    jest.spyOn(Math, 'random').mockReturnValue(1);
    const scene = await startScene({ baseRetryDelay: 500 });
    scene.venice.script({ kind: 'overloaded' });
    const refused = chat(scene);
    await scene.recorder.retried(1);
    const behind = chats(scene, 5);
    expect((await chat(scene, { model: 'other' })).headers['x-venice-proxy-wait']).toBe('0');
    expect(statuses([await refused, ...(await behind)])).toEqual(new Set([200]));
    expect(scene.venice.calls).toHaveLength(8);
    const [first, , ...others] = scene.venice.calls.map((call) => call.at);
    for (const at of others) expect(at - (first ?? 0)).toBeGreaterThanOrEqual(498);
    expect(scene.recorder.holds).toContainEqual(expect.objectContaining({ reason: 'refused' }));
  });
});

describe('a block', () => {
  const BLOCK = { abuse: { failures: 50, windowMs: 500 }, latencyMs: 150 };

  test('is waited out by all requests of the key; then one tries, and the others follow', async () => {
    const scene = await startScene({ rateLimitWait: 600 }, BLOCK);
    scene.venice.block('test-key');
    const replies = await Promise.all([chats(scene, 6), chats(scene, 6, { model: 'other' })]);
    expect(statuses(replies.flat())).toEqual(new Set([200]));
    const { calls } = scene.venice;
    const blocked = calls.filter(({ refusedBy }) => refusedBy === 'abuse');
    const [first, ...others] = calls.filter(({ status }) => status === 200);
    // Those that went before anything was known.
    expect(blocked.length).toBeLessThanOrEqual(6);
    expect(blocked.length + others.length + 1).toBe(calls.length);
    expect(others).toHaveLength(11);
    expect((first?.at ?? 0) - (blocked.at(-1)?.at ?? 0)).toBeGreaterThanOrEqual(598);
    // Not before the answer of the one that tries.
    for (const { at } of others) expect(at - (first?.at ?? 0)).toBeGreaterThanOrEqual(148);
    expect(scene.recorder.holds.map(({ reason }) => reason)).toContain('blocked');
  });

  test('is over when the first try fails otherwise: during it, nothing else is answered', async () => {
    const scene = await startScene({ rateLimitWait: 100 });
    scene.venice.script({ kind: 'abuse-block' }, { kind: 'answer', status: 400 });
    const tries = chat(scene);
    await scene.recorder.retried(1);
    const behind = chat(scene);
    expect([(await tries).status, (await behind).status]).toEqual([400, 200]);
    const waitMs = Number((await behind).headers['x-venice-proxy-wait']);
    expect(waitMs).toBeGreaterThan(30);
    // The patience with a try that is silent would take longer.
    expect(waitMs).toBeLessThan(3_000);
  });

  test('holds up no other key', async () => {
    const scene = await startScene({ rateLimitWait: 60_000, maxWait: 1_000 }, BLOCK);
    scene.venice.block('test-key');
    const reply = await chat(scene);
    expect([reply.status, reply.headers['retry-after']]).toEqual([429, '60']);
    const told = await chat(scene, { model: 'other' });
    expect([told.status, told.headers['x-venice-proxy-attempts']]).toEqual([429, '0']);
    const headers = { authorization: 'Bearer other-key' };
    const other = await send(`${scene.baseUrl}/chat/completions`, { headers, body: CHAT });
    expect([other.status, other.headers['x-venice-proxy-wait']]).toEqual([200, '0']);
    expect(scene.venice.calls).toHaveLength(2);
  });
});
