import { describe, expect, test } from '@jest/globals';
import { send } from './helpers/serve.ts';
import { CHAT, startTestServer } from './helpers/start-test-server.ts';

const LENT = { VENICE_API_KEY: 'operators-key' };

describe('a key that is lent on this machine without an entry key', () => {
  test.each([
    ['a program, which sends no Origin', {}],
    ['a program that calls it localhost', { host: 'localhost:9000' }],
    ['a name below localhost', { host: 'venice.localhost' }],
    ['an IPv6 loopback address', { host: '[::1]:9000' }],
    ['a page of its own', { host: 'localhost:9000', origin: 'http://localhost:9000' }],
  ])('serves %s', async (_who, headers) => {
    const { url, standIn } = await startTestServer(LENT);
    const reply = await send(`${url}/chat/completions`, { body: CHAT, headers });
    expect(reply.status).toBe(200);
    expect(standIn.calls[0]?.headers.authorization).toBe('Bearer operators-key');
  });

  test.each([
    ['a web page', { origin: 'https://evil.example' }],
    ['a sandboxed page', { origin: 'null' }],
    ['a page on another port of this machine', { origin: 'http://localhost:8080' }],
    ['a name that was pointed at this machine', { host: 'evil.example:9000' }],
    ['a name that only looks like localhost', { host: 'localhost.evil.example' }],
  ])('is not spent by %s', async (_who, headers) => {
    const { url, standIn } = await startTestServer(LENT);
    // What a page may send anywhere without asking: no preflight stands in its way.
    const simple = { 'content-type': 'text/plain', ...headers };
    const reply = await send(`${url}/chat/completions`, {
      body: JSON.stringify(CHAT),
      headers: simple,
    });
    expect(reply.status).toBe(403);
    expect(JSON.parse(reply.text)).toMatchObject({ error: { code: 'forbidden_origin' } });
    expect(standIn.calls).toHaveLength(0);
  });

  test('serves the pages that CORS_ORIGIN names', async () => {
    const { url } = await startTestServer({ ...LENT, CORS_ORIGIN: 'https://app.example' });
    const from = (origin: string): ReturnType<typeof send> =>
      send(`${url}/chat/completions`, { body: CHAT, headers: { origin } });
    expect((await from('https://app.example')).status).toBe(200);
    expect((await from('https://evil.example')).status).toBe(403);
  });

  test.each([
    ['an entry key is asked for', { PROXY_API_KEYS: 'test-key' }],
    ['ALLOW_OPEN_KEY says so', { ALLOW_OPEN_KEY: '1' }],
  ])('is not guarded where %s', async (_why, more) => {
    const { url } = await startTestServer({ ...LENT, ...more });
    const headers = { origin: 'https://app.example', host: 'proxy.example' };
    expect((await send(`${url}/chat/completions`, { body: CHAT, headers })).status).toBe(200);
  });
});

test('without a key to lend, every page may knock with a key of its own', async () => {
  const { url } = await startTestServer();
  const headers = { origin: 'https://app.example', host: 'proxy.example' };
  expect((await send(`${url}/chat/completions`, { body: CHAT, headers })).status).toBe(200);
});
