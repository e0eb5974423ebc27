import { describe, expect, test } from '@jest/globals';
import { send } from './helpers/serve.ts';
import type { Reply, Sent } from './helpers/serve.ts';
import { CHAT, startTestServer } from './helpers/start-test-server.ts';
import type { TestServer } from './helpers/start-test-server.ts';

const APP = 'https://app.example';
const OTHER = 'https://other.example';
const SDK_HEADERS =
  'authorization,content-type,x-stainless-arch,x-stainless-lang,x-stainless-os,' +
  'x-stainless-package-version,x-stainless-retry-count,x-stainless-runtime';

function preflight(server: TestServer, origin: string, headers = SDK_HEADERS): Promise<Reply> {
  return send(`${server.url}/chat/completions`, {
    method: 'OPTIONS',
    headers: {
      authorization: '',
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': headers,
    },
  });
}

function chat(server: TestServer, headers: NonNullable<Sent['headers']>): Promise<Reply> {
  return send(`${server.url}/chat/completions`, { headers, body: CHAT });
}

function corsHeaders({ headers }: Reply): string[] {
  return Object.keys(headers).filter((name) => name.startsWith('access-control-'));
}

describe('CORS_ORIGIN with a list', () => {
  const env = { CORS_ORIGIN: `${APP},http://localhost:3000` };

  test('a preflight of a listed page is answered here, with what the OpenAI SDK needs', async () => {
    const server = await startTestServer({ ...env, PROXY_API_KEYS: 'entry' });
    const reply = await preflight(server, APP, `${SDK_HEADERS},x-proxy-api-key`);
    expect(reply.status).toBe(204);
    expect(reply.body).toHaveLength(0);
    expect(reply.headers['access-control-allow-origin']).toBe(APP);
    expect(reply.headers['access-control-allow-methods']).toContain('POST');
    expect(reply.headers['access-control-allow-headers']).toBe(`${SDK_HEADERS},x-proxy-api-key`);
    expect(reply.headers['access-control-allow-credentials']).toBeUndefined();
    expect(Number(reply.headers['access-control-max-age'])).toBeGreaterThan(0);
    expect(reply.headers.vary).toContain('Origin');
    expect(server.standIn.calls).toHaveLength(0);
  });

  test('a listed page may read the answer and what the headers say', async () => {
    const server = await startTestServer(env);
    const reply = await chat(server, { origin: APP });
    expect(reply.status).toBe(200);
    expect(reply.headers['access-control-allow-origin']).toBe(APP);
    expect(reply.headers.vary).toContain('Origin');
    const exposed = reply.headers['access-control-expose-headers'];
    for (const name of [
      'x-venice-proxy-attempts',
      'x-venice-proxy-wait',
      'x-venice-proxy-dropped',
      'retry-after',
      'x-should-retry',
      'x-ratelimit-remaining-requests',
      'x-ratelimit-reset-tokens',
    ]) {
      expect(exposed).toContain(name);
    }
  });

  test('another page may not, neither by preflight nor by itself', async () => {
    const server = await startTestServer(env);
    const asked = await preflight(server, OTHER);
    expect(asked.headers['access-control-allow-origin']).toBeUndefined();
    const reply = await chat(server, { origin: OTHER });
    expect(reply.headers['access-control-allow-origin']).toBeUndefined();
    expect(reply.headers.vary).toContain('Origin');
  });

  test("the upstream's own rules and its Vary do not take the place of ours", async () => {
    const server = await startTestServer(env);
    const headers = {
      'Access-Control-Allow-Origin': '*',
      'Access-Control-Allow-Credentials': 'true',
      Vary: 'Accept-Encoding',
    };
    server.standIn.script({ kind: 'ok', headers });
    const reply = await chat(server, { origin: APP });
    expect(reply.headers['access-control-allow-origin']).toBe(APP);
    expect(reply.headers['access-control-allow-credentials']).toBeUndefined();
    expect(reply.headers.vary).toBe('Origin, Accept-Encoding');
  });

  test('a page can read why it was refused', async () => {
    const server = await startTestServer({ ...env, PROXY_API_KEYS: 'entry' });
    const reply = await chat(server, { origin: APP });
    expect(reply.status).toBe(401);
    expect(reply.headers['access-control-allow-origin']).toBe(APP);
    const missing = await send(`${server.origin}/nowhere`, { headers: { origin: APP } });
    expect(missing.status).toBe(404);
    expect(missing.headers['access-control-allow-origin']).toBe(APP);
  });

  test('OPTIONS that is no preflight goes to the API, and needs the entry key', async () => {
    const server = await startTestServer({ ...env, PROXY_API_KEYS: 'entry' });
    const ask = (key: string): Promise<Reply> =>
      send(`${server.url}/models`, {
        method: 'OPTIONS',
        headers: { origin: APP, 'x-proxy-api-key': key },
      });
    expect((await ask('wrong')).status).toBe(401);
    expect(server.standIn.calls).toHaveLength(0);
    await ask('entry');
    expect(server.standIn.calls).toMatchObject([{ method: 'OPTIONS', url: '/api/v1/models' }]);
  });
});

test('CORS_ORIGIN=* lets every page in', async () => {
  const server = await startTestServer({ CORS_ORIGIN: '*' });
  const asked = await preflight(server, OTHER);
  expect(asked.status).toBe(204);
  expect(asked.headers['access-control-allow-origin']).toBe('*');
  expect(asked.headers['access-control-allow-headers']).toBe(SDK_HEADERS);
  const reply = await chat(server, { origin: OTHER });
  expect(reply.headers['access-control-allow-origin']).toBe('*');
  expect(reply.headers['access-control-allow-credentials']).toBeUndefined();
});

describe('without CORS_ORIGIN', () => {
  test('no page may read an answer, whatever the upstream says', async () => {
    const server = await startTestServer();
    server.standIn.script({ kind: 'ok', headers: { 'Access-Control-Allow-Origin': '*' } });
    const reply = await chat(server, { origin: APP });
    expect(reply.status).toBe(200);
    expect(corsHeaders(reply)).toEqual([]);
  });

  test('a preflight is a request like any other: entry key first', async () => {
    const server = await startTestServer({ PROXY_API_KEYS: 'entry' });
    const reply = await preflight(server, APP);
    expect(reply.status).toBe(401);
    expect(corsHeaders(reply)).toEqual([]);
    expect(server.standIn.calls).toHaveLength(0);
  });
});
