import * as crypto from 'node:crypto';
import express from 'express';
import { beforeEach, expect, jest, test } from '@jest/globals';
import { closeAfterTest } from './helpers/scene.ts';
import { listen, send } from './helpers/serve.ts';

const compare = jest.fn(crypto.timingSafeEqual);
jest.unstable_mockModule('node:crypto', () => ({ ...crypto, timingSafeEqual: compare }));
// Only now: what is mocked must not be there yet.
const { requireEntryKey } = await import('../examples/server/entry-key.ts');

const KEYS = ['first-key', 'second-key', 'a-key-that-is-longer-than-the-others'];

beforeEach(() => void compare.mockClear());

test.each<readonly [string, string, number]>([
  ['the first key', 'first-key', 200],
  ['the last key', 'a-key-that-is-longer-than-the-others', 200],
  ['a key with the first letter wrong', 'xirst-key', 401],
  ['a key with the last letter wrong', 'first-kex', 401],
  ['the beginning of a key', 'f', 401],
  ['a key of 10 000 letters', 'f'.repeat(10_000), 401],
])('%s is compared with every key, whole, in constant time', async (_what, key, status) => {
  const app = express();
  app.use(requireEntryKey(KEYS, 'authorization'), (_req, res) => void res.end());
  const running = await listen(app);
  closeAfterTest(() => running.close());
  const reply = await send(running.origin, { headers: { authorization: `Bearer ${key}` } });
  expect(reply.status).toBe(status);
  expect(compare).toHaveBeenCalledTimes(KEYS.length);
  // Hashes, of one length: neither that of the key nor where it differs shows.
  for (const [one, other] of compare.mock.calls) {
    expect([one.byteLength, other.byteLength]).toEqual([32, 32]);
  }
});
