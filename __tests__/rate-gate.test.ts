import { describe, expect, test } from '@jest/globals';
import { aMoment, chatBytes, getBytes, hold, oneIn, timers, upload, tags } from './helpers/held.ts';
import { CHAT, chat, startScene } from './helpers/scene.ts';
import type { Scene } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';
import type { Reply } from './helpers/serve.ts';
import { until } from './helpers/until.ts';

const A_MINUTE = oneIn(60_000);
/** Long enough for everybody to come before it ends. */
const SHORT = oneIn(600);

function chatAs({ baseUrl }: Scene, key: string, changes: object = {}): Promise<Reply> {
  const headers = { authorization: `Bearer ${key}` };
  return send(`${baseUrl}/chat/completions`, { headers, body: { ...CHAT, ...changes } });
}

describe('who must wait', () => {
  test('is let through when the window opens, in order of arrival, and nothing is refused', async () => {
    const scene = await startScene({}, oneIn(400));
    await chat(scene, { tag: 'first' });
    const replies: Promise<Reply>[] = [];
    for (const tag of ['a', 'b', 'c']) {
      replies.push(chat(scene, { tag }));
      // oxlint-disable-next-line no-await-in-loop -- one comes after another
      await scene.recorder.held(replies.length);
    }
    expect((await Promise.all(replies)).map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(tags(scene)).toEqual(['first', 'a', 'b', 'c']);
    expect(scene.venice.calls.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    expect(scene.recorder.retries).toEqual([]);
  });

  test('is let through with as many others as the window holds', async () => {
    const scene = await startScene({}, { ...SHORT, requests: { limit: 3, windowMs: 600 } });
    await Promise.all([chat(scene), chat(scene), chat(scene)]);
    const replies = await Promise.all([chat(scene), chat(scene), chat(scene)]);
    expect(replies.map(({ status }) => status)).toEqual([200, 200, 200]);
    const at = scene.venice.calls.map((call) => call.at);
    expect(at).toHaveLength(6);
    // All of the second window, which is as long as the first.
    expect((at[5] ?? 0) - (at[3] ?? 0)).toBeLessThan(600);
    expect((at[3] ?? 0) - (at[0] ?? 0)).toBeGreaterThanOrEqual(598);
  });

  test('sees the wait in its answer, and so does the hook', async () => {
    const scene = await startScene({}, SHORT);
    await chat(scene);
    const reply = await chat(scene);
    const waitMs = Number(reply.headers['x-venice-proxy-wait']);
    expect(waitMs).toBeGreaterThan(300);
    expect(reply.headers['x-venice-proxy-attempts']).toBe('1');
    const event = await scene.recorder.ended(2);
    expect(event).toMatchObject({ attempts: 1, waitedMs: waitMs, outcome: 'answered' });
    expect(event.totalMs).toBeGreaterThanOrEqual(waitMs);
  });

  test('is told to the hook once: why, behind how many, and for how long at best', async () => {
    const scene = await startScene({}, A_MINUTE);
    await chat(scene);
    await hold(scene);
    await hold(scene, chatBytes({ stream: true }));
    expect(scene.recorder.holds).toEqual([
      {
        hook: 'hold',
        request: expect.objectContaining({ model: CHAT.model, stream: false }),
        attempt: 1,
        reason: 'request limit',
        ahead: 0,
        expectedMs: expect.any(Number),
      },
      {
        hook: 'hold',
        request: expect.objectContaining({ model: CHAT.model, stream: true }),
        attempt: 1,
        reason: 'request limit',
        ahead: 1,
        expectedMs: expect.any(Number),
      },
    ]);
    const [first = 0, second = 0] = scene.recorder.holds.map(({ expectedMs }) => expectedMs);
    expect(first).toBeGreaterThan(50_000);
    expect(first).toBeLessThanOrEqual(61_000);
    // One a window: it is the second one's.
    expect(second).toBeGreaterThan(110_000);
    expect(scene.venice.calls).toHaveLength(1);
  });

  test('waits behind those who were let through before, and were refused', async () => {
    const scene = await startScene();
    const headers = {
      'x-ratelimit-limit-requests': '2',
      'x-ratelimit-remaining-requests': '0',
      'x-ratelimit-reset-requests': '1',
    };
    scene.venice.script(
      { kind: 'answer', status: 429, headers, delayMs: 300 },
      { kind: 'answer', status: 200, headers, body: {} },
    );
    const returns = chat(scene, { tag: 'returns' });
    await scene.venice.arrived(1);
    await chat(scene, { tag: 'served' });
    const newcomer = chat(scene, { tag: 'newcomer' });
    await scene.recorder.held(2);
    expect((await Promise.all([returns, newcomer])).map(({ status }) => status)).toEqual([
      200, 200,
    ]);
    expect(scene.recorder.holds).toEqual([
      expect.objectContaining({ attempt: 1, reason: 'request limit', ahead: 0 }),
      expect.objectContaining({ attempt: 2, reason: 'request limit', ahead: 0 }),
    ]);
    expect(tags(scene)).toEqual(['returns', 'served', 'returns', 'newcomer']);
  });
});

describe('a lone request', () => {
  test('is never delayed, whatever is known of its model', async () => {
    const scene = await startScene({}, { requests: { limit: 40, windowMs: 60_000 } });
    for (const model of [
      'a',
      'a',
      'a',
      'b',
      'b',
      ...Array.from({ length: 25 }, (_, n) => `${n}`),
    ]) {
      // oxlint-disable-next-line no-await-in-loop -- one after another
      const reply = await chat(scene, { model });
      expect([reply.status, reply.headers['x-venice-proxy-wait']]).toEqual([200, '0']);
    }
    expect(scene.recorder.holds).toEqual([]);
  });
});

describe('a window', () => {
  test('that is used up holds up no other model, and no other key', async () => {
    const scene = await startScene({}, A_MINUTE);
    await chat(scene);
    await hold(scene);
    expect((await chat(scene, { model: 'other' })).headers['x-venice-proxy-wait']).toBe('0');
    expect((await chatAs(scene, 'other-key')).headers['x-venice-proxy-wait']).toBe('0');
    const models = await send(`${scene.baseUrl}/models`);
    expect([models.status, models.headers['x-venice-proxy-wait']]).toEqual([200, '0']);
    expect(scene.venice.calls).toHaveLength(4);
    expect(scene.recorder.holds).toHaveLength(1);
  });

  test.each([
    ['with and without its features', 'm:enable_web_search=on', 'm'],
    ['with one set of features and another', 'm:a=1', 'm:b=2:c=3'],
  ])('is shared by a model %s', async (_what, first, second) => {
    const scene = await startScene({}, A_MINUTE);
    await chat(scene, { model: first });
    await hold(scene, chatBytes({ model: second }));
    expect(scene.venice.calls).toHaveLength(1);
  });

  test('is shared by all routes without a model', async () => {
    const scene = await startScene({}, A_MINUTE);
    await upload(scene);
    await hold(scene, getBytes('/api_keys'));
    expect(scene.venice.calls).toHaveLength(1);
  });

  test('belongs to the key that goes upstream, not to that of the client', async () => {
    const scene = await startScene({ apiKey: 'key-of-the-operator' }, A_MINUTE);
    await chatAs(scene, 'one');
    await hold(scene, chatBytes({}, 'another'));
    expect(scene.venice.calls).toHaveLength(1);
  });

  test('belongs to each key that the operator chooses', async () => {
    const scene = await startScene(
      { apiKey: (req) => `for-${req.get('authorization')?.slice('Bearer '.length)}` },
      A_MINUTE,
    );
    await chatAs(scene, 'one');
    expect((await chatAs(scene, 'another')).status).toBe(200);
    await hold(scene, chatBytes({}, 'one'));
    expect(scene.venice.calls).toHaveLength(2);
  });

  test('of tokens is waited for, too', async () => {
    const scene = await startScene();
    const headers = {
      'x-ratelimit-limit-tokens': '1000',
      'x-ratelimit-remaining-tokens': '0',
      'x-ratelimit-reset-tokens': '1',
    };
    scene.venice.script({ kind: 'answer', status: 200, headers, body: {} });
    await chat(scene);
    const reply = await chat(scene);
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 2]);
    expect(scene.recorder.holds).toEqual([
      expect.objectContaining({ attempt: 1, reason: 'token limit' }),
    ]);
    expect(Number(reply.headers['x-venice-proxy-wait'])).toBeGreaterThan(900);
  });
});

describe('who leaves', () => {
  test.each(['fin', 'reset'] as const)('by %s gives up the place', async (how) => {
    const scene = await startScene({}, SHORT);
    await chat(scene, { tag: 'first' });
    const leaver = await hold(scene, chatBytes({ tag: 'leaver' }));
    const stays = chat(scene, { tag: 'stays' });
    await scene.recorder.held(2);
    if (how === 'fin') leaver.socket.destroy();
    else leaver.reset();
    expect(await scene.recorder.ended(2)).toMatchObject({
      outcome: 'client_left',
      attempts: 0,
      status: undefined,
    });
    expect((await stays).status).toBe(200);
    expect(tags(scene)).toEqual(['first', 'stays']);
    expect(scene.recorder.attempts).toBe(2);
  });

  test('while nobody else waits leaves no timer, no call and no place', async () => {
    const scene = await startScene({}, A_MINUTE);
    await chat(scene);
    const timersBefore = timers();
    const client = await hold(scene);
    expect(timers()).toBeGreaterThan(timersBefore);
    client.reset();
    await scene.recorder.ended(2);
    await until(() => timers() <= timersBefore);
    expect(scene.proxy.inFlight).toBe(0);
    await aMoment();
    expect([scene.venice.calls.length, scene.recorder.attempts]).toEqual([1, 1]);
    await hold(scene);
    expect(scene.recorder.holds[1]).toMatchObject({ ahead: 0 });
  });
});

describe('rateLimit: false', () => {
  test('holds nobody: what is too much is refused and tried again', async () => {
    const scene = await startScene({ rateLimit: false }, oneIn(300));
    const replies = await Promise.all([chat(scene), chat(scene), chat(scene)]);
    expect(replies.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(
      scene.venice.calls.filter(({ refusedBy }) => refusedBy === 'requests').length,
    ).toBeGreaterThan(1);
    expect(scene.recorder.holds).toEqual([]);
  });
});
