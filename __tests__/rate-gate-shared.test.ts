import { expect, test } from '@jest/globals';
import type { Ask, GateStore, Reply } from '../lib/rate-gate/gate-store.ts';
import { MemoryStore } from '../lib/rate-gate/memory-store.ts';
import { chat, startScene } from './helpers/scene.ts';

/** A store that answers later, and tells of so many processes. */
function sharedStore(peers: number): GateStore {
  const memory = new MemoryStore();
  return {
    async step(ask: Ask): Promise<Reply> {
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      return { ...memory.step(ask), peers };
    },
  };
}

test('without any patience a request goes that nothing holds up', async () => {
  const scene = await startScene({ store: sharedStore(1), maxWait: 0 });
  expect([(await chat(scene)).status, scene.venice.calls.length]).toEqual([200, 1]);
});

test('who is served in time is not refused because of peers that are idle', async () => {
  const scene = await startScene(
    { store: sharedStore(4), maxWait: 6_000 },
    { requests: { limit: 4, windowMs: 1_000 }, resetFormat: 'milliseconds' },
  );
  await chat(scene);
  const replies = await Promise.all(Array.from({ length: 7 }, () => chat(scene)));
  expect(replies.map(({ status }) => status)).toEqual(Array.from({ length: 7 }, () => 200));
});

test('who comes while the store is asked is not held', async () => {
  const scene = await startScene({ store: sharedStore(1) });
  await chat(scene);
  const replies = await Promise.all(Array.from({ length: 10 }, () => chat(scene)));
  expect(replies.every(({ status }) => status === 200)).toBe(true);
  expect(scene.recorder.holds).toEqual([]);
});
