import { describe, expect, test } from '@jest/globals';
import { Ollama } from 'ollama';
import { behindPrefix } from '../examples/server/other-places.ts';
import { exchangeRaw } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';
import { CHAT, startTestServer } from './helpers/start-test-server.ts';

const MODELS = '/api/v1/models';

describe('what stands behind the prefix', () => {
  test.each([
    ['/api/v1/models', '/api/v1', '/models'],
    ['/API/V1/models', '/api/v1', '/models'],
    ['/api/v1', '/api/v1', ''],
    ['/api/v1/api/tags', '/api/v1', '/api/tags'],
    ['/v1/models', '/api/v1', '/models'],
    ['/v1', '/api/v1', ''],
    ['/v1/models', '/ab', '/models'],
    ['/v1/models', '/v1', '/models'],
    ['/v1/a/models', '/v1/a', '/models'],
    ['/v1/models', '/v1/a', '/models'],
    ['/v1/models', '/', '/models'],
    ['/models', '/', '/models'],
    ['/api/tags', '/api/v1', '/api/tags'],
    ['/api/tags', '/api', '/tags'],
    ['/api/tags', '/', '/api/tags'],
    ['/v1x/models', '/api/v1', undefined],
    ['/models', '/api/v1', undefined],
    ['/apis', '/api/v1', undefined],
    ['http://host/v1/models', '/api/v1', undefined],
  ])('of %s, where that is %s, is %s', (path, pathPrefix, behind) => {
    expect(behindPrefix(path, { pathPrefix, servesOllama: true })).toBe(behind);
  });

  test("Ollama's place is one only where it is served", () => {
    const places = { pathPrefix: '/api/v1', servesOllama: false };
    expect(behindPrefix('/api/tags', places)).toBeUndefined();
  });
});

describe('/v1', () => {
  test.each(['/api/v1', '/v1', '/', '/venice'])('is the API, too, beside %s', async (prefix) => {
    const { origin, standIn, proxy } = await startTestServer({ PROXY_PATH_PREFIX: prefix });
    const reply = await send(`${origin}/v1/chat/completions?a=%20b`, { body: CHAT });
    expect(reply.status).toBe(200);
    expect(standIn.calls[0]?.url).toBe('/api/v1/chat/completions?a=%20b');
    expect(proxy.lastHeard?.status).toBe(200);
  });

  test.each(['//models', '/../x', '/%2e%2e/x', '/a%2fb'])('does not lead out: %s', async (path) => {
    const { port, standIn } = await startTestServer();
    const { statusLine } = await exchangeRaw(
      `http://127.0.0.1:${port}`,
      `GET /v1${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
    );
    expect(statusLine).toContain(' 400 ');
    expect(standIn.calls).toHaveLength(0);
  });
});

describe('GET on the prefix', () => {
  test.each([
    ['/api/v1', '/api/v1', MODELS],
    ['/api/v1', '/api/v1/', MODELS],
    ['/api/v1', '/v1?type=all', `${MODELS}?type=all`],
    ['/venice', '/venice', MODELS],
  ])('gives the list of models: %s, %s', async (PROXY_PATH_PREFIX, path, url) => {
    const { origin, standIn } = await startTestServer({ PROXY_PATH_PREFIX });
    const reply = await send(origin + path);
    expect(JSON.parse(reply.text)).toMatchObject({ object: 'list' });
    expect(standIn.calls[0]?.url).toBe(url);
  });

  test('is a POST like any other when it is one', async () => {
    const { origin, standIn } = await startTestServer();
    expect((await send(`${origin}/v1`, { body: CHAT })).status).toBe(404);
    expect(standIn.calls[0]?.url).toBe('/api/v1/');
  });

  test("gives it at the root, too, where no client of Ollama's asks there", async () => {
    const env = { PROXY_PATH_PREFIX: '/' };
    const { origin } = await startTestServer({ ...env, OLLAMA: '0' });
    expect(JSON.parse((await send(`${origin}/`)).text)).toMatchObject({ object: 'list' });
    const other = await startTestServer(env);
    expect((await send(`${other.origin}/`)).text).toBe('Ollama is running');
    expect((await send(`${other.origin}/v1`)).text).toContain('"object":"list"');
  });
});

describe("Ollama's clients", () => {
  const VENICE_API_KEY = 'operators-key';
  const request = { model: CHAT.model, messages: CHAT.messages };

  test('find it where an Ollama is', async () => {
    const { origin, standIn } = await startTestServer({ VENICE_API_KEY });
    const running = await send(`${origin}/`);
    expect(running).toMatchObject({ status: 200, text: 'Ollama is running' });
    expect(running.headers['content-type']).toMatch(/^text\/plain/);
    expect((await send(`${origin}/`, { method: 'HEAD' })).status).toBe(200);

    const client = new Ollama({ host: origin });
    expect((await client.list()).models.map(({ name }) => name)).toContain(CHAT.model);
    expect((await client.chat(request)).message.content).toContain('Tell me of the sea');
    expect(standIn.calls.map(({ url }) => url)).toEqual([
      `${MODELS}?type=all`,
      '/api/v1/chat/completions',
    ]);
    expect(standIn.calls[1]?.headers.authorization).toBe(`Bearer ${VENICE_API_KEY}`);
  });

  test.each([
    ['/api/v1', '/api/v1'],
    ['/api/v1', '/v1'],
    ['/', ''],
    ['/api', '/api'],
    ['/api', '/v1'],
  ])('find it under the prefix %s at %s', async (PROXY_PATH_PREFIX, path) => {
    const { origin } = await startTestServer({ PROXY_PATH_PREFIX });
    expect((await new Ollama({ host: origin + path }).version()).version).toMatch(/^\d/);
  });

  test('hear where the other API is', async () => {
    const { origin } = await startTestServer();
    const reply = await send(`${origin}/api/pull`, { body: { model: 'x' } });
    expect(reply.status).toBe(501);
    expect(reply.text).toContain(`${origin}/api/v1.`);
  });

  test('need an entry key where one is needed, and read why', async () => {
    const { origin, standIn } = await startTestServer({ VENICE_API_KEY, PROXY_API_KEYS: 'ann' });
    const stranger = new Ollama({ host: origin });
    await expect(stranger.list()).rejects.toMatchObject({
      status_code: 401,
      message: expect.stringContaining('lets in'),
    });
    await expect(stranger.chat(request)).rejects.toMatchObject({ status_code: 401 });
    expect(standIn.calls).toHaveLength(0);
    const ann = new Ollama({ host: origin, headers: { Authorization: 'Bearer ann' } });
    expect((await ann.chat(request)).done).toBe(true);
  });

  test.each(['/api/chat', '/v1/chat/completions', '/v1/api/chat'])(
    'do not lend the key of the operator to web pages: %s',
    async (path) => {
      const { origin, standIn } = await startTestServer({ VENICE_API_KEY });
      const reply = await send(origin + path, {
        body: JSON.stringify(request),
        headers: { 'content-type': 'text/plain', origin: 'https://evil.example' },
      });
      expect(reply.status).toBe(403);
      expect(typeof JSON.parse(reply.text).error).toBe(
        path.includes('/api/') ? 'string' : 'object',
      );
      expect(standIn.calls).toHaveLength(0);
    },
  );

  test('may be pages that CORS_ORIGIN names', async () => {
    const { origin } = await startTestServer({ CORS_ORIGIN: 'https://app.example' });
    const preflight = await send(`${origin}/api/chat`, {
      method: 'OPTIONS',
      headers: { origin: 'https://app.example', 'access-control-request-method': 'POST' },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers['access-control-allow-origin']).toBe('https://app.example');
  });

  test('find nothing where it is off', async () => {
    const { origin, standIn } = await startTestServer({ OLLAMA: '0' });
    expect((await send(`${origin}/`)).status).toBe(404);
    expect((await send(`${origin}/api/tags`)).status).toBe(404);
    await send(`${origin}/api/v1/api/tags`);
    expect(standIn.calls.map(({ url }) => url)).toEqual(['/api/tags']);
  });
});
