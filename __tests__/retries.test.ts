import type { Socket } from 'node:net';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import type { Fault } from '../examples/stand-in-venice.ts';
import {
  CHAT,
  chat,
  deserted,
  exchangeRaw,
  listenRaw,
  startFront,
  startScene,
} from './helpers/scene.ts';
import { send } from './helpers/serve.ts';
import { dial } from './helpers/wire.ts';

afterEach(() => {
  jest.restoreAllMocks();
});

const RETRYABLE = [408, 500, 502, 503, 520, 521, 522, 523, 524];

const answer = (status: number, more: object = {}): Fault => ({ kind: 'answer', status, ...more });

describe('a status that passes', () => {
  test.each(RETRYABLE)('%d is tried again until the upstream answers', async (status) => {
    const scene = await startScene();
    scene.venice.script(answer(status, { body: { error: 'once' } }), answer(status));
    const reply = await chat(scene);
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 3]);
    expect(JSON.parse(reply.text)).toMatchObject({ object: 'chat.completion' });
    expect(reply.headers['x-venice-proxy-attempts']).toBe('3');
    expect(scene.recorder.retries).toEqual([
      expect.objectContaining({ attempt: 1, status, reason: `status ${status}` }),
      expect.objectContaining({ attempt: 2, status, reason: `status ${status}` }),
    ]);
    for (const [place, delayMs] of scene.recorder.delays.entries()) {
      expect(delayMs).toBeGreaterThanOrEqual(0);
      expect(delayMs).toBeLessThanOrEqual(2 ** place);
    }
  });

  test('the same bytes go out each time', async () => {
    const scene = await startScene();
    scene.venice.script(answer(500), answer(502), answer(503));
    // Not what JSON.stringify would write.
    const body = '{ "model":"m", "messages":[{"role":"user","content":"\\u00e9"}],\n"n":1.0 }';
    const headers = { 'content-type': 'application/json' };
    const reply = await send(`${scene.baseUrl}/chat/completions`, { headers, body });
    expect(reply.status).toBe(200);
    expect(scene.venice.calls.map((call) => call.body.toString())).toEqual(Array(4).fill(body));
  });

  test('a rewritten body goes out rewritten each time', async () => {
    const scene = await startScene();
    scene.venice.script(answer(500), answer(502));
    const reply = await chat(scene, { prompt_cache_key: 'abc' });
    expect(reply.status).toBe(200);
    expect(scene.venice.calls.map((call) => JSON.parse(call.body.toString()))).toEqual(
      Array(3).fill(CHAT),
    );
    expect(scene.recorder.seen.filter(({ hook }) => hook === 'drop')).toHaveLength(1);
  });

  test('a request without a body is tried again, too', async () => {
    const scene = await startScene();
    scene.venice.script(answer(500), answer(524));
    const reply = await send(`${scene.baseUrl}/models`);
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 3]);
    expect(scene.recorder.delays).toHaveLength(2);
  });

  test('an upload is sent once, whatever comes back', async () => {
    const scene = await startScene();
    scene.venice.script(answer(503, { body: 'busy' }));
    const reply = await send(`${scene.baseUrl}/augment/text-parser`, {
      headers: { 'content-type': 'multipart/form-data; boundary=x' },
      body: '--x--',
    });
    expect([reply.status, reply.text, scene.venice.calls.length]).toEqual([503, 'busy', 1]);
    expect(scene.recorder.delays).toEqual([]);
  });

  test('the delay is drawn between nothing and base × 2^(n-1)', async () => {
    const draws = [0, 0.5, 1, 0.25];
    jest.spyOn(Math, 'random').mockImplementation(() => draws.shift() ?? 0);
    const scene = await startScene({ baseRetryDelay: 20 });
    scene.venice.script(answer(500), answer(502), answer(503), answer(520));
    const reply = await chat(scene);
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 5]);
    expect(scene.recorder.delays).toEqual([0, 20, 80, 40]);
  });

  test('the next attempt begins when its delay is over', async () => {
    jest.spyOn(Math, 'random').mockReturnValue(1);
    const scene = await startScene({ baseRetryDelay: 60 });
    scene.venice.script(answer(500), answer(500));
    const reply = await chat(scene);
    expect([reply.status, scene.recorder.delays]).toEqual([200, [60, 120]]);
    const [first, second, third] = scene.venice.calls.map(({ at }) => at);
    // Timers and Date.now() are cut to whole milliseconds, each in its way.
    expect(Number(second) - Number(first)).toBeGreaterThanOrEqual(58);
    expect(Number(third) - Number(second)).toBeGreaterThanOrEqual(118);
  });

  test('the connection is kept for the next attempt', async () => {
    const scene = await startScene();
    scene.venice.script(answer(500, { body: 'a' }), answer(502), answer(503, { body: 'c' }));
    await chat(scene);
    expect(scene.venice.calls.map(({ connection }) => connection)).toEqual([1, 1, 1, 1]);
  });
});

const FINAL = [
  400, 401, 402, 403, 404, 405, 406, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422,
  423, 424, 425, 426, 428, 431, 451, 501, 505, 506, 507, 508, 510, 511, 499, 525, 526, 527, 530,
  599,
];

/** Header lines without those that speak of one connection, and those that the proxy adds. */
function endToEnd(lines: readonly string[]): string[] {
  return lines.filter(
    (line) =>
      !/^(connection|keep-alive|transfer-encoding|x-powered-by|x-venice-proxy-)/i.test(line),
  );
}

describe('every other status', () => {
  test.each(FINAL)('%d is forwarded at once, word for word', async (status) => {
    const scene = await startScene();
    scene.venice.script(
      answer(status, {
        reason: 'In Its Own Words',
        headers: { 'X-Odd-CASE': 'one', 'Set-Cookie': ['a=1', 'b=2'], 'x-request-id': 'r 1' },
        body: Buffer.from('\u0000{"error":"caf\u00e9"}\n', 'latin1'),
      }),
    );
    const reply = await exchangeRaw(scene.origin, rawChat());
    expect(reply.statusLine).toBe(`HTTP/1.1 ${status} In Its Own Words`);
    expect(endToEnd(reply.headerLines)).toEqual([
      expect.stringMatching(/^Date: /),
      expect.stringMatching(/^CF-RAY: /),
      'Content-Type: application/octet-stream',
      'Content-Length: 18',
      'X-Odd-CASE: one',
      'Set-Cookie: a=1',
      'Set-Cookie: b=2',
      'x-request-id: r 1',
    ]);
    expect(reply.body.toString('latin1')).toBe('\u0000{"error":"caf\u00e9"}\n');
    expect(scene.venice.calls).toHaveLength(1);
    expect(scene.recorder.retries).toEqual([]);
  });

  test('504 is forwarded at once: the upstream may still be at work on it', async () => {
    const scene = await startScene();
    scene.venice.script(answer(504, { reason: 'Too Slow', body: { error: 'use stream' } }));
    const reply = await exchangeRaw(scene.origin, rawChat());
    expect(reply.statusLine).toBe('HTTP/1.1 504 Too Slow');
    expect(reply.body.toString()).toBe('{"error":"use stream"}');
    expect(reply.headerLines).toContain('x-should-retry: false');
    expect([scene.venice.calls.length, scene.recorder.delays]).toEqual([1, []]);
  });

  test.each([201, 202, 203, 204, 206, 300, 301, 302, 303, 304, 307, 308])(
    '%d is an answer like any other: no redirect is followed',
    async (status) => {
      const scene = await startScene();
      const isBodiless = status === 204 || status === 304;
      scene.venice.script(
        answer(status, {
          headers: { Location: '/elsewhere' },
          ...(isBodiless ? {} : { body: 'here' }),
        }),
      );
      const reply = await send(`${scene.baseUrl}/models`);
      expect([reply.status, reply.headers.location]).toEqual([status, '/elsewhere']);
      expect(reply.text).toBe(isBodiless ? '' : 'here');
      expect(scene.venice.calls).toHaveLength(1);
    },
  );

  test.each([
    ['no body at all', ''],
    ['text', '{"error":"text"}'],
    ['issues', '{"error":"x","details":{"_errors":[]},"issues":[{"code":"y"}]}'],
    ['the OpenAI form', '{"error":{"message":"m","type":"t","param":null,"code":"c"}}'],
    ['a code beside it', '{"code":"C","error":"e"}'],
    ['an x402 object', '{"x402Version":1,"accepts":[{"scheme":"exact"}]}'],
    ['what is not JSON', '<html>502</html>'],
  ])('an error body stays as it is: %s', async (_name, body) => {
    const scene = await startScene();
    const bytes = Buffer.from(body);
    scene.venice.script(
      answer(400, { headers: { 'Content-Type': 'application/json' }, body: bytes }),
    );
    const reply = await chat(scene);
    expect([reply.status, reply.text]).toEqual([400, body]);
    expect(reply.headers['content-type']).toBe('application/json');
  });

  test('names that come twice keep their order and their values', async () => {
    const scene = await startScene();
    scene.venice.script({
      kind: 'raw',
      bytes:
        'HTTP/1.1 403 Forbidden\r\nZ-First: 1\r\nWarning: a\r\nA-second: 2\r\nWARNING: b\r\n' +
        'Set-Cookie: x=1\r\nset-cookie: y=2\r\nContent-Length: 2\r\n\r\nno',
    });
    const reply = await exchangeRaw(scene.origin, rawChat());
    expect(endToEnd(reply.headerLines)).toEqual([
      'Z-First: 1',
      'Warning: a',
      'Warning: b',
      'A-second: 2',
      'Set-Cookie: x=1',
      'Set-Cookie: y=2',
      'Content-Length: 2',
      expect.stringMatching(/^Date: /),
    ]);
  });
});

function rawChat(): string {
  const body = JSON.stringify(CHAT);
  return (
    'POST /api/v1/chat/completions HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n' +
    `Authorization: Bearer k\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  );
}

describe('when retries run out', () => {
  test('the last answer is forwarded as it came, and the SDK is told to leave it at that', async () => {
    const scene = await startScene({ retries: 2 });
    scene.venice.script(
      answer(500, { body: 'first' }),
      answer(502, { body: 'second' }),
      answer(503, { reason: 'Last One', headers: { 'X-Say': 'third' }, body: 'third' }),
    );
    const reply = await exchangeRaw(scene.origin, rawChat());
    expect(reply.statusLine).toBe('HTTP/1.1 503 Last One');
    expect(reply.body.toString()).toBe('third');
    expect(reply.headerLines).toEqual(
      expect.arrayContaining([
        'X-Say: third',
        'x-should-retry: false',
        'x-venice-proxy-attempts: 3',
      ]),
    );
    expect(scene.venice.calls).toHaveLength(3);
    expect(scene.recorder.delays).toHaveLength(2);
  });

  test('5 retries, the default, are at most 6 calls', async () => {
    const scene = await startScene({}, { onCall: () => answer(500) });
    const reply = await chat(scene);
    expect([reply.status, scene.venice.calls.length]).toEqual([500, 6]);
    expect(scene.recorder.delays).toHaveLength(5);
    expect(reply.headers['x-venice-proxy-attempts']).toBe('6');
  });

  test('retries: 0 makes one call and forwards what comes', async () => {
    const scene = await startScene({ retries: 0 }, { onCall: () => answer(500, { body: 'no' }) });
    const reply = await chat(scene);
    expect([reply.status, reply.text, scene.venice.calls.length]).toEqual([500, 'no', 1]);
    expect(scene.recorder.delays).toEqual([]);
  });

  test('the last answer is forwarded whole, however long it is', async () => {
    const scene = await startScene({ retries: 1 });
    const long = 'x'.repeat(300_000);
    scene.venice.script(answer(500, { body: long }), answer(500, { body: `${long}!` }));
    const reply = await chat(scene);
    expect([reply.status, reply.text.length, reply.complete]).toEqual([500, 300_001, true]);
    expect(reply.text).toBe(`${long}!`);
    expect(scene.venice.calls).toHaveLength(2);
  });
});

describe('x-should-retry of the upstream', () => {
  test.each([429, 500, 503])('false is obeyed on %d', async (status) => {
    const scene = await startScene();
    scene.venice.script(answer(status, { headers: { 'X-Should-Retry': 'false' }, body: 'no' }));
    const reply = await chat(scene);
    expect([reply.status, reply.text, scene.venice.calls.length]).toEqual([status, 'no', 1]);
    expect(reply.headers['x-should-retry']).toBe('false');
    expect(scene.recorder.delays).toEqual([]);
  });

  test('true makes no final answer one to be tried again', async () => {
    const scene = await startScene();
    scene.venice.script(answer(400, { headers: { 'X-Should-Retry': 'true' } }));
    const reply = await chat(scene);
    expect([reply.status, scene.venice.calls.length]).toEqual([400, 1]);
    expect(reply.headers['x-should-retry']).toBe('true');
  });
});

describe('the body of an error', () => {
  test.each([
    ['is longer than 64 kB', answer(500, { body: 'e'.repeat(200_000) })],
    ['breaks off', { kind: 'raw', bytes: 'HTTP/1.1 500 No\r\nContent-Length: 99\r\n\r\nshort' }],
    [
      'is garbage',
      { kind: 'raw', bytes: 'HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n' },
    ],
  ] satisfies [string, Fault][])(
    'is no reason to hang when it %s: the next attempt is made',
    async (_name, fault) => {
      const scene = await startScene();
      scene.venice.script(fault);
      const reply = await chat(scene);
      expect([reply.status, scene.venice.calls.length]).toEqual([200, 2]);
      expect(scene.recorder.retries).toEqual([expect.objectContaining({ status: 500 })]);
    },
  );

  test('that never ends delays the next attempt by 2 s at most, and its call ends', async () => {
    const scene = await startScene();
    scene.venice.script({
      kind: 'raw',
      bytes: 'HTTP/1.1 500 No\r\nContent-Length: 99\r\n\r\nshort',
      close: false,
    });
    const reply = await chat(scene);
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 2]);
    await scene.venice.calls[0]?.over;
    expect(scene.recorder.delays).toHaveLength(1);
  });

  test('that never ends does not delay the next attempt once 64 kB are there', async () => {
    const scene = await startScene();
    scene.venice.script({
      kind: 'raw',
      bytes: `HTTP/1.1 500 No\r\nContent-Length: 9999999\r\n\r\n${'e'.repeat(70_000)}`,
      close: false,
    });
    const reply = await chat(scene);
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 2]);
    // The 2 s of the rule before would have had to pass.
    expect((await scene.recorder.ended()).totalMs).toBeLessThan(1_900);
  });

  test('that drips is forwarded whole', async () => {
    const upstream = await listenRaw((socket) => {
      socket.write('HTTP/1.1 400 No\r\nContent-Length: 10\r\n\r\n');
      let left = 10;
      const timer = setInterval(() => {
        left -= 1;
        socket.write(String(left));
        if (left === 0) clearInterval(timer);
      }, 30);
      socket.on('close', () => clearInterval(timer));
    });
    const front = await startFront({ target: upstream.origin });
    const reply = await chat(front);
    expect([reply.status, reply.text, reply.complete]).toEqual([400, '9876543210', true]);
    expect(front.recorder.attempts).toBe(1);
  });

  test('that drips for long is forwarded as it comes', async () => {
    const sockets: Socket[] = [];
    const upstream = await listenRaw((socket) => {
      sockets.push(socket);
      socket.write('HTTP/1.1 400 No\r\nContent-Length: 10\r\n\r\n98765');
    });
    const front = await startFront({ target: upstream.origin });
    const client = await dial(front.origin);
    await client.write(rawChat());
    await client.until('98765');
    sockets[0]?.write('43210');
    expect(await client.until('43210')).toMatch(/^HTTP\/1\.1 400 No\r\n/);
    expect([sockets.length, front.recorder.retries]).toEqual([1, []]);
  });

  test.each(['', 'short'])(
    'that falls silent after %j is never forwarded as if it were whole',
    async (text) => {
      const scene = await startScene({ timeout: { idle: 100 } });
      scene.venice.script({
        kind: 'raw',
        bytes: `HTTP/1.1 400 No\r\nContent-Length: 99\r\n\r\n${text}`,
        close: false,
      });
      const reply = await chat(scene);
      expect([reply.status, reply.text, reply.complete]).toEqual([400, text, false]);
      expect(await scene.recorder.ended()).toMatchObject({
        outcome: 'broken',
        code: 'upstream_timeout',
        attempts: 1,
      });
    },
  );
});

describe('a connection that is lost', () => {
  test('in the last error of all leaves of it what came, and never as if it were whole', async () => {
    const scene = await startScene(
      { retries: 1 },
      {
        onCall: () => ({
          kind: 'raw',
          bytes: 'HTTP/1.1 500 No\r\nContent-Length: 99\r\n\r\nshort',
        }),
      },
    );
    const reply = await chat(scene);
    expect([reply.status, reply.text, reply.complete]).toEqual([500, 'short', false]);
    expect([scene.venice.calls.length, scene.recorder.delays.length]).toEqual([2, 1]);
  });

  test.each([
    ['reset after the head of the request', { kind: 'reset', after: 'head' }],
    ['reset before an answer', { kind: 'reset', after: 'body' }],
    ['closed before an answer', { kind: 'raw', bytes: '' }],
    ['closed within the head of the answer', { kind: 'raw', bytes: 'HTTP/1.1 200 OK\r\nConte' }],
    ['reset behind the head of the answer', { kind: 'reset-after-head' }],
    ['closed behind the head of the answer', { kind: 'cut-body', bytes: 0 }],
    ['garbage in place of HTTP', { kind: 'raw', bytes: 'SSH-2.0-OpenSSH_9.2\r\n\r\n' }],
    [
      'an impossible status',
      { kind: 'raw', bytes: 'HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n' },
    ],
    [
      'an impossible status',
      { kind: 'raw', bytes: 'HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n' },
    ],
    [
      'an impossible status',
      { kind: 'raw', bytes: 'HTTP/1.1 000 Odd\r\nContent-Length: 0\r\n\r\n' },
    ],
    [
      'an impossible status',
      { kind: 'raw', bytes: 'HTTP/1.1 1000 Odd\r\nContent-Length: 0\r\n\r\n' },
    ],
    [
      'a switch of protocols',
      {
        kind: 'raw',
        bytes: 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n',
      },
    ],
    [
      'a body that breaks before its first byte',
      { kind: 'raw', bytes: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n' },
    ],
  ] satisfies [string, Fault][])('is tried again with the same body: %s', async (_name, fault) => {
    const scene = await startScene();
    scene.venice.script(fault, fault);
    const reply = await chat(scene);
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 3]);
    expect(reply.headers['x-venice-proxy-attempts']).toBe('3');
    const [first, ...others] = scene.recorder.retries;
    expect(first).toMatchObject({ attempt: 1, status: undefined, reason: 'no answer' });
    expect(others).toHaveLength(1);
    expect(scene.venice.calls.at(-1)?.body.toString()).toBe(JSON.stringify(CHAT));
  });

  test('is tried again before the first event of a stream', async () => {
    const scene = await startScene();
    scene.venice.script(
      { kind: 'cut-stream', afterEvents: 0, ending: 'reset' },
      { kind: 'cut-stream', afterEvents: 0, midEvent: true },
    );
    const reply = await chat(scene, { stream: true });
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 3]);
    expect(reply.text).toMatch(/data: \[DONE\]\n\n$/);
    expect(reply.text.match(/"role":"assistant"/g)).toHaveLength(1);
  });

  test('is not tried again behind the first byte that the client has', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'cut-stream', afterEvents: 1 });
    const reply = await chat(scene, { stream: true });
    expect([reply.status, scene.venice.calls.length, reply.complete]).toEqual([200, 1, false]);
    expect(scene.recorder.retries).toEqual([]);
  });
});

describe('what Node would throw on', () => {
  test('a control byte in the reason phrase does no harm', async () => {
    const scene = await startScene();
    scene.venice.script({
      kind: 'raw',
      bytes: 'HTTP/1.1 400 Bad\u0001\u007fPhrase\r\nContent-Length: 2\r\n\r\nno',
    });
    const reply = await exchangeRaw(scene.origin, rawChat());
    expect([reply.statusLine, reply.body.toString()]).toEqual(['HTTP/1.1 400 Bad Request', 'no']);
    expect((await chat(scene)).status).toBe(200);
  });

  test('Trailer beside Content-Length does no harm, in a request and in an answer', async () => {
    const scene = await startScene();
    scene.venice.script({
      kind: 'raw',
      bytes: 'HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nContent-Length: 2\r\n\r\nhi',
    });
    const request = rawChat().replace('Connection: close', 'Connection: close\r\nTrailer: X-Sum');
    const reply = await exchangeRaw(scene.origin, request);
    expect([reply.statusLine, reply.body.toString()]).toEqual(['HTTP/1.1 200 OK', 'hi']);
    expect(reply.headerLines.join('\n')).not.toMatch(/^trailer/im);
    expect(scene.venice.calls[0]?.headers.trailer).toBeUndefined();
    expect((await chat(scene)).status).toBe(200);
  });

  test('trailers behind a chunked answer do no harm', async () => {
    const scene = await startScene();
    scene.venice.script({
      kind: 'raw',
      bytes:
        'HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n' +
        '2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n',
    });
    const reply = await chat(scene);
    expect([reply.status, reply.text, reply.complete]).toEqual([200, 'hi', true]);
  });

  test('an Expect header does no harm', async () => {
    const scene = await startScene();
    const reply = await exchangeRaw(
      scene.origin,
      rawChat().replace('Connection: close', 'Connection: close\r\nExpect: 100-continue'),
    );
    expect(reply.statusLine).toBe('HTTP/1.1 100 Continue');
    expect(reply.body.toString()).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(scene.venice.calls).toHaveLength(1);
    expect(scene.venice.calls[0]?.headers.expect).toBeUndefined();
  });
});

const LEAVING = [
  ['POST', '/chat/completions'],
  ['POST', '/image/generate'],
  ['POST', '/x402/top-up'],
  ['POST', '/crypto/rpc/base'],
  ['POST', '/api_keys'],
  ['DELETE', '/api_keys'],
  ['GET', '/models'],
] as const;

describe('a connection that cannot be made', () => {
  test.each(LEAVING)('is tried again for %s %s: refused', async (method, path) => {
    const front = await startFront({ target: deserted(), retries: 2 });
    const body = method === 'GET' ? undefined : '{"model":"m"}';
    const headers =
      body === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': body.length };
    const reply = await send(`${front.baseUrl}${path}`, { method, body, headers });
    expect([reply.status, front.recorder.attempts]).toEqual([502, 3]);
    expect(reply.text).toMatch(/"code":"upstream_unreachable"/);
    expect(front.recorder.retries).toEqual([
      expect.objectContaining({ attempt: 1, status: undefined, reason: 'no answer' }),
      expect.objectContaining({ attempt: 2, status: undefined, reason: 'no answer' }),
    ]);
  });

  test('is tried again for an upload, none of which has been read', async () => {
    const front = await startFront({ target: deserted(), retries: 2 });
    const reply = await send(`${front.baseUrl}/audio/transcriptions`, {
      headers: { 'content-type': 'multipart/form-data; boundary=x' },
      body: '--x--',
    });
    expect([reply.status, front.recorder.attempts]).toEqual([502, 3]);
    expect(front.recorder.delays).toHaveLength(2);
  });

  test('succeeds once the upstream is there: nothing of the body is lost', async () => {
    const scene = await startScene({ retries: 50, baseRetryDelay: 20 });
    scene.venice.script({ kind: 'stop-accepting', forMs: 100 });
    // Its lost answer tells that the stand-in is away.
    expect((await send(`${scene.baseUrl}/image/generate`, { body: { n: 1 } })).status).toBe(502);
    const upload = Buffer.alloc(100_000, 'u');
    const reply = await send(`${scene.baseUrl}/stand-in/echo`, {
      headers: { 'content-type': 'application/octet-stream' },
      body: upload,
    });
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 2]);
    expect(scene.venice.calls[1]?.body.equals(upload)).toBe(true);
    expect(Number(reply.headers['x-venice-proxy-attempts'])).toBeGreaterThan(1);
  });

  test('is tried again when the name is unknown', async () => {
    const front = await startFront({ target: 'http://no-such-host.invalid/api/v1', retries: 1 });
    const reply = await send(`${front.baseUrl}/image/generate`, { body: { model: 'm' } });
    expect([reply.status, front.recorder.attempts]).toEqual([502, 2]);
    expect(JSON.parse(reply.text)).toMatchObject({ error: { code: 'upstream_unreachable' } });
    expect(front.recorder.delays).toHaveLength(1);
  });
});
