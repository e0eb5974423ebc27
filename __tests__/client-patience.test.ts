import { describe, expect, test } from '@jest/globals';
import { clientPatienceMs } from '../lib/client-patience.ts';
import { CHAT, startScene } from './helpers/scene.ts';
import type { Scene } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';
import type { Reply } from './helpers/serve.ts';

test.each([
  [undefined, Infinity],
  ['600', 599_000],
  ['5', 4_500],
  ['0.5', 450],
  ['0', Infinity],
  ['-1', Infinity],
  ['soon', Infinity],
  ['', Infinity],
])('x-stainless-timeout: %j leaves %d ms', (text, patienceMs) => {
  const headers = text === undefined ? {} : { 'x-stainless-timeout': text };
  expect(clientPatienceMs(headers)).toBe(patienceMs);
});

function ask(scene: Scene, seconds: string, body: object = CHAT): Promise<Reply> {
  const headers = { 'x-stainless-timeout': seconds };
  return send(`${scene.baseUrl}/chat/completions`, { body, headers });
}

describe('a client that says how long it waits', () => {
  test('gets a 504 while it is still there', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'silent' });
    const reply = await ask(scene, '0.3');
    expect([reply.status, JSON.parse(reply.text).error.code]).toEqual([504, 'upstream_timeout']);
    expect(reply.text).toContain("within the client's own timeout");
    expect(scene.venice.calls).toHaveLength(1);
  });

  test('gets the answer of the upstream when the next wait would be longer', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'rate-limited', resetMs: 60_000 });
    const reply = await ask(scene, '5');
    expect([reply.status, scene.venice.calls.length]).toEqual([429, 1]);
    expect(JSON.parse(reply.text)).toEqual({ error: 'Rate limit exceeded' });
  });

  test('is not held for longer', async () => {
    const scene = await startScene({}, { requests: { limit: 1, windowMs: 60_000 } });
    expect((await ask(scene, '5')).status).toBe(200);
    const reply = await ask(scene, '5');
    expect([reply.status, scene.venice.calls.length]).toEqual([429, 1]);
    expect(JSON.parse(reply.text).error.code).toBe('rate_limit_exceeded');
  });

  test('is waited for when its patience suffices', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'answer', status: 503 });
    expect((await ask(scene, '5')).status).toBe(200);
  });

  test('has its stream in peace once that has begun', async () => {
    const scene = await startScene({}, { tokenDelayMs: 60 });
    const reply = await ask(scene, '0.2', { ...CHAT, stream: true });
    expect(reply.text).toMatch(/\[DONE\]\n\n$/);
  });
});
