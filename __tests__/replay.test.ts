import { describe, expect, test } from '@jest/globals';
import type { Fault } from '../examples/stand-in-venice.ts';
import { REPLAY_TABLE } from '../lib/replay-policy.ts';
import { chat, deserted, listenRaw, startFront, startScene } from './helpers/scene.ts';
import type { Scene } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';
import type { Reply } from './helpers/serve.ts';
import { until } from './helpers/until.ts';

/** The attempts that are made with one retry allowed, by what the first of them meets. */
interface Expected {
  readonly refused429: number;
  readonly refused503: number;
  readonly failed500: number;
  readonly timeout504: number;
  readonly lostAnswer: number;
  readonly refusedConnection: number;
}

const FREE: Expected = {
  refused429: 2,
  refused503: 2,
  failed500: 2,
  timeout504: 1,
  lostAnswer: 2,
  refusedConnection: 2,
};

const BILLED: Expected = { ...FREE, failed500: 1, lostAnswer: 1 };

const NEVER: Expected = { ...BILLED, refused429: 1, refused503: 1 };

const ROUTES: readonly (readonly [string, string, Expected])[] = [
  ['GET', '/models', FREE],
  ['HEAD', '/models', FREE],
  ['OPTIONS', '/models', FREE],
  ['GET', '/api_keys/rate_limits', FREE],
  ['GET', '/api_keys', FREE],
  ['GET', '/not/known', FREE],
  ['POST', '/chat/completions', FREE],
  ['POST', '/responses', FREE],
  ['POST', '/embeddings', FREE],
  ['POST', '/augment/search', FREE],
  ['POST', '/augment/scrape', FREE],
  ['POST', '/augment/text-parser', FREE],
  ['POST', '/video/quote', FREE],
  ['POST', '/audio/quote', FREE],
  ['POST', '/video/retrieve', FREE],
  ['POST', '/audio/retrieve', FREE],
  ['POST', '/image/generate', BILLED],
  ['POST', '/images/generations', BILLED],
  ['POST', '/image/edit', BILLED],
  ['POST', '/image/multi-edit', BILLED],
  ['POST', '/image/upscale', BILLED],
  ['POST', '/image/background-remove', BILLED],
  ['POST', '/video/queue', BILLED],
  ['POST', '/audio/queue', BILLED],
  ['POST', '/audio/speech', BILLED],
  ['POST', '/audio/transcriptions', BILLED],
  ['POST', '/video/transcriptions', BILLED],
  ['POST', '/audio/voices', BILLED],
  ['POST', '/not/known', BILLED],
  ['PUT', '/not/known', BILLED],
  ['PATCH', '/not/known', BILLED],
  ['DELETE', '/not/known', BILLED],
  ['POST', '/x402/top-up', NEVER],
  ['POST', '/crypto/rpc', NEVER],
  ['POST', '/crypto/rpc/base-mainnet', NEVER],
  ['POST', '/api_keys', NEVER],
  ['POST', '/api_keys/generate_web3_key', NEVER],
  ['PATCH', '/api_keys', NEVER],
  ['PATCH', '/api_keys/some-id', NEVER],
  ['DELETE', '/api_keys', NEVER],
  ['DELETE', '/api_keys/some-id', NEVER],
];

test.each(REPLAY_TABLE)('the row %s %s of the table is among them: %s', (method, route, replay) => {
  const expected = { always: FREE, 'refused-only': BILLED, never: NEVER }[replay];
  const shape = new RegExp(`^${route.replace('*', '.+')}$`);
  const rows = ROUTES.filter((row) => row[0] === method && shape.test(row[1]));
  expect(rows.map((row) => row[2])).toContain(expected);
});

const BODY = '{"model":"m","input":"x"}';

function ask(baseUrl: string, method: string, path: string): Promise<Reply> {
  if (method === 'GET' || method === 'HEAD') return send(baseUrl + path, { method });
  const headers = { 'content-type': 'application/json', 'content-length': BODY.length };
  return send(baseUrl + path, { method, headers, body: BODY });
}

describe('an attempt that failed is made again only where that costs nothing', () => {
  const faults = {
    refused429: { kind: 'answer', status: 429 },
    refused503: { kind: 'answer', status: 503 },
    failed500: { kind: 'answer', status: 500 },
    timeout504: { kind: 'answer', status: 504 },
    // Without that byte it would be a stale kept connection to those who may keep one.
    lostAnswer: { kind: 'raw', bytes: 'H' },
  } satisfies Partial<Record<keyof Expected, Fault>>;

  test.each(ROUTES)('%s %s', async (method, path, expected) => {
    const scene = await startScene({ retries: 1 });
    const calls: Record<string, number> = {};
    const delays: Record<string, number> = {};
    const told: Record<string, unknown> = {};
    for (const [name, fault] of Object.entries(faults)) {
      const callsBefore = scene.venice.calls.length;
      const delaysBefore = scene.recorder.delays.length;
      scene.venice.script(fault, { kind: 'answer', status: 200, body: 'done' });
      // oxlint-disable-next-line no-await-in-loop -- each has its own fault
      const reply = await ask(scene.baseUrl, method, path);
      calls[name] = scene.venice.calls.length - callsBefore;
      delays[name] = scene.recorder.delays.length - delaysBefore;
      told[name] = reply.status === 200 ? 'done' : reply.headers['x-should-retry'];
      // What a withheld attempt did not use is not for the next request.
      // oxlint-disable-next-line no-await-in-loop
      if (scene.venice.scripted > 0) await ask(scene.target, method, path);
    }
    const front = await startFront({ target: deserted(), retries: 1 });
    const reply = await ask(front.baseUrl, method, path);
    expect(reply.status).toBe(502);
    told['refusedConnection'] = reply.headers['x-should-retry'];
    calls['refusedConnection'] = front.recorder.attempts;
    delays['refusedConnection'] = front.recorder.delays.length;

    expect(calls).toEqual(expected);
    const each = (of: (count: number) => unknown): object =>
      Object.fromEntries(Object.entries(expected).map(([name, count]) => [name, of(count)]));
    expect(delays).toEqual(each((count) => count - 1));
    expect(told).toEqual({
      ...each((count) => (count === 2 ? 'done' : 'false')),
      // There, no attempt succeeds.
      refusedConnection: 'false',
    });
  });
});

/** What chat, embeddings and responses meet beside the rows of the table. */
describe('chat, embeddings and responses', () => {
  const paths = ['/chat/completions', '/embeddings', '/responses'];

  test.each(paths)('%s is sent again after 408, 502 and 520 to 524', async (path) => {
    const scene = await startScene({ retries: 10 });
    const statuses = [408, 502, 520, 521, 522, 523, 524];
    scene.venice.script(...statuses.map((status): Fault => ({ kind: 'answer', status })));
    scene.venice.script({ kind: 'answer', status: 200, body: 'done' });
    const reply = await ask(scene.baseUrl, 'POST', path);
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 8]);
    expect(scene.recorder.retries.map(({ status }) => status)).toEqual(statuses);
  });

  test.each(paths)('%s is not sent again when our wait for the head runs out', async (path) => {
    const scene = await startScene({ timeout: { firstByte: 80 } });
    scene.venice.script({ kind: 'silent' });
    const reply = await ask(scene.baseUrl, 'POST', path);
    expect([reply.status, scene.venice.calls.length]).toEqual([504, 1]);
    expect(scene.recorder.delays).toEqual([]);
  });
});

test.each([408, 502, 520, 524])('a billed call is not made again after %d', async (status) => {
  const scene = await startScene();
  scene.venice.script({ kind: 'answer', status });
  const reply = await ask(scene.baseUrl, 'POST', '/image/generate');
  expect([reply.status, scene.venice.calls.length]).toEqual([status, 1]);
  expect(scene.recorder.delays).toEqual([]);
});

test.each(['/image/generate/', '/image/generate?x=1', '/x402/top-up/'])(
  'a slash or a query behind the path makes no other route of it: %s',
  async (path) => {
    const scene = await startScene();
    scene.venice.script({ kind: 'answer', status: 500 });
    const reply = await ask(scene.baseUrl, 'POST', path);
    expect([reply.status, scene.venice.calls.length]).toEqual([500, 1]);
  },
);

/** Which connection each call came on. */
const connections = ({ venice }: Scene): number[] =>
  venice.calls.map(({ connection }) => connection);

describe('kept connections', () => {
  test('carry one free call after the other', async () => {
    const scene = await startScene();
    for (const path of ['/models', '/models']) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other is what is tested
      await send(scene.baseUrl + path);
    }
    await chat(scene);
    await chat(scene, { stream: true });
    await chat(scene);
    expect(connections(scene)).toEqual([1, 1, 1, 1, 1]);
  });

  test('are not used for billed calls, nor do those leave any', async () => {
    const scene = await startScene();
    await chat(scene);
    await ask(scene.baseUrl, 'POST', '/image/generate');
    await ask(scene.baseUrl, 'POST', '/audio/speech');
    await ask(scene.baseUrl, 'POST', '/x402/top-up');
    await chat(scene);
    expect(connections(scene)).toEqual([1, 2, 3, 4, 1]);
    // `close` would make a server hang up on an upload that it answers early.
    expect(scene.venice.calls[1]?.headers.connection).toBe('keep-alive');
    await until(() => scene.venice.openSockets === 1);
  });

  test('are not used for the second attempt of a billed call either', async () => {
    const scene = await startScene();
    await chat(scene);
    scene.venice.script({ kind: 'answer', status: 429 });
    const reply = await ask(scene.baseUrl, 'POST', '/stand-in/echo');
    expect(reply.status).toBe(200);
    expect(connections(scene)).toEqual([1, 2, 3]);
  });

  test.each([
    ['reset', { kind: 'reset', after: 'head' }],
    ['closed', { kind: 'raw', bytes: '', after: 'head' }],
  ] satisfies [string, Fault][])(
    'that are stale are replaced at once, without using up a retry: %s',
    async (_name, fault) => {
      const scene = await startScene({ retries: 0 });
      await chat(scene);
      scene.venice.script(fault);
      const reply = await chat(scene);
      expect([reply.status, scene.venice.calls.length]).toEqual([200, 3]);
      expect(connections(scene)).toEqual([1, 1, 2]);
      expect(reply.headers['x-venice-proxy-attempts']).toBe('1');
      expect(scene.recorder.attempts).toBe(2);
      expect(scene.recorder.delays).toEqual([]);
    },
  );

  test('that are stale are replaced once a request, by a fresh one', async () => {
    const scene = await startScene({ retries: 1 });
    // Two kept connections, both of which will turn out to be dead.
    await Promise.all([chat(scene), chat(scene)]);
    const fault = { kind: 'reset', after: 'head' } as const;
    scene.venice.script(fault, fault, fault);
    const reply = await chat(scene);
    // Stale and replaced, lost; stale again, which counts this time.
    expect(reply.status).toBe(502);
    expect(scene.venice.calls).toHaveLength(5);
    expect(reply.headers['x-venice-proxy-attempts']).toBe('2');
  });

  test('that were closed while nobody used them are not used', async () => {
    const scene = await startScene({ retries: 0 });
    scene.venice.script({ kind: 'ok', afterwards: 'close' });
    await chat(scene);
    const reply = await chat(scene);
    expect(reply.status).toBe(200);
    expect(reply.headers['x-venice-proxy-attempts']).toBe('1');
    expect(new Set(connections(scene)).size).toBe(2);
  });

  test('that break after a byte of answer are no stale ones: that uses up a retry', async () => {
    const scene = await startScene({ retries: 1 });
    await chat(scene);
    scene.venice.script({ kind: 'raw', bytes: 'H' });
    const reply = await chat(scene);
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 3]);
    expect(reply.headers['x-venice-proxy-attempts']).toBe('2');
    expect(scene.recorder.delays).toHaveLength(1);
  });

  test('that are new are never stale: the retry is used up', async () => {
    const upstream = await listenRaw((socket) => socket.destroy());
    const front = await startFront({ target: upstream.origin, retries: 1 });
    const reply = await chat(front);
    expect([reply.status, upstream.connections()]).toEqual([502, 2]);
    expect(front.recorder.delays).toHaveLength(1);
  });

  test('are not used behind a request that said close, whatever its answer says', async () => {
    const upstream = await listenRaw((socket, piece) => {
      // The head, or the end of a chunked body.
      if (/^GET|0\r\n\r\n$/.test(piece.toString('latin1'))) {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      }
    });
    const front = await startFront({ target: upstream.origin, retries: 0 });
    const headers = { 'content-type': 'text/plain', 'transfer-encoding': 'chunked' };
    for (const body of ['one', 'two']) {
      const url = `${front.baseUrl}/models`;
      // oxlint-disable-next-line no-await-in-loop -- one after the other is what is tested
      expect((await send(url, { method: 'OPTIONS', headers, body })).text).toBe('ok');
    }
    expect((await send(`${front.baseUrl}/models`)).text).toBe('ok');
    expect(upstream.connections()).toBe(3);
  });

  test('that replace a stale one can fail, and then a retry is used up', async () => {
    const scene = await startScene({ retries: 1 });
    await chat(scene);
    scene.venice.script({ kind: 'reset', after: 'head' }, { kind: 'reset', after: 'head' });
    const reply = await chat(scene);
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 4]);
    expect(reply.headers['x-venice-proxy-attempts']).toBe('2');
    expect(scene.recorder.delays).toHaveLength(1);
  });
});
