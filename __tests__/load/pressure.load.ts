import { expect, jest, test } from '@jest/globals';
import { CHAT, chat } from '../helpers/scene.ts';
import { send } from '../helpers/serve.ts';
import { PATIENCE_MS, chats, refusals, startAsUsersDo, withStatus } from './crowd.ts';

jest.setTimeout(PATIENCE_MS);

test('30 at once behind a block that is already on are all answered when it is over', async () => {
  const scene = await startAsUsersDo(
    { abuse: { failures: 50, windowMs: 5_000 } },
    { rateLimitWait: 5_200 },
  );
  scene.venice.block('test-key');
  const crowd = await chats(30, scene);
  expect(withStatus(crowd, 200)).toBe(30);
  expect(scene.venice.calls.length).toBeLessThanOrEqual(40);
});

test('1000 at once behind 5 per minute: 5 are answered, the others told at once when to come back', async () => {
  const scene = await startAsUsersDo(
    { requests: { limit: 5, windowMs: 60_000 } },
    { maxWait: 10_000 },
  );
  const [crowd, other] = await Promise.all([
    chats(1_000, scene),
    send(`${scene.baseUrl}/chat/completions`, {
      headers: { authorization: 'Bearer other-key' },
      body: CHAT,
    }),
  ]);
  expect(withStatus(crowd, 200)).toBe(5);
  const refused = crowd.replies.filter(({ status }) => status === 429);
  expect(refused).toHaveLength(995);
  for (const { headers } of refused) {
    expect(Number(headers['retry-after'])).toBeGreaterThan(50);
    expect(Number(headers['retry-after'])).toBeLessThanOrEqual(62);
  }
  expect(crowd.tookMs).toBeLessThan(5_000);
  expect(other.status).toBe(200);
});

test('5 clients for 30 s behind 10 per 2 s get what the limit allows', async () => {
  const scene = await startAsUsersDo({ requests: { limit: 10, windowMs: 2_000 } });
  const endsAt = performance.now() + 30_000;
  let served = 0;
  async function ask(): Promise<void> {
    while (performance.now() < endsAt) {
      // oxlint-disable-next-line no-await-in-loop -- each asks again when it has its answer
      const { status } = await chat(scene);
      if (status === 200 && performance.now() < endsAt) served += 1;
    }
  }
  await Promise.all(Array.from({ length: 5 }, ask));
  const refused = refusals(scene.venice);
  expect(served).toBeGreaterThanOrEqual(0.95 * 150);
  expect(refused.all).toBeLessThan(0.01 * scene.venice.calls.length);
  expect(refused.block).toBe(0);
});
