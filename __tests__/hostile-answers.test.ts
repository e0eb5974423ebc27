import { once } from 'node:events';
import http from 'node:http';
import type { Socket } from 'node:net';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { describe, expect, jest, test } from '@jest/globals';
import { CHAT, closeAfterTest, listenRaw, startFront } from './helpers/scene.ts';
import type { RawUpstream } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';
import type { Reply } from './helpers/serve.ts';
import { FIRST_PATH, expectBounded, growthOf } from './helpers/watched.ts';
import {
  DONE,
  EVENTS,
  LAST_CHUNK,
  chunk,
  chunkedHead,
  head,
  startUpstream,
} from './helpers/wire.ts';

const MB = 1_000_000;
const JSON_TYPE = 'application/json';
const CHAT_PATH = '/chat/completions';
const EMBEDDINGS = { model: 'm', input: 'x', encoding_format: 'base64' };

/** An upstream that answers each request but the first, which warms up, with the same bytes. */
function listenWith(answer: (socket: Socket) => void): Promise<RawUpstream> {
  return listenRaw((socket, piece) => {
    const text = piece.toString('latin1');
    if (text.includes(`${FIRST_PATH} HTTP`)) socket.write(`${head('Content-Length: 2')}{}`);
    else if (text.endsWith('}')) answer(socket);
  });
}

/** A body of `text`, again and again, each byte of it a chunk of its own. */
async function writeInBytes(socket: Socket, type: string, text: string, bytes: number) {
  socket.write(chunkedHead(type));
  const thousand = text.repeat(1_000 / text.length);
  const piece = Buffer.concat(Array.from(thousand, (each) => chunk(each)));
  for (let left = bytes; left > 0 && !socket.destroyed; left -= 1_000) {
    // oxlint-disable-next-line no-await-in-loop -- or this process holds them all
    if (!socket.write(piece)) await Promise.race([once(socket, 'drain'), once(socket, 'close')]);
  }
  socket.write(LAST_CHUNK);
}

/** How many bytes were joined to pieces of more than 1 kB. */
async function joinedWhile(run: () => Promise<unknown>): Promise<number> {
  const concat = jest.spyOn(Buffer, 'concat');
  try {
    await run();
    return concat.mock.results
      .map(({ value }) => (value as Buffer).length)
      .filter((length) => length > 1_000)
      .reduce((sum, length) => sum + length, 0);
  } finally {
    concat.mockRestore();
  }
}

describe('an answer in chunks of one byte', () => {
  test.each<readonly [string, string, string, object]>([
    ['any bytes', 'application/octet-stream', 'x', CHAT],
    ['JSON', JSON_TYPE, ' ', CHAT],
    ['an event without an end', EVENTS, 'x', { ...CHAT, stream: true }],
    ['events', EVENTS, 'data:1\n\n', { ...CHAT, stream: true }],
  ])(
    'a million of them, of %s, arrive whole and take little memory',
    async (_what, type, text, body) => {
      const upstream = await listenWith((socket) => void writeInBytes(socket, type, text, MB));
      const exercise = async (baseUrl: string): Promise<void> => {
        const reply = await send(`${baseUrl}/anything`, { body });
        expect(reply).toMatchObject({ status: 200, complete: true });
        expect(reply.body.equals(Buffer.from(text.repeat(MB / text.length)))).toBe(true);
      };
      await expectBounded(upstream.origin, 250, exercise);
    },
    120_000,
  );

  test('a million of them, of embeddings that are to be converted, take little memory', async () => {
    const upstream = await listenWith((socket) => void writeInBytes(socket, JSON_TYPE, ' ', MB));
    const growth = await growthOf(
      upstream.origin,
      async (baseUrl) => {
        const reply = await send(`${baseUrl}/embeddings`, { body: EMBEDDINGS });
        expect(reply.status).toBe(502);
      },
      { retries: 0 },
    );
    expect(growth).toBeLessThan(250);
  }, 120_000);

  test.each([
    ['comments', ':\n\n'.padEnd(4, '\n')],
    ['empty lines', '\n'],
  ])('%s before the first event are looked at once', async (_what, text) => {
    const bytes = 16_000;
    const upstream = await listenRaw((socket) => {
      const answer = async (): Promise<void> => {
        await writeInBytes(socket, EVENTS, text, bytes);
      };
      void answer();
    });
    const front = await startFront({ target: upstream.origin, retries: 0 });
    const body = { ...CHAT, stream: true };
    const joined = await joinedWhile(() => send(front.baseUrl + CHAT_PATH, { body }));
    // Joined again for each byte that comes, it would be a hundred million.
    expect(joined).toBeLessThan(20 * bytes);
  });
});

/** Of nothing but blanks: of so many bytes as a few kB. */
const blanks = Buffer.alloc(300 * MB, ' ');
const gzip = gzipSync(blanks);
const brotli = brotliCompressSync(blanks);

async function startBomb(status: number, type: string, coding: string, delayMs = 0) {
  let calls = 0;
  const origin = await startUpstream((req, res) => {
    req.resume();
    if (req.url === FIRST_PATH) {
      res.end('{}');
      return;
    }
    calls += 1;
    setTimeout(() => {
      res.writeHead(status, { 'content-type': type, 'content-encoding': coding });
      res.end(coding === 'br' ? brotli : gzip);
    }, delayMs);
  });
  return { origin, calls: () => calls };
}

/** Asks for a stream, reads 30 MB of it or all that there is, and leaves. */
async function readSome(baseUrl: string): Promise<void> {
  const request = http.request(baseUrl + CHAT_PATH, {
    method: 'POST',
    agent: false,
    headers: { 'content-type': JSON_TYPE, authorization: 'Bearer k' },
  });
  closeAfterTest(() => request.destroy());
  request.end(JSON.stringify({ ...CHAT, stream: true }));
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  expect(response.headers['content-type']).toMatch(/^text\/event-stream/);
  let bytes = 0;
  for await (const piece of response as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > 30 * MB) break;
  }
  request.destroy();
}

describe('an answer that is much longer than it looks', () => {
  test.each(['gzip', 'br'])(
    'is decoded to a limit where it is to be converted, and paid for once (%s)',
    async (coding) => {
      const { origin, calls } = await startBomb(200, JSON_TYPE, coding);
      const growth = await growthOf(origin, async (baseUrl) => {
        const reply = await send(`${baseUrl}/embeddings`, { body: EMBEDDINGS });
        expect(reply.status).toBe(502);
        expect(reply.text).toContain('"code":"upstream_invalid"');
      });
      expect(calls()).toBe(1);
      expect(growth).toBeLessThan(450);
    },
    120_000,
  );

  test.each([
    [400, 'gzip'],
    [400, 'br'],
    [429, 'br'],
    [503, 'gzip'],
  ])(
    'is relayed as it is where it is an error, and not read (%d, %s)',
    async (status, coding) => {
      const { origin } = await startBomb(status, JSON_TYPE, coding);
      const exercise = async (baseUrl: string): Promise<void> => {
        const reply = await send(baseUrl + CHAT_PATH, { body: CHAT });
        expect(reply.status).toBe(status);
        expect(reply.headers['content-encoding']).toBe(coding);
        expect(reply.body.equals(coding === 'br' ? brotli : gzip)).toBe(true);
      };
      const options = { retries: 0, normalizeErrors: true };
      expect(await growthOf(origin, exercise, options)).toBeLessThan(80);
    },
    120_000,
  );

  test.each<readonly [string, string, number]>([
    ['events', EVENTS, 200],
    ['JSON', JSON_TYPE, 200],
    ['an error', JSON_TYPE, 500],
  ])(
    'of %s is decoded behind an early head, no faster than the client reads',
    async (_what, type, status) => {
      const { origin } = await startBomb(status, type, 'gzip', 300);
      const options = { retries: 0, heartbeat: 100 };
      expect(await growthOf(origin, readSome, options)).toBeLessThan(120);
    },
    120_000,
  );
});

const arrays = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);
const objects = (levels: number): string => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;

async function answerOf(bytes: string, path: string, body: object, options: object = {}) {
  const upstream = await listenWith((socket) => void socket.write(Buffer.from(bytes, 'latin1')));
  const front = await startFront({ target: upstream.origin, retries: 0, ...options });
  const reply: Reply = await send(front.baseUrl + path, { body });
  expect(front.proxy.inFlight).toBe(0);
  return reply;
}

const withLength = (status: string, type: string, body: string): string =>
  `HTTP/1.1 ${status}\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

describe('an answer whose JSON is deep comes through', () => {
  const asked = { ...CHAT, thinking: true, x: null };
  test.each<readonly [string, string]>([
    ['in details', `{"error":"x","details":${objects(10_000)}}`],
    [
      'in complaints',
      `{"error":"x","details":${'{"_errors":["no"],"a":'.repeat(2_000)}1${'}'.repeat(2_001)}`,
    ],
    ['in issues', `{"error":"x","issues":${arrays(25_000)}}`],
    ['in the error', `{"error":${arrays(25_000)}}`],
    ['in nothing else', arrays(30_000)],
  ])('as an error, %s', async (_where, text) => {
    const bytes = withLength('400 X', JSON_TYPE, text);
    expect(await answerOf(bytes, CHAT_PATH, asked)).toMatchObject({ status: 400, text });
    const normalized = await answerOf(bytes, CHAT_PATH, asked, { normalizeErrors: true });
    expect(normalized.status).toBe(400);
    const { error }: { error: object } = JSON.parse(normalized.text);
    expect(error).toHaveProperty('message', expect.any(String));
  });

  test('as embeddings that are none', async () => {
    const text = `{"data":[{"embedding":${arrays(100_000)}}]}`;
    const reply = await answerOf(withLength('200 OK', JSON_TYPE, text), '/embeddings', EMBEDDINGS);
    expect([reply.status, reply.text]).toEqual([200, text]);
  });

  test.each([
    ['first', `data: {"error":${arrays(20_000)}}\n\n${DONE}`],
    ['last', `data: {}\n\ndata: {"error":${arrays(200_000)}}\n\n`],
  ])('as the %s event', async (_which, text) => {
    const body = { ...CHAT, stream: true };
    const reply = await answerOf(withLength('200 OK', EVENTS, text), CHAT_PATH, body);
    expect(reply).toMatchObject({ status: 200, complete: true, text });
  });
});

describe('a head that does not end', () => {
  const fine = withLength('200 OK', JSON_TYPE, '{}');

  test.each([
    ['1xx', 'HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n'.repeat(50_000) + fine],
    ['empty headers', `HTTP/1.1 200 OK\r\n${'a:\r\n'.repeat(2_000)}Content-Length: 2\r\n\r\n{}`],
  ])('at once is still a head (%s)', async (_what, bytes) => {
    expect(await answerOf(bytes, CHAT_PATH, CHAT)).toMatchObject({ status: 200, text: '{}' });
  });

  test.each([
    ['a header of 20 kB', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(20_000)}\r\n\r\n{}`],
    ['headers of 20 kB', `HTTP/1.1 200 OK\r\n${'X: 12345678\r\n'.repeat(2_200)}\r\n{}`],
    ['a reason of 20 kB', `HTTP/1.1 200 ${'x'.repeat(20_000)}\r\n\r\n{}`],
    ['a version of 20 kB', `HTTP/${'1'.repeat(20_000)} 200 OK\r\n\r\n{}`],
  ])('is none (%s)', async (_what, bytes) => {
    const reply = await answerOf(bytes, CHAT_PATH, CHAT);
    expect(reply.status).toBe(502);
    expect(reply.text).toContain('"code":"upstream_invalid"');
  });

  test('since one interim answer follows another is waited for no longer than any', async () => {
    const upstream = await listenWith((socket) => {
      const timer = setInterval(() => socket.write('HTTP/1.1 102 Processing\r\n\r\n'), 20);
      socket.once('close', () => clearInterval(timer));
    });
    const front = await startFront({ target: upstream.origin, timeout: 300 });
    const reply = await send(front.baseUrl + CHAT_PATH, { body: CHAT });
    expect(reply.status).toBe(504);
    expect(reply.text).toContain('"code":"upstream_timeout"');
  });
});

describe('a body with more around it than in it is none', () => {
  const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
  test.each([
    ['a chunk extension of 20 kB', `${chunked}2;${'e'.repeat(20_000)}\r\n{}\r\n${LAST_CHUNK}`],
    ['trailers of 200 kB', `${chunked}2\r\n{}\r\n0\r\n${'X: 1\r\n'.repeat(33_000)}\r\n`],
  ])('%s', async (_what, bytes) => {
    const reply = await answerOf(bytes, CHAT_PATH, CHAT);
    // What has come before may have been on its way.
    expect([reply.status, reply.complete]).not.toEqual([200, true]);
  });
});

test('a coding before chunked, of which the client would not hear, is none', async () => {
  const body = gzipSync('{}').toString('latin1');
  const framed = `${body.length.toString(16)}\r\n${body}\r\n${LAST_CHUNK}`;
  const start = `HTTP/1.1 200 OK\r\nContent-Type: ${JSON_TYPE}\r\n`;
  const bytes = `${start}Transfer-Encoding: gzip, chunked\r\n\r\n${framed}`;
  const reply = await answerOf(bytes, CHAT_PATH, CHAT);
  expect(reply.status).toBe(502);
  expect(reply.text).toContain('"code":"upstream_invalid"');
});
