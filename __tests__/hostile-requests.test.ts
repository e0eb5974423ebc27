import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import * as zlib from 'node:zlib';
import { describe, expect, jest, test } from '@jest/globals';
import { CHAT, listenRaw, startFront, startScene } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';
import { until } from './helpers/until.ts';
import { FIRST_PATH, growthOf } from './helpers/watched.ts';
import {
  LAST_CHUNK,
  chunk,
  dial,
  isWhole,
  parseAnswer,
  standsStill,
  startUpstream,
} from './helpers/wire.ts';
import type { Line } from './helpers/wire.ts';

const JSON_TYPE = { 'content-type': 'application/json' };
const MILLION = 1_000_000;
const CHAT_PATH = '/chat/completions';

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

interface Arrived {
  readonly bytes: number;
  readonly sha256: string;
  readonly coding: string | undefined;
}

interface Counting {
  readonly origin: string;
  readonly arrived: Arrived[];
}

/** An upstream that remembers of each body how long it was and what was in it. */
async function startCounting(): Promise<Counting> {
  const arrived: Arrived[] = [];
  const take = async (req: IncomingMessage): Promise<void> => {
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const piece of req as AsyncIterable<Buffer>) {
      hash.update(piece);
      bytes += piece.length;
    }
    const coding = req.headers['content-encoding'];
    arrived.push({ bytes, sha256: hash.digest('hex'), coding });
  };
  const origin = await startUpstream((req, res) => {
    res.setHeader('content-type', 'application/json');
    if (req.url === FIRST_PATH) res.end('{}');
    else void take(req).then(() => res.end('{}'));
  });
  return { origin, arrived };
}

function start(path: string, type: string, ...lines: readonly string[]): string {
  const all = [`POST /api/v1${path} HTTP/1.1`, 'Host: x', `Content-Type: ${type}`, ...lines];
  return [...all, '', ''].join('\r\n');
}

async function writeAll(client: Line, piece: string, times: number): Promise<void> {
  const bytes = Buffer.from(piece);
  for (let left = times; left > 0; left -= 1) {
    // oxlint-disable-next-line no-await-in-loop -- or this process holds them all
    if (!client.socket.write(bytes)) await once(client.socket, 'drain');
  }
}

/** Sends a body of blanks, each of them a chunk of its own. */
async function sendInBytes(baseUrl: string, type: string, bytes: number): Promise<number> {
  const client = await dial(baseUrl);
  await client.write(start(CHAT_PATH, type, 'Transfer-Encoding: chunked'));
  await writeAll(client, chunk(' ').toString().repeat(1_000), bytes / 1_000);
  await client.write(LAST_CHUNK);
  await client.when(() => isWhole(client.received));
  return parseAnswer(client.received).status;
}

describe('a body in chunks of one byte', () => {
  test.each(['application/json', 'application/octet-stream'])(
    'a million of them, of %s, arrives whole and takes little memory',
    async (type) => {
      const { origin, arrived } = await startCounting();
      const growth = await growthOf(origin, async (baseUrl) => {
        expect(await sendInBytes(baseUrl, type, MILLION)).toBe(200);
      });
      expect(arrived).toEqual([
        { bytes: MILLION, sha256: sha256(Buffer.alloc(MILLION, ' ')), coding: undefined },
      ]);
      // Each held in a Buffer of its own would take 430 MB.
      expect(growth).toBeLessThan(250);
    },
    120_000,
  );

  test('is joined once, however many there are', async () => {
    const bytes = 100_000;
    const { origin, arrived } = await startCounting();
    const front = await startFront({ target: origin });
    const concat = jest.spyOn(Buffer, 'concat');
    try {
      expect(await sendInBytes(front.baseUrl, 'application/json', bytes)).toBe(200);
      const joined = concat.mock.results.map(({ value }) => (value as Buffer).length);
      expect(joined.filter((length) => length >= bytes / 2).length).toBeLessThanOrEqual(2);
    } finally {
      concat.mockRestore();
    }
    expect(arrived).toMatchObject([{ bytes }]);
  });
});

/** A body whose parameter is found wherever it is read to its end. */
const around = (value: string): string => `{"model":"m","x":${value},"logprobs":true}`;
const without = (value: string): string => `{"model":"m","x":${value}}`;

const arrays = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);
const objects = (levels: number): string => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;
const members = Array.from({ length: 100_000 }, (_, n) => `"k${n}":null`).join(',');

describe('JSON that is meant to hurt is read all the same', () => {
  test.each<readonly [string, string]>([
    ['arrays, 100 000 levels deep', arrays(100_000)],
    ['arrays, 1 000 000 levels deep', arrays(MILLION)],
    ['objects, 100 000 levels deep', objects(100_000)],
    ['objects, 1 000 000 levels deep', objects(MILLION)],
    ['an object of 100 000 members', `{${members}}`],
    ['100 000 members beside it', `1,${members}`],
    ['a name of 10 MB', `{"${'k'.repeat(10 * MILLION)}":1}`],
    ['a name of 5 MB of escapes', `{"${String.raw`\u006b`.repeat(MILLION)}":1}`],
    ['a number of 10 MB', '9'.repeat(10 * MILLION)],
  ])('%s', async (_what, value) => {
    const { origin, arrived } = await startCounting();
    const front = await startFront({ target: origin });
    const reply = await send(front.baseUrl + CHAT_PATH, {
      headers: JSON_TYPE,
      body: around(value),
    });
    expect(reply.status).toBe(200);
    expect(reply.headers['x-venice-proxy-dropped']).toBe('logprobs');
    expect(arrived.map((each) => each.sha256)).toEqual([sha256(Buffer.from(without(value)))]);
  });
});

describe('JSON that would cost too much to read goes out as it is', () => {
  test.each<readonly [string, string]>([
    ['deeper than 1 000 000 levels', around(arrays(MILLION + 2))],
    ['brackets without an end', `{"logprobs":true,"x":${'['.repeat(20 * MILLION)}`],
    ['one parameter again and again', `{"model":"m"${',"logprobs":1'.repeat(2 * MILLION)}}`],
    ['one model again and again', `{"model":"m"${',"model":"m"'.repeat(2 * MILLION)}}`],
  ])(
    '%s',
    async (_what, body) => {
      const { origin, arrived } = await startCounting();
      const growth = await growthOf(origin, async (baseUrl) => {
        const reply = await send(baseUrl + CHAT_PATH, { headers: JSON_TYPE, body });
        expect(reply.status).toBe(200);
        expect(reply.headers).not.toHaveProperty('x-venice-proxy-dropped');
      });
      expect(arrived.map((each) => each.sha256)).toEqual([sha256(Buffer.from(body))]);
      expect(growth).toBeLessThan(200);
    },
    120_000,
  );
});

const repeated = (bytes: Buffer, times: number): Buffer =>
  Buffer.concat(Array.from({ length: times }, () => bytes));

/** 10 GB, packed twice: gzip's members, and zstd's frames, stand one behind the other. */
function bombs(): (readonly [string, Buffer])[] {
  const zeros = Buffer.alloc(20 * MILLION);
  const gzip = repeated(zlib.gzipSync(zeros), 500);
  const list: (readonly [string, Buffer])[] = [
    ['gzip', gzip],
    ['gzip, gzip', zlib.gzipSync(gzip)],
    ['deflate', zlib.deflateSync(zeros)],
    ['br', zlib.brotliCompressSync(zeros)],
    ['BR', zlib.brotliCompressSync(zeros)],
  ];
  // Node knows it since 22.15.
  const zstd: unknown = Reflect.get(zlib, 'zstdCompressSync');
  if (typeof zstd === 'function')
    list.push(['zstd', repeated(Reflect.apply(zstd, zlib, [zeros]), 500)]);
  return list;
}

describe('a compressed body passes unread: what it would become costs nothing here', () => {
  test.each(['application/json', 'multipart/form-data; boundary=x'])(
    'bombs of 10 GB in %s',
    async (type) => {
      const all = bombs();
      const { origin, arrived } = await startCounting();
      const growth = await growthOf(origin, async (baseUrl) => {
        for (const [coding, body] of all) {
          const headers = { 'content-type': type, 'content-encoding': coding };
          // oxlint-disable-next-line no-await-in-loop -- one after another, to be compared
          expect((await send(baseUrl + CHAT_PATH, { headers, body })).status).toBe(200);
        }
      });
      expect(arrived).toEqual(
        all.map(([coding, body]) => ({ bytes: body.length, sha256: sha256(body), coding })),
      );
      expect(growth).toBeLessThan(150);
    },
    120_000,
  );

  test('the limit counts the bytes that come', async () => {
    const scene = await startScene({ bodyLimit: 10_000 });
    const headers = { ...JSON_TYPE, 'content-encoding': 'gzip' };
    const small = zlib.gzipSync(Buffer.alloc(MILLION));
    const url = `${scene.baseUrl}/stand-in/echo`;
    expect(small.length).toBeLessThan(10_000);
    expect((await send(url, { headers, body: small })).status).toBe(200);
    const large = Buffer.concat(Array.from({ length: 20 }, () => small));
    expect((await send(url, { headers, body: large })).status).toBe(413);
    expect(scene.venice.calls).toHaveLength(1);
  });
});

describe('a header that cannot be sent', () => {
  test.each(['—', 'a\r\nX-Evil: 1', 'a\0b', '\u{1f600}'])(
    'gets 400 at once, and nothing is tried (%j)',
    async (value) => {
      const scene = await startScene(
        {},
        {},
        {
          before: (app) =>
            void app.use((req, _res, next) => {
              req.headers['x-user'] = value;
              next();
            }),
        },
      );
      const reply = await send(scene.baseUrl + CHAT_PATH, { body: CHAT });
      expect(reply.status).toBe(400);
      expect(reply.text).toContain('x-user');
      expect(scene.recorder.retries).toEqual([]);
      expect(scene.venice.calls).toEqual([]);
    },
  );

  test('since the app has unset it is left out', async () => {
    const scene = await startScene(
      {},
      {},
      {
        before: (app) =>
          void app.use((req, _res, next) => {
            req.headers['x-user'] = undefined;
            next();
          }),
      },
    );
    const reply = await send(scene.baseUrl + CHAT_PATH, { headers: { 'x-user': 'a' }, body: CHAT });
    expect(reply.status).toBe(200);
    expect(scene.venice.calls[0]?.headers).not.toHaveProperty('x-user');
  });
});

test('a client that leaves while its upload is stalled is noticed by the idle time at the latest', async () => {
  const calls: Socket[] = [];
  const upstream = await listenRaw((socket) => {
    if (!calls.includes(socket)) calls.push(socket.pause());
  });
  const front = await startFront({ target: upstream.origin, timeout: { idle: 1_500 } });
  const client = await dial(front.origin);
  const length = 100 * MILLION;
  await client.write(start('/x', 'application/octet-stream', `Content-Length: ${length}`));
  const piece = Buffer.alloc(65_536);
  // More than the buffers of two connections take, so that the proxy has stopped reading.
  for (let left = 400; left > 0; left -= 1) client.socket.write(piece);
  await standsStill(() => client.bytesSent);
  client.reset();
  expect(await front.recorder.ended()).toMatchObject({
    outcome: 'refused',
    code: 'upstream_timeout',
    attempts: 1,
  });
  expect(front.proxy.inFlight).toBe(0);
  calls[0]?.resume();
  await until(() => calls[0]?.destroyed === true);
  expect(calls).toHaveLength(1);
});
