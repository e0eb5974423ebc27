import { createHash, randomBytes } from 'node:crypto';
import https from 'node:https';
import { describe, expect, test } from '@jest/globals';
import type { Fault } from '../examples/stand-in-venice.ts';
import { CERTIFICATE, CERTIFICATE_KEY } from './helpers/certificate.ts';
import { CHAT, chat, startScene } from './helpers/scene.ts';
import type { Scene } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';

const TLS = { cert: CERTIFICATE, key: CERTIFICATE_KEY };

/** In front of a target that speaks TLS, with an agent that knows its certificate. */
function startTlsScene(options: Parameters<typeof startScene>[0] = {}): Promise<Scene> {
  const agent = new https.Agent({ keepAlive: true, ca: CERTIFICATE });
  return startScene({ agent, ...options }, { tls: TLS });
}

describe('a target that speaks TLS', () => {
  test('is reached, with retries, over connections that are kept', async () => {
    const scene = await startTlsScene();
    expect(scene.target).toMatch(/^https:/);
    scene.venice.script({ kind: 'answer', status: 503 });
    const reply = await chat(scene);
    expect([reply.status, reply.headers['x-venice-proxy-attempts']]).toEqual([200, '2']);
    expect(scene.venice.calls.map(({ connection }) => connection)).toEqual([1, 1]);
  });

  test('takes uploads, held nowhere and complete', async () => {
    const scene = await startTlsScene();
    const body = randomBytes(3_000_000);
    const reply = await send(`${scene.baseUrl}/stand-in/echo`, {
      headers: { 'content-type': 'application/octet-stream' },
      body,
    });
    expect(reply.status).toBe(200);
    expect(reply.text).toContain(createHash('sha256').update(body).digest('hex'));
  });

  test('streams, and a stream that breaks ends with the error event', async () => {
    const scene = await startTlsScene();
    const whole = await chat(scene, { stream: true });
    expect([whole.complete, whole.text.endsWith('data: [DONE]\n\n')]).toEqual([true, true]);
    scene.venice.script({ kind: 'cut-stream', afterEvents: 2 });
    const cut = await chat(scene, { stream: true });
    expect(cut.complete).toBe(false);
    expect(cut.text).toMatch(/data: \{"error":.*"code":"upstream_disconnected"\}\}\n\n$/);
  });

  test.each([
    ['a stale connection', { kind: 'reset', after: 'head' }],
    ['a silent target', { kind: 'silent' }],
  ] satisfies [string, Fault][])('does not hang on %s', async (_what, fault) => {
    const scene = await startTlsScene({ timeout: { firstByte: 300 } });
    await chat(scene);
    scene.venice.script(fault);
    const reply = await chat(scene);
    expect(reply.status).toBe(fault.kind === 'silent' ? 504 : 200);
  });

  test('is not believed without a certificate that is known', async () => {
    const scene = await startScene({ retries: 1 }, { tls: TLS });
    const reply = await chat(scene);
    expect(reply.status).toBe(502);
    expect(JSON.parse(reply.text)).toMatchObject({ error: { code: 'upstream_unreachable' } });
    // Nothing of the request has left: above all not the key.
    expect(scene.venice.calls).toHaveLength(0);
    expect(scene.recorder.delays).toHaveLength(1);
  });

  test('gets the client certificate of the agent, and is not reached without one', async () => {
    const strict = { ...TLS, ca: CERTIFICATE, requestCert: true, rejectUnauthorized: true };
    const ours = new https.Agent({ keepAlive: true, ...TLS, ca: CERTIFICATE });
    const known = await startScene({ agent: ours }, { tls: strict });
    expect((await chat(known)).status).toBe(200);
    const nameless = new https.Agent({ keepAlive: true, ca: CERTIFICATE });
    const unknown = await startScene({ agent: nameless, retries: 0 }, { tls: strict });
    expect((await chat(unknown)).status).toBe(502);
    expect(unknown.venice.calls).toHaveLength(0);
  });

  test('serves what is billed by the call, too', async () => {
    const scene = await startTlsScene();
    const reply = await send(`${scene.baseUrl}/images/generations`, { body: CHAT });
    expect(reply.status).toBe(200);
  });
});
