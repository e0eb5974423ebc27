import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import compression from 'compression';
import type { RequestHandler } from 'express';
import { createStandInVenice } from '../examples/stand-in-venice.ts';
import type { Fault, StandInOptions } from '../examples/stand-in-venice.ts';
import {
  CHAT,
  closeAfterTest,
  deserted,
  exchangeRaw,
  startFront,
  startScene,
} from './helpers/scene.ts';
import type { Scene } from './helpers/scene.ts';
import { EXPRESSES, listen, send } from './helpers/serve.ts';
import type { Reply } from './helpers/serve.ts';
import { chunk, dial, parseAnswer } from './helpers/wire.ts';
import type { Line } from './helpers/wire.ts';

const CHAT_PATH = '/chat/completions';
const ECHO = '/stand-in/echo';
const CHUNKED = { 'transfer-encoding': 'chunked' };
const FORM = { 'content-type': 'multipart/form-data; boundary=x' };
const JSON_TYPE = { 'content-type': 'application/json' };
/** Written as no serialiser would, so that a body that was parsed and written anew shows. */
const ODD_CHAT =
  '{ "model":"m",\n\t"seed" : 12345678901234567890, "temperature": 1.0,\r\n' +
  ' "messages":[{"role":"user","content":"\\u0041\\/é🙂"}], "temperature":1.50 }';

function bodiesOf({ venice }: Scene): string[] {
  return venice.calls.map(({ body }) => body.toString());
}

/** How the calls were framed: `Content-Length`, `Transfer-Encoding`. */
function framingOf({ venice }: Scene): (string | undefined)[][] {
  return venice.calls.map(({ headers }) => [
    headers['content-length'],
    headers['transfer-encoding'],
  ]);
}

function expectRefusal({ status, text, headers }: Reply, wanted: number, code: string): void {
  const type = wanted < 500 ? 'invalid_request_error' : 'server_error';
  expect([status, JSON.parse(text)]).toEqual([
    wanted,
    { error: { message: expect.any(String), type, param: null, code } },
  ]);
  expect(headers['content-type']).toBe('application/json; charset=utf-8');
  expect(headers['x-venice-proxy-attempts']).toBe('0');
}

function jsonOf(length: number): string {
  return `{"pad":"${'x'.repeat(length - 10)}"}`;
}

/** A promise that somebody else settles. */
class Signal<T> {
  give!: (value: T) => void;
  readonly given = new Promise<T>((resolve) => {
    this.give = resolve;
  });
}

const takesItsTime: RequestHandler = (_req, _res, next) => {
  setImmediate(() => setImmediate(next));
};

/** The head of a chat request whose body is too long for the proxy. */
function longChat(framing: string): string {
  return [
    `POST /api/v1${CHAT_PATH} HTTP/1.1`,
    'Host: x',
    'Content-Type: application/json',
    framing,
    '',
    '',
  ].join('\r\n');
}

/** Waits for the answer, of which every byte must come. */
async function expectTooLarge(line: Line): Promise<void> {
  await line.when(() => line.text.includes('"code":"body_too_large"}}'));
  const { status, body, complete } = parseAnswer(line.received);
  expect([status, complete]).toEqual([413, true]);
  expect(JSON.parse(body.toString())).toEqual({
    error: expect.objectContaining({ code: 'body_too_large' }),
  });
}

describe('JSON', () => {
  test('is held and goes out the same on every attempt', async () => {
    const scene = await startScene();
    const { venice, recorder } = scene;
    venice.script(
      { kind: 'reset', after: 'body' },
      { kind: 'answer', status: 503, body: { error: 'MODEL_AT_CAPACITY' } },
      { kind: 'abuse-block' },
    );
    const reply = await send(scene.baseUrl + CHAT_PATH, { headers: JSON_TYPE, body: ODD_CHAT });
    expect(reply.status).toBe(200);
    const length = String(Buffer.byteLength(ODD_CHAT));
    expect(bodiesOf(scene)).toEqual([ODD_CHAT, ODD_CHAT, ODD_CHAT, ODD_CHAT]);
    expect(framingOf(scene)).toEqual(venice.calls.map(() => [length, undefined]));
    expect(recorder.retries.map(({ attempt, status }) => [attempt, status])).toEqual([
      [1, undefined],
      [2, 503],
      [3, 429],
    ]);
    const [first, second, blocked] = recorder.delays;
    expect(first).toBeLessThanOrEqual(1);
    expect(second).toBeLessThanOrEqual(2);
    expect(blocked).toBe(50);
  });

  test('goes out with a length, in whichever way it came', async () => {
    const scene = await startScene();
    const url = scene.baseUrl + CHAT_PATH;
    await send(url, { headers: { ...JSON_TYPE, ...CHUNKED }, body: ODD_CHAT });
    expect(bodiesOf(scene)).toEqual([ODD_CHAT]);
    expect(framingOf(scene)).toEqual([[String(Buffer.byteLength(ODD_CHAT)), undefined]]);
  });

  test('goes out when it has come whole, and not before', async () => {
    const { origin, venice, recorder } = await startScene();
    const client = await dial(origin);
    await client.write(
      `POST /api/v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n` +
        `Content-Length: ${ODD_CHAT.length}\r\n\r\n${ODD_CHAT.slice(0, 20)}`,
    );
    client.socket.destroy();
    expect(await recorder.ended()).toMatchObject({ outcome: 'client_left', attempts: 0 });
    expect(venice.connections).toBe(0);
  });

  test('may be long', async () => {
    const { baseUrl, venice } = await startScene();
    const body = jsonOf(3_000_000);
    const reply = await send(baseUrl + ECHO, { headers: JSON_TYPE, body });
    expect(JSON.parse(reply.text)).toMatchObject({
      length: 3_000_000,
      sha256: createHash('sha256').update(body).digest('hex'),
    });
    expect(venice.calls).toHaveLength(1);
  });

  test.each([
    'application/json',
    'application/json; charset=utf-8',
    'Application/JSON;charset=UTF-8',
    'application/vnd.venice.x+json',
    'application/ld+json; profile="x"',
  ])('is what %j says to be', async (type) => {
    const scene = await startScene();
    const headers = { 'content-type': type };
    const url = scene.baseUrl + CHAT_PATH;
    const { headers: notes } = await send(url, { headers, body: '{"model":"m","logprobs":true}' });
    expect(notes['x-venice-proxy-dropped']).toBe('logprobs');
    expect(bodiesOf(scene)).toEqual(['{"model":"m"}']);
    expect(scene.venice.calls[0]?.headers['content-type']).toBe(type);
  });

  test.each([
    'text/json',
    'application/jsonlines',
    'application/x-ndjson',
    'application/json-seq',
    'text/plain; x=application/json',
    'multipart/form-data; boundary="application/json"',
  ])('is not what %j says to be: that streams through unread', async (type) => {
    const scene = await startScene({ bodyLimit: 10 });
    const body = '{"model":"m","logprobs":true}';
    const headers = { 'content-type': type };
    const { headers: notes } = await send(scene.baseUrl + CHAT_PATH, { headers, body });
    expect(notes).not.toHaveProperty('x-venice-proxy-dropped');
    expect(bodiesOf(scene)).toEqual([body]);
  });

  test.each([
    '{"model":',
    '{"model":"m",}',
    '{"logprobs":true,"model":}',
    '{"logprobs":true}}',
    '{"logprobs":true}{"logprobs":true}',
    "{'logprobs':true}",
    '\ufeff{"logprobs":true}',
    '[{"logprobs":true}]',
    '"logprobs"',
    'no JSON at all',
    ' ',
  ])('that is broken or no object goes out as it is, and Venice answers it: %j', async (body) => {
    const scene = await startScene();
    const direct = await send(scene.target + CHAT_PATH, { headers: JSON_TYPE, body });
    const reply = await send(scene.baseUrl + CHAT_PATH, { headers: JSON_TYPE, body });
    expect([reply.status, reply.text]).toEqual([400, direct.text]);
    expect(bodiesOf(scene)).toEqual([body, body]);
    expect(reply.headers).not.toHaveProperty('x-venice-proxy-dropped');
  });

  test('that is compressed goes out unread, the same on every attempt', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'answer', status: 503 });
    const body = gzipSync(JSON.stringify({ ...CHAT, logprobs: true }));
    const reply = await send(scene.baseUrl + CHAT_PATH, {
      headers: { ...JSON_TYPE, 'content-encoding': 'gzip' },
      body,
    });
    expect(reply.status).toBe(200);
    expect(reply.headers).not.toHaveProperty('x-venice-proxy-dropped');
    const { calls } = scene.venice;
    expect(calls.map((call) => call.body.equals(body))).toEqual([true, true]);
    expect(calls.map(({ headers }) => headers['content-encoding'])).toEqual(['gzip', 'gzip']);
    expect(framingOf(scene)).toEqual(calls.map(() => [String(body.length), undefined]));
    expect(scene.recorder.retries.map(({ status }) => status)).toEqual([503]);
  });

  test('that says to be coded as what it is can be read', async () => {
    const scene = await startScene();
    const headers = { ...JSON_TYPE, 'content-encoding': 'identity' };
    const body = '{"model":"m","logprobs":true}';
    await send(scene.baseUrl + CHAT_PATH, { headers, body });
    expect(bodiesOf(scene)).toEqual(['{"model":"m"}']);
  });
});

describe('a body that is no JSON', () => {
  test.each([
    ['multipart/form-data; boundary=x', {}],
    ['audio/wav', {}],
    ['application/octet-stream', CHUNKED],
    [undefined, CHUNKED],
  ])('streams: %s is upstream before its end has been sent', async (type, framing) => {
    const beginning = new Signal<string>();
    const whole = new Signal<string>();
    const upstream = await listen((req, res) => {
      const pieces: Buffer[] = [];
      req.on('data', (piece: Buffer) => {
        pieces.push(piece);
        beginning.give(Buffer.concat(pieces).toString());
      });
      req.on('end', () => {
        whole.give(Buffer.concat(pieces).toString());
        res.end('heard');
      });
    });
    const { baseUrl } = await startFront({ target: upstream.origin, bodyLimit: 5 });
    closeAfterTest(() => upstream.close());
    const request = http.request(`${baseUrl}/audio/transcriptions`, {
      method: 'POST',
      agent: false,
      headers: {
        ...(type === undefined ? {} : { 'content-type': type }),
        ...(framing === CHUNKED ? CHUNKED : { 'content-length': 14 }),
      },
    });
    const status = new Promise((resolve, reject) => {
      request.on('response', (response) => {
        response.resume().on('end', () => resolve(response.statusCode));
      });
      request.on('error', reject);
    });
    request.write('the be');
    expect(await beginning.given).toBe('the be');
    request.end('ginning.');
    expect(await whole.given).toBe('the beginning.');
    expect(await status).toBe(200);
  });

  test.each<[string, Fault, number]>([
    ['is answered with 503', { kind: 'answer', status: 503 }, 503],
    ['is answered with 500', { kind: 'answer', status: 500 }, 500],
    ['is answered with 429', { kind: 'overloaded' }, 429],
    ['is lost', { kind: 'reset', after: 'body' }, 502],
    ['is lost half-way', { kind: 'reset-upload', afterBytes: 1 }, 502],
  ])('is tried once, as it is gone, when it %s', async (_what, fault, status) => {
    // Were it JSON, it would be tried again: this route costs nothing.
    const { baseUrl, venice, recorder } = await startScene();
    venice.script(fault);
    const reply = await send(`${baseUrl}/augment/text-parser`, { headers: FORM, body: '--x--' });
    expect(reply.status).toBe(status);
    expect(reply.headers['x-venice-proxy-attempts']).toBe('1');
    expect([venice.calls.length, venice.scripted]).toEqual([1, 0]);
    expect([recorder.attempts, recorder.delays]).toEqual([1, []]);
  });

  test.each([{}, CHUNKED])(
    'is tried again while no connection can be made (%j)',
    async (framing) => {
      const target = deserted();
      const venice = createStandInVenice({ basePath: '' });
      const { baseUrl, recorder } = await startFront({ target, retries: 50, baseRetryDelay: 5 });
      closeAfterTest(() => venice.close());
      const body = randomBytes(200_000);
      const replying = send(baseUrl + ECHO, { headers: { ...FORM, ...framing }, body });
      await recorder.retried(1);
      await venice.listen(Number(new URL(target).port));
      const reply = await replying;
      expect(JSON.parse(reply.text)).toMatchObject({
        length: body.length,
        sha256: createHash('sha256').update(body).digest('hex'),
      });
      expect(venice.calls).toHaveLength(1);
      const { retries } = recorder;
      expect(reply.headers['x-venice-proxy-attempts']).toBe(String(retries.length + 1));
      for (const { attempt, status, delayMs } of retries) {
        expect(status).toBeUndefined();
        expect(delayMs).toBeLessThanOrEqual(5 * 2 ** (attempt - 1));
      }
    },
  );

  test('waits unread behind a middleware that takes its time', async () => {
    const scene = await startScene({}, {}, { before: (app) => app.use(takesItsTime) });
    await send(scene.baseUrl + ECHO, { headers: FORM, body: '--x--' });
    expect(bodiesOf(scene)).toEqual(['--x--']);
  });
});

describe('framing', () => {
  // Bytes that are taken for a request of their own wherever a body has no length.
  const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n';
  const bodies = [
    [{ 'content-type': 'text/plain' }, SMUGGLED],
    [JSON_TYPE, SMUGGLED],
    [JSON_TYPE, '{"a":1}'],
    [FORM, 'x'],
  ] as const;

  test.each(['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD'])(
    'every body of a %s arrives whole and as a body',
    async (method) => {
      const scene = await startScene();
      const sent = bodies.flatMap(([type, body]) => [
        { headers: { ...type, 'content-length': body.length }, body },
        { headers: { ...type, ...CHUNKED }, body },
      ]);
      for (const each of sent) {
        // oxlint-disable-next-line no-await-in-loop -- one after another, on a kept connection
        const reply = await send(scene.baseUrl + ECHO, { method, ...each });
        expect([reply.status, reply.complete]).toEqual([200, true]);
        // oxlint-disable-next-line no-await-in-loop
        expect((await send(`${scene.baseUrl}/models`)).status).toBe(200);
      }
      expect(scene.venice.calls.map((call) => [call.method, call.url])).toEqual(
        sent.flatMap(() => [
          [method, `/api/v1${ECHO}`],
          ['GET', '/api/v1/models'],
        ]),
      );
      expect(bodiesOf(scene)).toEqual(sent.flatMap(({ body }) => [body, '']));
    },
  );

  test.each([
    ['a length of 0', 'Content-Length: 0\r\n', ''],
    ['no length', '', ''],
    ['chunks, but none', 'Transfer-Encoding: chunked\r\n', '0\r\n\r\n'],
  ])('a body that is empty stays so: %s', async (_what, framing, body) => {
    const scene = await startScene();
    const types = ['application/json', 'multipart/form-data; boundary=x'];
    const methods = ['POST', 'DELETE', 'GET'];
    for (const type of types) {
      for (const method of methods) {
        // oxlint-disable-next-line no-await-in-loop -- the order is compared
        const { statusLine } = await exchangeRaw(
          scene.origin,
          `${method} /api/v1${ECHO} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n` +
            `Content-Type: ${type}\r\n${framing}\r\n${body}`,
        );
        expect(statusLine).toBe('HTTP/1.1 200 OK');
      }
    }
    expect(scene.venice.calls.map(({ method, bodyBytes }) => [method, bodyBytes])).toEqual(
      types.flatMap(() => methods.map((method) => [method, 0])),
    );
  });
});

describe('the limit', () => {
  test.each([{}, CHUNKED])('lets a body of its very length pass (%j)', async (framing) => {
    const scene = await startScene({ bodyLimit: '1kb' });
    const body = jsonOf(1_024);
    await send(scene.baseUrl + ECHO, { headers: { ...JSON_TYPE, ...framing }, body });
    expect(bodiesOf(scene)).toEqual([body]);
  });

  test.each([{}, CHUNKED])('refuses one that is a byte longer (%j)', async (framing) => {
    const { baseUrl, venice } = await startScene({ bodyLimit: '1kb' });
    const reply = await send(baseUrl + ECHO, {
      headers: { ...JSON_TYPE, ...framing },
      body: jsonOf(1_025),
    });
    expectRefusal(reply, 413, 'body_too_large');
    expect(reply.text).toContain('1024 bytes');
    expect(venice.connections).toBe(0);
  });

  test('does not hold for what streams through', async () => {
    const { baseUrl } = await startScene({ bodyLimit: 10 });
    const reply = await send(baseUrl + ECHO, { headers: FORM, body: 'x'.repeat(5_000) });
    expect(JSON.parse(reply.text)).toMatchObject({ length: 5_000 });
  });

  test('an early answer to an upload reaches a client that reads when it has sent all', async () => {
    const { origin, venice } = await startScene();
    venice.script({ kind: 'early-answer', status: 401, body: { error: 'no' } });
    const client = await dial(origin);
    client.socket.pause();
    const body = 'x'.repeat(4_000_000);
    await client.write(
      `POST /api/v1/audio/transcriptions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer k\r\n` +
        `Content-Type: multipart/form-data; boundary=x\r\nContent-Length: ${body.length}\r\n\r\n`,
    );
    await client.write(body);
    client.socket.resume();
    // Whether the connection stays depends on whether all of the body had been read by then.
    await client.when(() => client.text.includes('{"error":"no"}'));
    expect(client.text).toMatch(/^HTTP\/1\.1 401 .*\{"error":"no"\}/s);
  });

  test('is told to a client that has most of its body before it', async () => {
    const { origin, venice } = await startScene({ bodyLimit: 100 });
    const client = await dial(origin);
    await client.write(`${longChat('Content-Length: 1000000')}{"model":`);
    await expectTooLarge(client);
    expect(venice.connections).toBe(0);
  });

  test.each([
    ['a length', 'Content-Length: 300000', 'x'.repeat(300_000)],
    [
      'chunks',
      'Transfer-Encoding: chunked',
      Buffer.concat([chunk('x'.repeat(300_000)), chunk('')]).toString(),
    ],
  ])('is told to a client that reads when it has sent all (%s)', async (_, framing, body) => {
    const { origin, venice } = await startScene({ bodyLimit: 100 });
    const client = await dial(origin);
    client.socket.pause();
    await client.write(longChat(framing));
    for (let at = 0; at < body.length; at += 30_000) {
      // oxlint-disable-next-line no-await-in-loop -- piece by piece
      await Promise.all([client.write(body.slice(at, at + 30_000)), sleep(2)]);
    }
    client.socket.resume();
    await expectTooLarge(client);
    expect(venice.connections).toBe(0);
  });

  test('is told to a client that never stops sending, which is then cut off', async () => {
    const { origin, recorder } = await startScene({ bodyLimit: 100 });
    const client = await dial(origin);
    await client.write(longChat('Transfer-Encoding: chunked'));
    while (!client.socket.destroyed) {
      // oxlint-disable-next-line no-await-in-loop -- on and on
      await Promise.all([client.chunk('x'.repeat(1_000)), sleep(20)]);
    }
    await expectTooLarge(client);
    expect(await recorder.ended()).toMatchObject({ status: 413, code: 'body_too_large' });
  });
});

describe.each(EXPRESSES)('in %s', (_name, express) => {
  function behind(
    middleware: RequestHandler,
    options: Parameters<typeof startScene>[0] = {},
    standIn: StandInOptions = {},
  ): Promise<Scene> {
    return startScene(options, standIn, { express, before: (app) => app.use(middleware) });
  }

  describe('behind express.json()', () => {
    test.each(['{"model":"m","a":[1,{"b":null}]}', '{}', '[]', '[{"a":"é"}]'])(
      'what was parsed goes out: %s',
      async (body) => {
        const scene = await behind(express.json());
        const url = scene.baseUrl + ECHO;
        const reply = await send(url, { headers: JSON_TYPE, body: ` ${body}\n` });
        expect(reply.status).toBe(200);
        expect(bodiesOf(scene)).toEqual([body]);
        expect(framingOf(scene)).toEqual([[String(Buffer.byteLength(body)), undefined]]);
      },
    );

    test('what was parsed is rewritten and sent again as any other', async () => {
      const scene = await behind(express.json());
      scene.venice.script({ kind: 'answer', status: 503 });
      const reply = await send(scene.baseUrl + CHAT_PATH, { body: { ...CHAT, logprobs: true } });
      expect(reply.status).toBe(200);
      expect(reply.headers['x-venice-proxy-dropped']).toBe('logprobs');
      expect(bodiesOf(scene)).toEqual([JSON.stringify(CHAT), JSON.stringify(CHAT)]);
      expect(scene.recorder.delays).toEqual([expect.any(Number)]);
    });

    test('what the parser decompressed goes out as it is now', async () => {
      const scene = await behind(express.json());
      const reply = await send(scene.baseUrl + CHAT_PATH, {
        headers: { ...JSON_TYPE, 'content-encoding': 'gzip' },
        body: gzipSync(JSON.stringify({ ...CHAT, logprobs: true })),
      });
      expect(reply.status).toBe(200);
      const text = JSON.stringify(CHAT);
      expect(bodiesOf(scene)).toEqual([text]);
      expect(framingOf(scene)).toEqual([[String(Buffer.byteLength(text)), undefined]]);
      expect(scene.venice.calls[0]?.headers).not.toHaveProperty('content-encoding');
    });

    test('what came in another character set goes out as UTF-8, and says so', async () => {
      const scene = await behind(express.json());
      const reply = await send(scene.baseUrl + ECHO, {
        headers: { 'content-type': 'application/json; charset=utf-16le' },
        body: Buffer.from('{"model":"é"}', 'utf16le'),
      });
      expect(reply.status).toBe(200);
      expect(bodiesOf(scene)).toEqual(['{"model":"é"}']);
      const type = scene.venice.calls[0]?.headers['content-type'];
      expect(type).toBe('application/json; charset=utf-8');
    });

    test('a request without a body goes out without one', async () => {
      const scene = await behind(express.json());
      await send(scene.baseUrl + ECHO, { method: 'GET' });
      const headers = { ...JSON_TYPE, 'content-length': 0 };
      await send(scene.baseUrl + ECHO, { method: 'POST', headers });
      expect(bodiesOf(scene)).toEqual(['', '']);
    });

    test('what the parser leaves alone streams through', async () => {
      const scene = await behind(express.json());
      await send(scene.baseUrl + ECHO, { headers: FORM, body: '--x--' });
      await send(scene.baseUrl + ECHO, { headers: { ...FORM, ...CHUNKED }, body: '--x--' });
      expect(bodiesOf(scene)).toEqual(['--x--', '--x--']);
    });

    test('the limit of the proxy holds, too', async () => {
      const scene = await behind(express.json({ limit: '1mb' }), { bodyLimit: 1_024 });
      const reply = await send(scene.baseUrl + ECHO, { headers: JSON_TYPE, body: jsonOf(1_025) });
      expectRefusal(reply, 413, 'body_too_large');
      expect(scene.venice.connections).toBe(0);
    });
  });

  const every = { type: (): boolean => true };

  describe.each([
    ['raw', express.raw(every)],
    ['text', express.text(every)],
  ])('behind express.%s()', (_parser, parser) => {
    test('what was read goes out byte for byte', async () => {
      const scene = await behind(parser);
      const reply = await send(scene.baseUrl + CHAT_PATH, { headers: JSON_TYPE, body: ODD_CHAT });
      expect(reply.status).toBe(200);
      expect(bodiesOf(scene)).toEqual([ODD_CHAT]);
    });

    test('what was decompressed goes out as it is now', async () => {
      const scene = await behind(parser);
      const headers = { ...JSON_TYPE, 'content-encoding': 'gzip' };
      const body = gzipSync(ODD_CHAT);
      const reply = await send(scene.baseUrl + CHAT_PATH, { headers, body });
      expect(reply.status).toBe(200);
      expect(bodiesOf(scene)).toEqual([ODD_CHAT]);
      expect(scene.venice.calls[0]?.headers).not.toHaveProperty('content-encoding');
    });

    test('a body that is empty stays so', async () => {
      const scene = await behind(parser);
      for (const headers of [JSON_TYPE, { ...JSON_TYPE, ...CHUNKED }]) {
        // oxlint-disable-next-line no-await-in-loop -- the order is compared
        await send(scene.baseUrl + ECHO, { method: 'POST', headers });
      }
      expect(bodiesOf(scene)).toEqual(['', '']);
    });
  });

  test('behind express.raw() an upload is held, and may be sent again', async () => {
    const { baseUrl, venice, recorder } = await behind(express.raw(every));
    venice.script({ kind: 'answer', status: 503 });
    const body = randomBytes(1_000);
    await send(`${baseUrl}/audio/transcriptions`, { headers: FORM, body });
    expect(venice.calls.map((call) => call.body.equals(body))).toEqual([true, true]);
    expect(recorder.retries.map(({ status }) => status)).toEqual([503]);
  });

  const consumers: [string, RequestHandler][] = [
    ['express.urlencoded()', express.urlencoded({ extended: false })],
    [
      'a parser of forms',
      (req, _res, next) => {
        req.resume().on('end', () => {
          req.body = { field: 'x' };
          next();
        });
      },
    ],
    [
      'a middleware that reads all',
      (req, _res, next) => {
        req.resume().on('end', () => next());
      },
    ],
    [
      'a middleware that does not wait for the end',
      (req, _res, next) => {
        req.once('data', () => {
          req.pause();
          next();
        });
      },
    ],
  ];

  test.each(consumers)(
    'behind %s nothing is left to forward, and the client hears so',
    async (...[, consumer]) => {
      const { baseUrl, venice } = await behind(consumer);
      const types = ['application/x-www-form-urlencoded'];
      if (consumer !== consumers[0]?.[1]) types.push('multipart/form-data; boundary=x');
      for (const type of types) {
        // oxlint-disable-next-line no-await-in-loop
        const reply = await send(baseUrl + ECHO, {
          headers: { 'content-type': type },
          body: 'a=b',
        });
        expectRefusal(reply, 500, 'body_consumed');
        expect(reply.text).toContain('body parser');
      }
      expect(venice.connections).toBe(0);
    },
  );

  test.each(consumers.slice(2))(
    'behind %s JSON is not there any more, either',
    async (...[, consumer]) => {
      const { baseUrl, venice } = await behind(consumer);
      const reply = await send(baseUrl + CHAT_PATH, { body: CHAT });
      expectRefusal(reply, 500, 'body_consumed');
      expect(venice.connections).toBe(0);
    },
  );

  describe('behind compression()', () => {
    test('JSON is compressed and stays what it is', async () => {
      const { baseUrl, target } = await behind(compression());
      const path = '/models?type=all';
      const reply = await send(baseUrl + path, { headers: { 'accept-encoding': 'gzip' } });
      expect(reply.headers['content-encoding']).toBe('gzip');
      const direct = await send(target + path);
      expect(gunzipSync(reply.body).equals(direct.body)).toBe(true);
      expect([reply.status, reply.complete]).toEqual([200, true]);
    });

    test('JSON that the upstream has compressed is not compressed again', async () => {
      const { baseUrl, target } = await behind(compression(), {}, { compress: 'gzip' });
      const path = '/models?type=all';
      const reply = await send(baseUrl + path, { headers: { 'accept-encoding': 'gzip' } });
      const direct = await send(target + path);
      expect(reply.headers['content-encoding']).toBe('gzip');
      expect(reply.body.equals(direct.body)).toBe(true);
    });

    test('embeddings are converted and compressed', async () => {
      const { baseUrl, target } = await behind(compression());
      const body = { model: 'm', input: 'x', encoding_format: 'base64' };
      const headers = { 'accept-encoding': 'gzip' };
      const reply = await send(`${baseUrl}/embeddings`, { headers, body });
      const direct = await send(`${target}/embeddings`, { body });
      expect(reply.headers['content-encoding']).toBe('gzip');
      expect(gunzipSync(reply.body).equals(direct.body)).toBe(true);
    });

    test.each([{}, { 'cache-control': 'no-cache' }])(
      'events come one by one (%j)',
      async (control) => {
        const hasFirst = new Signal<void>();
        const upstream = await listen((req, res) => {
          req.resume();
          res.writeHead(200, { 'content-type': 'text/event-stream', ...control });
          res.write('data: {"n":1}\n\n');
          void hasFirst.given.then(() => res.end('data: {"n":2}\n\ndata: [DONE]\n\n'));
        });
        const { baseUrl } = await startFront(
          { target: upstream.origin },
          { express, before: (app) => app.use(compression({ threshold: 0 })) },
        );
        closeAfterTest(() => upstream.close());
        const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
          const request = http.request(
            baseUrl + CHAT_PATH,
            {
              method: 'POST',
              agent: false,
              headers: { ...JSON_TYPE, 'accept-encoding': 'gzip, deflate, br' },
            },
            resolve,
          );
          request.on('error', reject).end('{"stream":true}');
        });
        expect(response.headers).not.toHaveProperty('content-encoding');
        let text = '';
        for await (const piece of response) {
          text += String(piece);
          if (text === 'data: {"n":1}\n\n') hasFirst.give();
        }
        expect(text).toBe('data: {"n":1}\n\ndata: {"n":2}\n\ndata: [DONE]\n\n');
      },
    );
  });
});
