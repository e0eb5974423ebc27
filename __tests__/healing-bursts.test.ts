import { expect, test } from '@jest/globals';
import type { GateStore } from '../lib/rate-gate/gate-store.ts';
import { MemoryStore } from '../lib/rate-gate/memory-store.ts';
import { CHAT, chat, startScene } from './helpers/scene.ts';
import type { Reply } from './helpers/serve.ts';
import { refusedNulls, startStrict, told, unknown } from './helpers/strict-upstream.ts';
import { until } from './helpers/until.ts';

const ATTEMPTS = 'x-venice-proxy-attempts';
const WAIT = 'x-venice-proxy-wait';

function burst(front: { baseUrl: string }, count: number, changes: object): Promise<Reply[]> {
  return Promise.all(Array.from({ length: count }, () => chat(front, changes)));
}

test.each<[string, object, boolean]>([
  ['to a model of which nothing is known', {}, false],
  ['to a model that has served before', {}, true],
  ['without the gate', { rateLimit: false }, false],
])('of a burst %s one request is refused for all fifty', async (_, options, isWarm) => {
  const scene = await startScene(options, {
    refuseFields: { user: 'extra', thinking: 'extra' },
    requests: { limit: 500, windowMs: 60_000 },
  });
  if (isWarm) await chat(scene);
  const replies = await burst(scene, 50, { user: 'me', thinking: 1 });
  expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
  const refused = scene.venice.calls.filter(({ status }) => status === 400);
  expect(refused).toHaveLength(2);
  expect(scene.venice.calls).toHaveLength(52 + (isWarm ? 1 : 0));
  const attempts = replies.map(({ headers }) => Number(headers[ATTEMPTS]));
  expect(attempts.toSorted((a, b) => a - b)).toEqual([...Array.from({ length: 49 }, () => 1), 3]);
});

test('of a burst one request is refused for all fifty that have the same null', async () => {
  const scene = await startStrict((body) => (body['n'] === null ? refusedNulls('n') : undefined));
  const replies = await burst(scene, 50, { n: null });
  expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
  expect(scene.bodies).toHaveLength(51);
});

test('of requests that differ, only those are refused that the gate lets go first', async () => {
  const scene = await startStrict(
    (body) => ('user' in body ? unknown('user') : undefined),
    { dropParams: [] },
    50,
  );
  const others = ['thinking', 'metadata', 'prediction', 'service_tier', 'logprobs'];
  const bodies = Array.from({ length: 32 }, (_, bits) => {
    const chosen = others.filter((__, place) => (bits >> place) % 2 === 1);
    return { user: 'me', ...Object.fromEntries(chosen.map((name) => [name, 1])) };
  });
  const replies = await Promise.all(bodies.map((body) => chat(scene, body)));
  expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
  const refused = scene.bodies.filter((body) => body.includes('"user":"me"'));
  expect(refused.length).toBeLessThanOrEqual(3);
});

test('who waits gives its place in the window back', async () => {
  const memory = new MemoryStore();
  let granted = 0;
  const outcomes: string[] = [];
  const store: GateStore = {
    step: (ask) => {
      outcomes.push(...ask.reports.map(({ outcome }) => outcome));
      const reply = memory.step(ask);
      granted += reply.granted;
      return reply;
    },
  };
  const scene = await startScene({ store }, { refuseFields: { user: 'zod' }, latencyMs: 100 });
  await chat(scene);
  await burst(scene, 6, { user: 'me' });
  await until(() => outcomes.length === granted);
  const calls = scene.venice.calls.map(({ status }) => (status === 400 ? 'failed' : 'served'));
  expect(outcomes.filter((each) => each !== 'unsent').toSorted()).toEqual(calls.toSorted());
  expect(granted).toBeGreaterThan(calls.length);
});

test('nobody waits to be told what is known', async () => {
  const scene = await startScene({}, { refuseFields: { user: 'zod', thinking: 'zod' } });
  await chat(scene, { user: 'me' });
  await chat(scene, { thinking: 1 });
  scene.venice.configure({ latencyMs: 100 });
  const replies = await burst(scene, 5, { user: 'me', thinking: 1 });
  expect(replies.map(({ headers }) => headers[WAIT])).toEqual(Array.from({ length: 5 }, () => '0'));
});

test('nobody waits once the member is known to be taken', async () => {
  const scene = await startScene();
  await chat(scene, { user: 'me' });
  scene.venice.configure({ latencyMs: 100 });
  const replies = await burst(scene, 5, { user: 'me' });
  expect(replies.map(({ headers }) => headers[WAIT])).toEqual(Array.from({ length: 5 }, () => '0'));
});

test('nobody waits for longer than a refusal takes', async () => {
  const scene = await startScene();
  scene.venice.script({ kind: 'silent' });
  const abort = new AbortController();
  const silent = fetch(`${scene.baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer test-key' },
    body: JSON.stringify({ ...CHAT, user: 'me' }),
    signal: abort.signal,
  });
  await scene.venice.arrived(1);
  const reply = await chat(scene, { user: 'me' });
  abort.abort();
  await expect(silent).rejects.toThrow('aborted');
  expect(told(reply)).toEqual({ status: 200, attempts: '1', dropped: undefined });
  expect(Number(reply.headers[WAIT])).toBeGreaterThan(0);
});

test('a first request that fails in another way keeps nobody', async () => {
  const scene = await startScene();
  scene.venice.script({ kind: 'answer', status: 401 });
  const replies = await burst(scene, 10, { user: 'me' });
  const statuses = replies.map(({ status }) => status).toSorted((a, b) => a - b);
  expect(statuses).toEqual([...Array.from({ length: 9 }, () => 200), 401]);
});

test('nobody waits who may not wait', async () => {
  const scene = await startScene({ maxWait: 0 });
  scene.venice.configure({ latencyMs: 50 });
  const replies = await burst(scene, 3, { user: 'me' });
  expect(replies.map(({ headers }) => headers[WAIT])).toEqual(['0', '0', '0']);
});
