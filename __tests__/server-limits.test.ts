import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import { send } from './helpers/serve.ts';
import { CHAT, startTestServer } from './helpers/start-test-server.ts';
import type { TestServer } from './helpers/start-test-server.ts';
import { until } from './helpers/until.ts';
import { dial, get, isWhole, parseAnswer } from './helpers/wire.ts';
import type { Line } from './helpers/wire.ts';

const JSON_BODY = 'Content-Type: application/json';

function start(path: string, ...lines: readonly string[]): string {
  return [`POST /api/v1${path} HTTP/1.1`, 'Host: proxy', ...lines, '', ''].join('\r\n');
}

/** Sends a byte every so often, as long as somebody takes it. */
async function trickle(client: Line, everyMs = 50): Promise<void> {
  for (;;) {
    client.socket.write('x');
    // oxlint-disable-next-line no-await-in-loop -- that is what is meant
    const ended = await Promise.race([client.ended, sleep(everyMs)]);
    if (ended !== undefined) return;
  }
}

/** Headers of 4 bytes and more, each with a name of its own. */
const many = (count: number): string[] => Array.from({ length: count }, (_, n) => `X-${n}: 1`);

/** A request that is answered when the connection is gone at the latest. */
async function busy({ origin, standIn }: TestServer): Promise<Line> {
  const before = standIn.calls.length;
  standIn.script({ kind: 'silent' });
  const client = await dial(origin);
  await client.write(get('/models', { headers: ['Authorization: Bearer k'] }));
  await standIn.arrived(before + 1);
  return client;
}

/** A connection on which one request has been answered. */
async function kept({ origin }: TestServer): Promise<Line> {
  const client = await dial(origin);
  await client.write(get('/models'));
  await client.when(() => isWhole(client.received));
  return client;
}

const isOpen = (client: Line): Promise<boolean> =>
  Promise.race([client.ended.then(() => false), sleep(100, true)]);

const statusOn = async (client: Line): Promise<number> => {
  await client.write(get('/models'));
  await client.when(() => isWhole(client.received));
  return parseAnswer(client.received).status;
};

describe('time', () => {
  const SHORT = { HEADERS_TIMEOUT: '0.3', REQUEST_TIMEOUT: '0.3' };

  test('a connection that says nothing is closed when the head of its request is due', async () => {
    const { origin } = await startTestServer(SHORT);
    const client = await dial(origin);
    await client.ended;
    expect(client.text).toMatch(/^(HTTP\/1\.1 408 Request Timeout\r\n|$)/);
  });

  test('a head that comes byte by byte gets 408', async () => {
    const { origin, standIn } = await startTestServer(SHORT);
    const client = await dial(origin);
    await client.write('GET /api/v1/models HTTP/1.1\r\nHost: proxy\r\nX-Slow: ');
    await trickle(client);
    expect(client.text).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/);
    expect(standIn.calls).toEqual([]);
  });

  test('JSON that comes byte by byte gets 408, and goes nowhere', async () => {
    const { origin, standIn, proxy } = await startTestServer(SHORT);
    const client = await dial(origin);
    await client.write(start('/chat/completions', JSON_BODY, 'Content-Length: 9999'));
    await trickle(client);
    expect(client.text).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/);
    await until(() => proxy.inFlight === 0);
    expect(standIn.calls).toEqual([]);
  });

  test('an upload that comes byte by byte gets 408, and its upstream call ends', async () => {
    const { origin, standIn, proxy } = await startTestServer(SHORT);
    const client = await dial(origin);
    await client.write(start('/audio/transcriptions', 'Content-Length: 9999'));
    await trickle(client);
    expect(client.text).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/);
    await until(() => proxy.inFlight === 0);
    expect(standIn.calls).toHaveLength(1);
    await standIn.calls[0]?.over;
    expect(standIn.calls[0]?.aborted).toBe(true);
  });

  test('an answer may take longer than a request', async () => {
    const { url } = await startTestServer(SHORT, { tokenDelayMs: 20 });
    const begunAt = performance.now();
    const reply = await send(`${url}/chat/completions`, {
      body: { ...CHAT, stream: true, x_words: 50 },
    });
    expect(performance.now() - begunAt).toBeGreaterThan(700);
    expect(reply).toMatchObject({ status: 200, complete: true });
    expect(reply.text).toContain('data: [DONE]');
  });

  test('who is too slow is found within 5 s, however long the head may take', async () => {
    const { server } = await startTestServer();
    expect(server).toMatchObject({ connectionsCheckingInterval: 5_000 });
  });
});

describe('headers', () => {
  test('may be as many as 200', async () => {
    const { origin, standIn } = await startTestServer();
    const client = await dial(origin);
    await client.write(get('/models', { headers: many(199) }));
    await client.when(() => isWhole(client.received));
    expect(parseAnswer(client.received).status).toBe(200);
    expect(standIn.calls[0]?.headers).toMatchObject({ 'x-0': '1', 'x-198': '1' });
  });

  test.each([200, 900])(
    'beyond that are refused, and none of them is left out without a word (%d)',
    async (count) => {
      const { origin, standIn } = await startTestServer();
      const client = await dial(origin);
      await client.write(get('/models', { headers: [...many(count), 'Authorization: Bearer k'] }));
      await client.ended;
      const { status, body, complete } = parseAnswer(client.received);
      expect([status, complete]).toEqual([431, true]);
      expect(JSON.parse(body.toString())).toEqual({
        error: {
          message: 'A request may have 200 headers at most.',
          type: 'invalid_request_error',
          param: null,
          code: 'too_many_headers',
        },
      });
      expect(standIn.calls).toEqual([]);
    },
  );

  test('beyond 16 kB in all are refused', async () => {
    const { origin, standIn } = await startTestServer();
    const client = await dial(origin);
    await client.write(get('/models', { headers: [`X-Long: ${'x'.repeat(16 * 1024)}`] }));
    await client.ended;
    expect(client.text).toMatch(/^HTTP\/1\.1 431 /);
    expect(standIn.calls).toEqual([]);
  });
});

describe('connections', () => {
  test('beyond MAX_CONNECTIONS take the place of the one that has been idle for longest', async () => {
    const server = await startTestServer({ MAX_CONNECTIONS: '3', RATE_LIMIT: '0' });
    const working = await busy(server);
    const first = await kept(server);
    const second = await kept(server);
    const third = await dial(server.origin);
    expect(await statusOn(third)).toBe(200);
    await first.ended;
    expect(await isOpen(second)).toBe(true);
    expect(await isOpen(working)).toBe(true);
    expect(server.proxy.inFlight).toBe(1);
  });

  test('have been idle only since their last answer', async () => {
    const server = await startTestServer({ MAX_CONNECTIONS: '2' });
    const first = await kept(server);
    const second = await kept(server);
    const before = first.bytesReceived;
    await first.write(get('/models'));
    await first.when(() => first.bytesReceived >= 2 * before);
    expect(await statusOn(await dial(server.origin))).toBe(200);
    await second.ended;
    expect(await isOpen(first)).toBe(true);
  });

  test('without a whole head make room for one that has a request', async () => {
    const server = await startTestServer({ MAX_CONNECTIONS: '3' });
    const slow = await Promise.all([1, 2, 3].map(() => dial(server.origin)));
    await Promise.all(slow.map((client) => client.write('GET /api/v1/models HTTP/1.1\r\nX-A: ')));
    expect(await statusOn(await dial(server.origin))).toBe(200);
  });

  test('that are all at work keep their place: a new one is turned away', async () => {
    const server = await startTestServer({ MAX_CONNECTIONS: '2', RATE_LIMIT: '0' });
    const working = [await busy(server), await busy(server)];
    const late = await dial(server.origin);
    await late.ended;
    expect(late.text).toBe('');
    expect(await Promise.all(working.map(isOpen))).toEqual([true, true]);
    working[0]?.reset();
    await until(() => server.proxy.inFlight === 1);
    expect(await statusOn(await dial(server.origin))).toBe(200);
  });
});

test('nothing tells what the server is made of', async () => {
  const { origin, url, standIn } = await startTestServer({ MAX_RETRIES: '0' });
  standIn.script({ kind: 'reset', after: 'head' });
  const replies = [
    await send(`${url}/models`),
    await send(`${url}/models`),
    await send(`${origin}/health`),
    await send(`${origin}/ready`),
    await send(`${origin}/elsewhere`),
    await send(`${url}/a%2fb`),
    await send(`${url}/models`, { method: 'PROPFIND' }),
  ];
  expect(replies.map(({ status }) => status)).toEqual([502, 200, 200, 200, 404, 400, 405]);
  for (const { headers } of replies) {
    expect(headers).not.toHaveProperty('x-powered-by');
    expect(headers).not.toHaveProperty('server');
  }
});
