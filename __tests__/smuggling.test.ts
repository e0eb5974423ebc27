import type { Socket } from 'node:net';
import express from 'express';
import { describe, expect, test } from '@jest/globals';
import { listenRaw, startFront, startScene } from './helpers/scene.ts';
import type { Front } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';
import { until } from './helpers/until.ts';
import { LAST_CHUNK, chunk, dial, get, head, meet, parseAnswer } from './helpers/wire.ts';

/** What a request would look like that nobody has sent. */
const SMUGGLED = 'GET /api/v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n';
const CHUNK = chunk(SMUGGLED).toString();

interface Arrived {
  readonly line: string;
  readonly headers: readonly string[];
  readonly body: string;
}

/** Reads the requests in what came over a connection, in the strictest way there is. */
function requestsIn(bytes: string): { requests: Arrived[]; rest: string } {
  const requests: Arrived[] = [];
  for (let rest = bytes; ;) {
    const headEnd = rest.indexOf('\r\n\r\n');
    if (headEnd === -1) return { requests, rest };
    const [line = '', ...headers] = rest.slice(0, headEnd).split('\r\n');
    const valuesOf = (name: string): string[] =>
      headers
        .filter((each) => each.toLowerCase().startsWith(`${name}: `))
        .map((each) => each.slice(name.length + 2));
    const lengths = valuesOf('content-length');
    const codings = valuesOf('transfer-encoding');
    if (lengths.length + codings.length > 1) throw new Error(`two framings: ${bytes}`);
    const after = rest.slice(headEnd + 4);
    let body = '';
    if (codings.length === 1) {
      const end = after.indexOf('0\r\n\r\n');
      if (end === -1) return { requests, rest };
      body = after.slice(0, end + 5);
    } else {
      body = after.slice(0, Number(lengths[0] ?? 0));
      if (body.length < Number(lengths[0] ?? 0)) return { requests, rest };
    }
    requests.push({ line, headers, body });
    rest = after.slice(body.length);
  }
}

interface Guarded {
  readonly front: Front;
  /** All requests that the upstream has seen, on whichever connection. */
  readonly arrived: () => Arrived[];
  /** What it has seen that is no whole request. */
  readonly rest: () => string;
}

/** A proxy in front of an upstream that looks at every byte. */
async function startGuarded(surroundings?: Parameters<typeof startFront>[1]): Promise<Guarded> {
  const seen = new Map<object, { bytes: string; answered: number }>();
  const upstream = await listenRaw((socket, piece) => {
    const line = seen.get(socket) ?? { bytes: '', answered: 0 };
    line.bytes += piece.toString('latin1');
    seen.set(socket, line);
    for (const { requests } = requestsIn(line.bytes); line.answered < requests.length;) {
      const isHead = requests[line.answered]?.line.startsWith('HEAD ') ?? false;
      line.answered += 1;
      socket.write(head('Content-Length: 2', JSON_TYPE) + (isHead ? '' : '{}'));
    }
  });
  const front = await startFront({ target: `${upstream.origin}/up`, retries: 0 }, surroundings);
  const all = (): ReturnType<typeof requestsIn>[] =>
    [...seen.values()].map(({ bytes }) => requestsIn(bytes));
  return {
    front,
    arrived: () => all().flatMap(({ requests }) => requests),
    rest: () =>
      all()
        .map(({ rest }) => rest)
        .join(''),
  };
}

const post = (...lines: string[]): string =>
  ['POST /api/v1/chat/completions HTTP/1.1', 'Host: x', ...lines].join('\r\n');

const JSON_TYPE = 'Content-Type: application/json';
const OTHER_TYPE = 'Content-Type: application/octet-stream';

/** Status of the first answer; `undefined` when the connection just went. */
function statusIn(received: Buffer): number | undefined {
  return received.includes('\r\n\r\n') ? parseAnswer(received).status : undefined;
}

describe('a request that can be read in two ways is refused and reaches nobody', () => {
  const CHUNKED = 'Transfer-Encoding: chunked';
  test.each<readonly [string, string]>([
    [
      'length and chunks',
      `${post(JSON_TYPE, 'Content-Length: 6', CHUNKED)}\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    ],
    [
      'chunks and length',
      `${post(OTHER_TYPE, CHUNKED, 'Content-Length: 6')}\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    ],
    ['two lengths', `${post('Content-Length: 5', 'Content-Length: 45')}\r\n\r\nhello${SMUGGLED}`],
    ['the same length twice', `${post('Content-Length: 5', 'Content-Length: 5')}\r\n\r\nhello`],
    ['a list of lengths', `${post('Content-Length: 5, 5')}\r\n\r\nhello`],
    ['a length with a sign', `${post('Content-Length: +5')}\r\n\r\nhello`],
    ['a negative length', `${post('Content-Length: -5')}\r\n\r\nhello`],
    ['a hexadecimal length', `${post('Content-Length: 0x5')}\r\n\r\nhello`],
    ['a length with a space in it', `${post('Content-Length: 4 5')}\r\n\r\nhello`],
    ['a length beyond all bounds', `${post('Content-Length: 18446744073709551621')}\r\n\r\nhello`],
    ['an unknown coding', `${post('Transfer-Encoding: xchunked')}\r\n\r\n0\r\n\r\n${SMUGGLED}`],
    [
      'a coding behind chunked',
      `${post('Transfer-Encoding: chunked, identity')}\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    ],
    [
      'a space before the colon',
      `${post('Transfer-Encoding : chunked')}\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    ],
    ['a space before the colon of a length', `${post('Content-Length : 5')}\r\n\r\nhello`],
    [
      'a folded line',
      `${post('X-A: 1', ' Transfer-Encoding: chunked')}\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    ],
    ['a folded coding', `${post('Transfer-Encoding:', ' chunked')}\r\n\r\n0\r\n\r\n${SMUGGLED}`],
    ['bare LFs', post('Content-Length: 5', '', 'hello').replaceAll('\r\n', '\n')],
    ['a bare LF behind a header', `${post('X-A: 1\nContent-Length: 5')}\r\n\r\nhello`],
    ['a bare CR in a header', `${post('X-A: 1\rContent-Length: 5')}\r\n\r\nhello`],
    ['NUL in a header', `${post('X-A: 1\0', 'Content-Length: 5')}\r\n\r\nhello`],
    ['NUL in a name', `${post('X\0A: 1', 'Content-Length: 5')}\r\n\r\nhello`],
    ['a header without a colon', `${post('Content-Length', 'X-A: 1')}\r\n\r\nhello`],
    [
      'a vertical tab before chunked',
      `${post('Transfer-Encoding: \x0bchunked')}\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    ],
    ['a bare LF behind a chunk size', `${post(OTHER_TYPE, CHUNKED)}\r\n\r\n5\nhello\r\n0\r\n\r\n`],
    ['a chunk size with a prefix', `${post(OTHER_TYPE, CHUNKED)}\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n`],
    ['a negative chunk size', `${post(OTHER_TYPE, CHUNKED)}\r\n\r\n-5\r\nhello\r\n0\r\n\r\n`],
    [
      'a chunk size beyond all bounds',
      `${post(OTHER_TYPE, CHUNKED)}\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n`,
    ],
    [
      'a bare LF in a chunk extension',
      `${post(JSON_TYPE, CHUNKED)}\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n`,
    ],
    [
      'a bare CR in a chunk extension',
      `${post(JSON_TYPE, CHUNKED)}\r\n\r\n5;a\rb\r\nhello\r\n0\r\n\r\n`,
    ],
    [
      'a chunk that is longer than its size',
      `${post(JSON_TYPE, CHUNKED)}\r\n\r\n2\r\nhello\r\n0\r\n\r\n`,
    ],
    ...[
      'identity',
      '"chunked"',
      'chunked;q=1',
      'chunked, chunked',
      'chunked,',
      'chunked\r\nTransfer-Encoding: chunked',
      'chunked\r\nTransfer-Encoding: identity',
      '\tchunked\t',
      'chunked\x0b',
      'chunked\xa0',
      'chun\x00ked',
    ].map(
      (coding) =>
        [
          `the coding ${JSON.stringify(coding)} beside a length`,
          `${post(OTHER_TYPE, `Transfer-Encoding: ${coding}`, 'Content-Length: 6')}\r\n\r\n0\r\n\r\n${SMUGGLED}`,
        ] as const,
    ),
    ['no length', `${post('Content-Length:')}\r\n\r\nhello`],
    ['a length, then none', `${post('Content-Length: 5', 'Content-Length:')}\r\n\r\nhello`],
    ['a length with a fraction', `${post('Content-Length: 5.0')}\r\n\r\nhello`],
    ['a length with an exponent', `${post('Content-Length: 5e0')}\r\n\r\nhello`],
    ['a bare CR behind the head', `${post(JSON_TYPE, 'Content-Length: 5')}\r\n\rhello`],
    ['a header without a name', `${post(': 1', 'Content-Length: 5')}\r\n\r\nhello`],
    ['DEL in a header', `${post('X-A: a\x7fb', 'Content-Length: 5')}\r\n\r\nhello`],
    ['a space before a chunk size', `${post(JSON_TYPE, CHUNKED)}\r\n\r\n 5\r\nhello\r\n0\r\n\r\n`],
    ['a chunk size with a sign', `${post(JSON_TYPE, CHUNKED)}\r\n\r\n+5\r\nhello\r\n0\r\n\r\n`],
    ['no line end behind a chunk', `${post(JSON_TYPE, CHUNKED)}\r\n\r\n5\r\nhello0\r\n\r\n`],
    ['a bare LF behind a chunk', `${post(JSON_TYPE, CHUNKED)}\r\n\r\n5\r\nhello\n0\r\n\r\n`],
    ['a bare LF behind the last chunk', `${post(JSON_TYPE, CHUNKED)}\r\n\r\n5\r\nhello\r\n0\r\n\n`],
    [
      'a line end in a quoted chunk extension',
      `${post(JSON_TYPE, CHUNKED)}\r\n\r\n5;a="\r\n"\r\nhello\r\n0\r\n\r\n`,
    ],
    [
      'a chunk extension of 20 kB',
      `${post(JSON_TYPE, CHUNKED)}\r\n\r\n5;${'e'.repeat(20_000)}\r\nhello\r\n0\r\n\r\n`,
    ],
    [
      'a framing in the trailers',
      `${post(JSON_TYPE, CHUNKED)}\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 99\r\nTransfer-Encoding: x\r\n\r\n${SMUGGLED}`,
    ],
    ['a method in small letters', 'get /api/v1/models HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['a space in the path', 'GET /api/v1/mod els HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['NUL in the path', 'GET /api/v1/mod\0els HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['no Host', 'GET /api/v1/models HTTP/1.1\r\n\r\n'],
    ['another version', 'GET /api/v1/models HTTP/3.1\r\nHost: x\r\n\r\n'],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['the absolute form', 'GET http://evil.example/api/v1/models HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['the absolute form with our host', 'GET http://x/api/v1/models HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['two slashes', 'GET /api/v1//evil.example/models HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['the authority form', 'CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n'],
  ])('%s', async (_name, bytes) => {
    const { front, arrived } = await startGuarded();
    const client = await dial(front.origin);
    await client.write(Buffer.from(bytes, 'latin1'));
    await client.when(() => statusIn(client.received) !== undefined);
    expect([400, 413, undefined]).toContain(statusIn(client.received));
    client.fin();
    await client.ended;
    await until(() => front.proxy.inFlight === 0);
    // Of a body that streams through, some may have been on its way when it turned out bad.
    expect(arrived()).toEqual([]);
    expect(await send(`${front.baseUrl}/models`)).toMatchObject({ status: 200, text: '{}' });
    expect(arrived().map(({ line }) => line)).toEqual(['GET /up/models HTTP/1.1']);
  });
});

describe('a body arrives as one body, whatever it looks like', () => {
  const length = `Content-Length: ${SMUGGLED.length}`;
  const many = Array.from(SMUGGLED, (each) => chunk(each).toString()).join('');
  test.each<readonly [string, string, string]>([
    ['held', `${post(JSON_TYPE, length)}\r\n\r\n${SMUGGLED}`, 'POST'],
    ['streamed', `${post(OTHER_TYPE, length)}\r\n\r\n${SMUGGLED}`, 'POST'],
    [
      'held, in chunks',
      `${post(JSON_TYPE, 'Transfer-Encoding: chunked')}\r\n\r\n${many}${LAST_CHUNK}`,
      'POST',
    ],
    [
      'streamed, in chunks',
      `${post(OTHER_TYPE, 'Transfer-Encoding: chunked')}\r\n\r\n${many}${LAST_CHUNK}`,
      'POST',
    ],
    [
      'in chunks with extensions',
      `${post(JSON_TYPE, 'Transfer-Encoding: chunked')}\r\n\r\n${SMUGGLED.length.toString(16)};a="c"\r\n${SMUGGLED}\r\n0\r\n\r\n`,
      'POST',
    ],
    [
      'in chunks with trailers',
      `${post(JSON_TYPE, 'Transfer-Encoding: chunked')}\r\n\r\n${CHUNK}0\r\nX-T: 1\r\n\r\n`,
      'POST',
    ],
    [
      'of CHUNKED in capitals',
      `${post(JSON_TYPE, 'Transfer-Encoding: CHUNKED')}\r\n\r\n${CHUNK}${LAST_CHUNK}`,
      'POST',
    ],
    [
      'whose length Connection names',
      `${post(OTHER_TYPE, length, 'Connection: content-length, transfer-encoding')}\r\n\r\n${SMUGGLED}`,
      'POST',
    ],
    [
      'whose coding Connection names',
      `${post(OTHER_TYPE, 'Transfer-Encoding: chunked', 'Connection: transfer-encoding')}\r\n\r\n${CHUNK}${LAST_CHUNK}`,
      'POST',
    ],
    ['beside TE', `${post(JSON_TYPE, 'TE: gzip, chunked', length)}\r\n\r\n${SMUGGLED}`, 'POST'],
    ...['GET', 'HEAD', 'DELETE', 'OPTIONS', 'PUT', 'PATCH'].flatMap((method) =>
      [JSON_TYPE, OTHER_TYPE].flatMap((type) => {
        const start = (...lines: string[]): string =>
          `${[`${method} /api/v1/models HTTP/1.1`, 'Host: x', type, ...lines].join('\r\n')}\r\n\r\n`;
        const kind = type === JSON_TYPE ? 'held' : 'streamed';
        return [
          [`of ${method}, ${kind}`, start(length) + SMUGGLED, method],
          [
            `of ${method}, ${kind}, in chunks`,
            `${start('Transfer-Encoding: chunked')}${CHUNK}${LAST_CHUNK}`,
            method,
          ],
        ] as const;
      }),
    ),
  ])('%s', async (_name, bytes, method) => {
    const { front, arrived, rest } = await startGuarded();
    const client = await dial(front.origin);
    await client.write(Buffer.from(bytes, 'latin1'));
    await client.until('\r\n\r\n');
    expect(parseAnswer(client.received).status).toBe(200);
    expect(arrived()).toHaveLength(1);
    expect(rest()).toBe('');
    const [request] = arrived();
    expect(request?.line).toMatch(
      new RegExp(`^${method} /up/(chat/completions|models) HTTP/1\\.1$`),
    );
    const body = request?.body ?? '';
    const isChunked = request?.headers.some((each) => /^transfer-encoding: chunked$/i.test(each));
    expect(isChunked ? unchunked(body) : body).toBe(SMUGGLED);
    expect(request?.headers.filter((each) => /^(x-t|trailer):/i.test(each))).toEqual([]);
    // The connection is in step: the next request on it is read as what it is.
    await client.write(get('/after'));
    await until(() => arrived().length === 2);
    expect(arrived()[1]?.line).toBe('GET /up/after HTTP/1.1');
  });
});

function unchunked(body: string): string {
  return parseAnswer(
    Buffer.from(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body}`),
  ).body.toString();
}

test.each([
  ['gzip, chunked'],
  ['gzip\r\nTransfer-Encoding: chunked'],
  ['identity, chunked'],
  [', chunked'],
])(
  'a coding before chunked, which would be lost on the way, reaches nobody (%j)',
  async (coding) => {
    const { front, arrived } = await startGuarded();
    const client = await dial(front.origin);
    const start = post(OTHER_TYPE, `Transfer-Encoding: ${coding}`);
    await client.write(`${start}\r\n\r\n${CHUNK}${LAST_CHUNK}`);
    await client.until('}}');
    expect(parseAnswer(client.received).status).toBe(501);
    expect(client.text).toContain('"code":"transfer_coding_unsupported"');
    expect(arrived()).toEqual([]);
  },
);

test.each(['0005', '05'])(
  'a length with zeros in front goes out without them (%s)',
  async (length) => {
    const { front, arrived } = await startGuarded();
    const client = await dial(front.origin);
    await client.write(`${post(OTHER_TYPE, `Content-Length: ${length}`)}\r\n\r\nhello`);
    await client.until('{}');
    expect(arrived()).toMatchObject([{ body: 'hello' }]);
    const lengths = arrived()[0]?.headers.filter((each) => /^content-length:/i.test(each));
    expect(lengths).toEqual(['content-length: 5']);
  },
);

describe('pipelined requests', () => {
  test('are as many upstream as they were, and are answered in order', async () => {
    const { front, arrived } = await startGuarded();
    const client = await dial(front.origin);
    const body = 'hello';
    await client.write(
      `${post(OTHER_TYPE, 'Content-Length: 5')}\r\n\r\n${body}${get('/models')}${get('/last')}`,
    );
    await client.when(() => client.text.split('HTTP/1.1 200').length === 4);
    expect(
      arrived()
        .map(({ line }) => line)
        .toSorted(),
    ).toEqual([
      'GET /up/last HTTP/1.1',
      'GET /up/models HTTP/1.1',
      'POST /up/chat/completions HTTP/1.1',
    ]);
  });

  test('behind a request without a body are requests, no body', async () => {
    const { front, arrived } = await startGuarded();
    const client = await dial(front.origin);
    await client.write(`${post(JSON_TYPE, 'Content-Length: 0')}\r\n\r\n${get('/models')}`);
    await client.when(() => client.text.split('HTTP/1.1 200').length === 3);
    expect(
      arrived()
        .map(({ line, body }) => line + body)
        .toSorted(),
    ).toEqual(['GET /up/models HTTP/1.1', 'POST /up/chat/completions HTTP/1.1']);
  });

  test('by the hundred take no more listeners than Node finds right', async () => {
    const sockets = new Set<Socket>();
    const scene = await startScene(
      { rateLimit: false },
      { onCall: () => ({ kind: 'silent' }) },
      {
        before: (app) =>
          void app.use((req, _res, next) => {
            sockets.add(req.socket);
            next();
          }),
      },
    );
    const client = await dial(scene.origin);
    await client.write(get('/models').repeat(100));
    const calls = await Promise.all(
      Array.from({ length: 100 }, (_, n) => scene.venice.arrived(n + 1)),
    );
    expect(scene.proxy.inFlight).toBe(100);
    const [socket] = sockets;
    expect(sockets.size).toBe(1);
    expect(socket?.eventNames().filter((name) => socket.listenerCount(name) > 10)).toEqual([]);
    client.reset();
    await Promise.all(calls.map(({ over }) => over));
    await scene.recorder.ended(100);
    expect(scene.proxy.inFlight).toBe(0);
    expect(scene.recorder.answers).toHaveLength(100);
  });

  test('behind a request that is refused while it sends its body are not read', async () => {
    const scene = await startScene({ bodyLimit: 10 });
    const client = await dial(scene.origin);
    await client.write(`${post(JSON_TYPE, 'Content-Length: 2000')}\r\n\r\n${SMUGGLED}`);
    await client.until('}}');
    expect(parseAnswer(client.received).status).toBe(413);
    client.fin();
    await client.ended;
    await until(() => scene.proxy.inFlight === 0);
    expect(scene.venice.calls).toEqual([]);
    expect(client.text.match(/HTTP\/1\.1/g)).toHaveLength(1);
  });
});

test.each([
  ['JSON', JSON_TYPE, 0],
  ['another body', OTHER_TYPE, 1],
])('of %s that ends early no whole request arrives', async (_name, type, begun) => {
  const scene = await startScene();
  const client = await dial(scene.origin);
  await client.write(`${post(type, 'Content-Length: 500')}\r\n\r\n${SMUGGLED}`);
  await until(() => scene.proxy.inFlight === 1);
  if (begun > 0) await scene.venice.arrived(begun);
  client.fin();
  await client.ended;
  await until(() => scene.proxy.inFlight === 0);
  await Promise.all(scene.venice.calls.map(({ over }) => over));
  expect(scene.venice.calls).toHaveLength(begun);
  expect(scene.venice.calls.every(({ aborted, status }) => aborted && status === undefined)).toBe(
    true,
  );
});

test('a body that the app has parsed is framed anew', async () => {
  const { front, arrived, rest } = await startGuarded({
    before: (app) => void app.use(express.json(), express.text({ type: '*/*' })),
  });
  const spaced = '{ "a" : "é",   "b" : [ 1 , 2 ] }';
  const reply = await send(`${front.baseUrl}/chat/completions`, {
    headers: { 'content-type': 'application/json' },
    body: spaced,
  });
  expect(reply.status).toBe(200);
  const text = await send(`${front.baseUrl}/other`, {
    headers: { 'content-type': 'text/plain' },
    body: SMUGGLED,
  });
  expect(text.status).toBe(200);
  expect(rest()).toBe('');
  expect(arrived().map(({ body }) => Buffer.from(body, 'latin1').toString())).toEqual([
    '{"a":"é","b":[1,2]}',
    SMUGGLED,
  ]);
});

test('line ends in a path, a query or a header value stay what they are', async () => {
  const { front, arrived } = await startGuarded();
  const path = '/models%0d%0aX-Evil:%201?a=%0d%0a%0d%0aGET%20/smuggled';
  const client = await dial(front.origin);
  await client.write(get(path, { headers: ['X-Value: %0d%0aX-Evil: 1'] }));
  await client.until('{}');
  expect(arrived().map(({ line }) => line)).toEqual([`GET /up${path} HTTP/1.1`]);
  expect(arrived()[0]?.headers).toContain('x-value: %0d%0aX-Evil: 1');
});

describe('an answer that can be read in two ways is none', () => {
  test.each([
    ['length and chunks', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['two lengths', 'Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!'],
    ['a space before the colon', 'Content-Length : 5\r\n\r\nhello'],
    ['a bare LF behind a header', 'X-A: 1\nContent-Length: 5\r\n\r\nhello'],
    ['NUL in a header', 'X-A: \0\r\nContent-Length: 5\r\n\r\nhello'],
  ])('%s', async (_name, rest) => {
    const { client, upstream } = await meet({ retries: 0 });
    await upstream.write(Buffer.from(`HTTP/1.1 200 OK\r\n${rest}`, 'latin1'));
    await client.when(() => client.text.includes('upstream_invalid'));
    expect(parseAnswer(client.received).status).toBe(502);
  });

  test('bytes behind an answer are not the answer to the next request', async () => {
    const { client, upstream, wire } = await meet();
    const forged = `${head('Content-Length: 6')}forged`;
    await upstream.write(`${head('Content-Length: 2')}{}${forged}`);
    await client.until('{}');
    await client.write(get('/models'));
    const next = await wire.next();
    await next.until('\r\n\r\n');
    await next.write(`${head('Content-Length: 2')}[]`);
    await client.until('[]');
    expect(client.text).not.toContain('forged');
  });
});
