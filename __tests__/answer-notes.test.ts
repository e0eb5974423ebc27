import { describe, expect, test } from '@jest/globals';
import { chat, deserted, startFront, startScene } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';

describe('x-venice-proxy-attempts and x-venice-proxy-wait', () => {
  test('stand on an answer that came at once', async () => {
    const { headers } = await chat(await startScene());
    expect(headers['x-venice-proxy-attempts']).toBe('1');
    expect(headers['x-venice-proxy-wait']).toBe('0');
    expect(headers['x-venice-proxy-dropped']).toBeUndefined();
    expect(headers['x-should-retry']).toBeUndefined();
    expect(headers['retry-after']).toBeUndefined();
  });

  test('count the calls and the milliseconds between them', async () => {
    const scene = await startScene({ rateLimitWait: 100 });
    scene.venice.script({ kind: 'abuse-block' }, { kind: 'abuse-block' });
    const { status, headers } = await chat(scene);
    expect([status, scene.venice.calls.length]).toEqual([200, 3]);
    expect(headers['x-venice-proxy-attempts']).toBe('3');
    expect(headers['x-venice-proxy-wait']).toMatch(/^\d+$/);
    expect(Number(headers['x-venice-proxy-wait'])).toBeGreaterThan(0);
    expect(scene.recorder.delays).toEqual([100, 100]);
    const event = await scene.recorder.ended();
    expect(String(event.waitedMs)).toBe(headers['x-venice-proxy-wait']);
  });

  test('stand on the head of a stream', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'answer', status: 500 });
    const { headers } = await chat(scene, { stream: true });
    expect(headers['content-type']).toMatch(/^text\/event-stream/);
    expect(headers['x-venice-proxy-attempts']).toBe('2');
  });

  test('stand on answers that have no body', async () => {
    const scene = await startScene();
    const { status, headers } = await send(`${scene.baseUrl}/models`, { method: 'HEAD' });
    expect([status, headers['x-venice-proxy-attempts']]).toEqual([200, '1']);
  });

  test('stand on errors of our own', async () => {
    const front = await startFront({ target: deserted(), retries: 2 });
    const { status, headers } = await chat(front);
    expect([status, headers['x-venice-proxy-attempts']]).toEqual([502, '3']);
    expect(headers['x-venice-proxy-wait']).toMatch(/^\d+$/);
    expect(headers['x-should-retry']).toBe('false');
  });

  test('say 0 where no call was made', async () => {
    const front = await startFront({ target: deserted() });
    const { status, headers } = await send(`${front.baseUrl}/a%2fb`);
    expect([status, headers['x-venice-proxy-attempts']]).toEqual([400, '0']);
    expect(headers['x-should-retry']).toBeUndefined();
  });

  test('are ours to say: what an upstream or a client writes there does not count', async () => {
    const scene = await startScene();
    scene.venice.script({
      kind: 'answer',
      status: 200,
      headers: {
        'X-Venice-Proxy-Attempts': '99',
        'X-Venice-Proxy-Wait': '99',
        'X-Venice-Proxy-Dropped': 'nothing',
      },
      body: {},
    });
    const { headers } = await send(`${scene.baseUrl}/models`, {
      headers: { 'x-venice-proxy-attempts': '77' },
    });
    expect(headers['x-venice-proxy-attempts']).toBe('1');
    expect(headers['x-venice-proxy-wait']).toBe('0');
    expect(headers).not.toHaveProperty('x-venice-proxy-dropped');
  });
});

test('x-venice-proxy-dropped names what was taken out, on a failed answer, too', async () => {
  const scene = await startScene();
  scene.venice.script({ kind: 'answer', status: 400, body: { error: 'x' } });
  const changes = { logprobs: true, prompt_cache_key: 'k', top_logprobs: 2 };
  const failed = await chat(scene, changes);
  expect(failed.status).toBe(400);
  expect(failed.headers['x-venice-proxy-dropped']).toBe('prompt_cache_key, logprobs, top_logprobs');
  const done = await chat(scene, { logprobs: false });
  expect([done.status, done.headers['x-venice-proxy-dropped']]).toEqual([200, 'logprobs']);
});

describe('Retry-After', () => {
  test.each(['7', '0', '900', 'Wed, 21 Oct 2065 07:28:00 GMT', 'soon'])(
    'of the upstream stays verbatim: %s',
    async (retryAfter) => {
      const scene = await startScene({ retries: 0 });
      scene.venice.script({ kind: 'rate-limited', resetMs: 20_000, retryAfter });
      const { status, headers } = await chat(scene);
      expect([status, headers['retry-after']]).toEqual([429, retryAfter]);
    },
  );

  test('of the upstream stays verbatim when waiting for it would pass maxWait', async () => {
    const scene = await startScene({ maxWait: 1_000 });
    scene.venice.script({ kind: 'rate-limited', resetMs: 20_000, retryAfter: '900' });
    const { status, headers } = await chat(scene);
    expect([status, scene.venice.calls.length]).toEqual([429, 1]);
    expect(headers).toMatchObject({ 'retry-after': '900', 'x-should-retry': 'false' });
    expect(scene.recorder.retries).toEqual([]);
  });

  test.each([400, 503])('of the upstream stays verbatim on %d', async (status) => {
    const scene = await startScene({ retries: 0 });
    scene.venice.script({ kind: 'answer', status, headers: { 'Retry-After': '3' } });
    const reply = await chat(scene);
    expect([reply.status, reply.headers['retry-after']]).toEqual([status, '3']);
  });

  test.each([
    ['20.2', '21'],
    ['20', '20'],
    ['1.1', '2'],
    ['1', '1'],
    ['0.1', '1'],
  ])('is added where only a reset is known, rounded up, at least 1: %s', async (reset, shown) => {
    const scene = await startScene({ retries: 0 });
    scene.venice.script({
      kind: 'answer',
      status: 429,
      headers: {
        'x-ratelimit-remaining-requests': '0',
        'x-ratelimit-reset-requests': reset,
      },
    });
    const { status, headers } = await chat(scene);
    expect([status, headers['retry-after']]).toEqual([429, shown]);
  });

  test.each(['seconds', 'milliseconds', 'relative'] as const)(
    'is added whatever the form of the reset: %s',
    async (resetFormat) => {
      const scene = await startScene({ retries: 0 }, { resetFormat });
      scene.venice.script({ kind: 'rate-limited', resetMs: 20_000 });
      const { headers } = await chat(scene);
      expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(15);
      expect(Number(headers['retry-after'])).toBeLessThanOrEqual(21);
    },
  );

  test('is not added where the end is not known', async () => {
    const scene = await startScene({ retries: 1 });
    scene.venice.script({ kind: 'overloaded' }, { kind: 'overloaded' });
    const { status, headers } = await chat(scene);
    expect([status, scene.venice.calls.length]).toEqual([429, 2]);
    expect(headers['retry-after']).toBeUndefined();
    expect(headers['x-should-retry']).toBe('false');
  });
});

describe('x-should-retry: false', () => {
  test('stands on the last answer when retries have run out', async () => {
    const scene = await startScene({ retries: 1 });
    scene.venice.script({ kind: 'answer', status: 503 }, { kind: 'answer', status: 503 });
    const { status, headers } = await chat(scene);
    expect([status, headers['x-should-retry'], scene.venice.calls.length]).toEqual([
      503,
      'false',
      2,
    ]);
  });

  test('stands on an answer whose request costs money each time', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'answer', status: 500 });
    const { status, headers } = await send(`${scene.baseUrl}/image/generate`, { body: { n: 1 } });
    expect([status, headers['x-should-retry'], scene.venice.calls.length]).toEqual([
      500,
      'false',
      1,
    ]);
  });

  const upload = { headers: { 'content-type': 'audio/wav' }, body: 'sound' };

  test.each([429, 503])(
    'does not stand on a %i to an upload: the client still has the body that is gone here',
    async (status) => {
      const scene = await startScene();
      scene.venice.script({ kind: 'answer', status });
      const reply = await send(`${scene.baseUrl}/audio/transcriptions`, upload);
      expect([reply.status, reply.headers['x-should-retry']]).toEqual([status, undefined]);
      expect(scene.venice.calls).toHaveLength(1);
    },
  );

  test('stands on a failed upload that costs money each time', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'answer', status: 500 }, { kind: 'reset', after: 'body' });
    const failed = await send(`${scene.baseUrl}/audio/transcriptions`, upload);
    const lost = await send(`${scene.baseUrl}/audio/transcriptions`, upload);
    for (const { headers } of [failed, lost]) expect(headers['x-should-retry']).toBe('false');
    expect(scene.venice.calls).toHaveLength(2);
  });

  test('does not stand on an answer that is final by itself', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'answer', status: 409 });
    const { status, headers } = await chat(scene);
    expect([status, headers['x-should-retry']]).toEqual([409, undefined]);
  });

  test('takes the place of what the upstream says, once the attempts are spent', async () => {
    const scene = await startScene({ retries: 1 });
    const fault = { kind: 'answer', status: 500, headers: { 'X-Should-Retry': 'true' } } as const;
    scene.venice.script(fault, fault);
    expect((await chat(scene)).headers['x-should-retry']).toBe('false');
    expect(scene.venice.calls).toHaveLength(2);
  });

  test('leaves what the upstream says to the client where no attempts were to be made', async () => {
    const scene = await startScene({ retries: 0 });
    scene.venice.script({ kind: 'answer', status: 500, headers: { 'X-Should-Retry': 'true' } });
    expect((await chat(scene)).headers['x-should-retry']).toBe('true');
  });
});
