import { describe, expect, test } from '@jest/globals';
import { send } from './helpers/serve.ts';
import type { Reply, Sent } from './helpers/serve.ts';
import { CHAT, startTestServer } from './helpers/start-test-server.ts';
import type { TestServer } from './helpers/start-test-server.ts';

const VENICE_API_KEY = 'key-of-the-operator';
const PROXY_API_KEYS = 'entry-key-of-ann,entry-key-of-bob';

function chat(server: TestServer, headers: NonNullable<Sent['headers']>): Promise<Reply> {
  return send(`${server.url}/chat/completions`, { headers, body: CHAT });
}

/** Everything that reached the upstream, in one text. */
function upstreamHeard({ standIn }: TestServer): string {
  return standIn.calls.map((call) => call.rawHeaders.join('\n')).join('\n');
}

const REFUSAL = {
  error: {
    message: expect.stringContaining('This proxy lets in who sends one of its own keys'),
    type: 'invalid_request_error',
    param: null,
    code: 'invalid_api_key',
  },
};

describe('with a key of its own, the entry key comes in Authorization', () => {
  const env = { VENICE_API_KEY, PROXY_API_KEYS };

  test.each(['entry-key-of-ann', 'entry-key-of-bob'])(
    '%s enters, and the operator’s key goes upstream in its place',
    async (key) => {
      const server = await startTestServer(env);
      const reply = await chat(server, { authorization: `Bearer ${key}` });
      expect(reply.status).toBe(200);
      expect(server.standIn.calls).toHaveLength(1);
      expect(server.standIn.calls[0]?.headers.authorization).toBe(`Bearer ${VENICE_API_KEY}`);
      expect(upstreamHeard(server)).not.toContain('entry-key');
    },
  );

  test('the scheme is read in any case', async () => {
    const server = await startTestServer(env);
    expect((await chat(server, { authorization: 'bearer  entry-key-of-ann' })).status).toBe(200);
  });

  test.each([
    ['a wrong key', 'Bearer entry-key-of-eve', 'Bearer error="invalid_token"'],
    ['the beginning of a key', 'Bearer entry-key-of-an', 'Bearer error="invalid_token"'],
    ['a key and more', 'Bearer entry-key-of-ann1', 'Bearer error="invalid_token"'],
    ['all keys at once', `Bearer ${PROXY_API_KEYS}`, 'Bearer error="invalid_token"'],
    ['a key in another case', 'Bearer ENTRY-KEY-OF-ANN', 'Bearer error="invalid_token"'],
    ['the key of the operator', `Bearer ${VENICE_API_KEY}`, 'Bearer error="invalid_token"'],
    ['an empty key', 'Bearer ', 'Bearer'],
    ['another scheme', 'Basic entry-key-of-ann', 'Bearer'],
    ['no scheme', 'entry-key-of-ann', 'Bearer'],
    ['an empty header', '', 'Bearer'],
  ])('%s is refused, and nothing goes upstream', async (_, authorization, challenge) => {
    const server = await startTestServer(env);
    const reply = await chat(server, { authorization });
    expect(reply.status).toBe(401);
    expect(reply.headers['www-authenticate']).toBe(challenge);
    expect(reply.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(JSON.parse(reply.text)).toEqual(REFUSAL);
    expect(server.standIn.calls).toHaveLength(0);
  });

  test('the right key in the other header is refused', async () => {
    const server = await startTestServer(env);
    const reply = await chat(server, {
      authorization: 'Bearer x',
      'x-proxy-api-key': 'entry-key-of-ann',
    });
    expect(reply.status).toBe(401);
    expect(reply.text).toContain('`Authorization: Bearer KEY`');
  });

  test.each(['GET', 'HEAD', 'OPTIONS', 'DELETE', 'PUT'])(
    '%s needs the key, too',
    async (method) => {
      const server = await startTestServer(env);
      const url = `${server.url}/models`;
      const refused = await send(url, { method, headers: { authorization: 'Bearer x' } });
      expect(refused.status).toBe(401);
      expect(server.standIn.calls).toHaveLength(0);
    },
  );
});

describe('without a key of its own, the entry key comes in X-Proxy-Api-Key', () => {
  const env = { PROXY_API_KEYS };

  test('who has it enters, and the own Venice key goes upstream alone', async () => {
    const server = await startTestServer(env);
    const reply = await chat(server, {
      authorization: 'Bearer venice-key-of-ann',
      'x-proxy-api-key': 'entry-key-of-ann',
    });
    expect(reply.status).toBe(200);
    expect(server.standIn.calls[0]?.headers.authorization).toBe('Bearer venice-key-of-ann');
    expect(upstreamHeard(server).toLowerCase()).not.toContain('x-proxy-api-key');
    expect(upstreamHeard(server)).not.toContain('entry-key');
  });

  test.each([
    ['no key', {}],
    ['an empty key', { 'x-proxy-api-key': '' }],
    ['a wrong key', { 'x-proxy-api-key': 'entry-key-of-eve' }],
    ['two keys', { 'x-proxy-api-key': ['entry-key-of-ann', 'entry-key-of-bob'] }],
    ['the key in Authorization', { authorization: 'Bearer entry-key-of-ann' }],
  ])('%s is refused, and nothing goes upstream', async (_, headers) => {
    const server = await startTestServer(env);
    const reply = await chat(server, headers);
    expect(reply.status).toBe(401);
    expect(reply.headers['www-authenticate']).toBeUndefined();
    expect(JSON.parse(reply.text)).toEqual(REFUSAL);
    expect(reply.text).toContain('`X-Proxy-Api-Key: KEY`');
    expect(server.standIn.calls).toHaveLength(0);
  });
});

test.each([
  ['beside the key of the operator', { VENICE_API_KEY, PROXY_API_KEYS }],
  ['without one', { PROXY_API_KEYS }],
  ['where nobody asks for it', {}],
])('no spelling of the entry key’s header carries it upstream, %s', async (_where, env) => {
  const server = await startTestServer(env);
  const both = {
    authorization: 'Bearer entry-key-of-ann',
    'X-PROXY-Api-Key': 'entry-key-of-ann',
    connection: 'close, X-Proxy-API-Key',
    'proxy-authorization': 'Bearer entry-key-of-ann',
    cookie: 'key=entry-key-of-ann',
  };
  const headers = 'VENICE_API_KEY' in env ? both : { ...both, authorization: 'Bearer venice-key' };
  expect((await chat(server, headers)).status).toBe(200);
  expect(upstreamHeard(server)).toContain(
    'VENICE_API_KEY' in env ? `Bearer ${VENICE_API_KEY}` : 'Bearer venice-key',
  );
  expect(upstreamHeard(server)).not.toContain('entry-key');
});

describe('without entry keys everyone enters', () => {
  test('with the own Venice key', async () => {
    const server = await startTestServer();
    const reply = await chat(server, { authorization: 'Bearer venice-key-of-ann' });
    expect(reply.status).toBe(200);
    expect(server.standIn.calls[0]?.headers.authorization).toBe('Bearer venice-key-of-ann');
  });

  test('with the operator’s key on a loopback address', async () => {
    const server = await startTestServer({ VENICE_API_KEY });
    expect((await chat(server, { authorization: 'Bearer any' })).status).toBe(200);
    expect(server.standIn.calls[0]?.headers.authorization).toBe(`Bearer ${VENICE_API_KEY}`);
  });

  test('an entry key that nobody asked for stays here all the same', async () => {
    const server = await startTestServer();
    const reply = await chat(server, { 'x-proxy-api-key': 'entry-key-of-ann' });
    expect(reply.status).toBe(200);
    expect(upstreamHeard(server)).not.toContain('entry-key');
  });
});

test('/health and /ready need no key', async () => {
  const server = await startTestServer({ VENICE_API_KEY, PROXY_API_KEYS });
  expect((await send(`${server.origin}/health`, { headers: { authorization: '' } })).status).toBe(
    200,
  );
  expect((await send(`${server.origin}/ready`, { headers: { authorization: '' } })).status).toBe(
    200,
  );
  expect(upstreamHeard(server)).not.toContain(VENICE_API_KEY);
});
