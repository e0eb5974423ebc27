import { afterEach, describe, expect, jest, test } from '@jest/globals';
import express from 'express';
import type { Fault } from '../examples/stand-in-venice.ts';
import { createVeniceProxy } from '../lib/index.ts';
import {
  CHAT,
  chat,
  closeAfterTest,
  deserted,
  exchangeRaw,
  startFront,
  startScene,
} from './helpers/scene.ts';
import { EXPRESSES, listen, send } from './helpers/serve.ts';
import type { Reply } from './helpers/serve.ts';
import { dial } from './helpers/wire.ts';

afterEach(() => {
  jest.restoreAllMocks();
});

interface OwnError {
  readonly status: number;
  readonly code: string;
  readonly type: 'invalid_request_error' | 'server_error';
  /** A string, or a matcher of one. */
  readonly message: unknown;
}

function expectOwnError({ status, headers, text, body }: Reply, wanted: OwnError): void {
  const { message, type, code } = wanted;
  expect(JSON.parse(text)).toEqual({ error: { message, type, param: null, code } });
  expect(status).toBe(wanted.status);
  expect(headers['content-type']).toBe('application/json; charset=utf-8');
  expect(headers['content-length']).toBe(String(body.length));
  // No stack, no file, no key.
  expect(text).not.toMatch(/\bat \S+ \(|node:|\.[jt]s\b|test-key|Bearer/);
}

describe('invalid_path', () => {
  test.each(['/a%2fb', '//host/x', '/a/../b', '/%2e%2e/b', '/a\\b'])('is 400: %s', async (path) => {
    const scene = await startScene();
    const { statusLine, headerLines, body } = await exchangeRaw(
      scene.origin,
      `GET /api/v1${path} HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n`,
    );
    expect(statusLine).toBe('HTTP/1.1 400 Bad Request');
    expect(headerLines).toContain('content-type: application/json; charset=utf-8');
    expect(JSON.parse(body.toString())).toEqual({
      error: {
        message: expect.stringMatching(/^The path is not one that the proxy forwards/),
        type: 'invalid_request_error',
        param: null,
        code: 'invalid_path',
      },
    });
    expect(scene.venice.calls).toEqual([]);
  });
});

test.each(EXPRESSES)(
  'method_not_allowed is 405 and names what is served: %s',
  async (_name, express) => {
    const scene = await startScene({}, {}, { express });
    const reply = await send(`${scene.baseUrl}/models`, { method: 'TRACE' });
    expectOwnError(reply, {
      status: 405,
      code: 'method_not_allowed',
      type: 'invalid_request_error',
      message: 'TRACE is not served here.',
    });
    expect(reply.headers['allow']).toBe('GET, POST, PUT, DELETE, PATCH, OPTIONS, HEAD');
    expect(scene.venice.calls).toEqual([]);
  },
);

describe('request_timeout', () => {
  test('is 408: a client that stops in the middle of its upload', async () => {
    const scene = await startScene({ timeout: { idle: 100 } });
    const { statusLine, body } = await exchangeRaw(
      scene.origin,
      'POST /api/v1/audio/transcriptions HTTP/1.1\r\nHost: p\r\n' +
        'Content-Type: audio/wav\r\nContent-Length: 1000\r\n\r\nhalf',
    );
    expect(statusLine).toBe('HTTP/1.1 408 Request Timeout');
    expect(JSON.parse(body.toString())).toMatchObject({
      error: {
        code: 'request_timeout',
        type: 'invalid_request_error',
        message: expect.stringMatching(
          /^Nothing more of the request's body came for 0\.1 s\. \(1 attempt; /,
        ),
      },
    });
    await scene.venice.calls[0]?.over;
    expect([scene.venice.calls.length, scene.venice.calls[0]?.aborted]).toEqual([1, true]);
  });
});

describe('body_too_large', () => {
  const error: OwnError = {
    status: 413,
    code: 'body_too_large',
    type: 'invalid_request_error',
    message: 'The request body is longer than 100 bytes, the limit of this proxy.',
  };

  test('is 413: JSON with a length', async () => {
    const scene = await startScene({ bodyLimit: 100 });
    expectOwnError(await chat(scene, { x: 'x'.repeat(100) }), error);
    expect(scene.venice.calls).toEqual([]);
  });

  test('is 413: JSON without a length', async () => {
    const scene = await startScene({ bodyLimit: 100 });
    const headers = { 'transfer-encoding': 'chunked', 'content-type': 'application/json' };
    expectOwnError(
      await send(`${scene.baseUrl}/embeddings`, { headers, body: 'x'.repeat(101) }),
      error,
    );
    expect(scene.venice.calls).toEqual([]);
  });

  test('is read by a client that is still sending', async () => {
    const scene = await startScene({ bodyLimit: 100 });
    const { statusLine } = await exchangeRaw(
      scene.origin,
      'POST /api/v1/embeddings HTTP/1.1\r\nHost: p\r\nContent-Type: application/json\r\n' +
        'Content-Length: 1000000\r\n\r\n{"model":',
    );
    expect(statusLine).toBe('HTTP/1.1 413 Payload Too Large');
  });
});

/** A middleware of the app that has read the body and left `body` in its place. */
function parserThatLeaves(body: unknown): (app: express.Express) => void {
  return (app) => {
    app.use((req, _res, next) => {
      req.on('end', () => {
        req.body = body;
        next();
      });
      req.resume();
    });
  };
}

describe.each(EXPRESSES)('in %s', (_name, express) => {
  test('internal_error is 500: what went wrong inside stays inside', async () => {
    const circular: Record<string, unknown> = { secret: 'inner secret' };
    circular['self'] = circular;
    const scene = await startScene({}, {}, { express, before: parserThatLeaves(circular) });
    const reply = await chat(scene);
    expectOwnError(reply, {
      status: 500,
      code: 'internal_error',
      type: 'server_error',
      message: 'The proxy failed; its log tells more.',
    });
    expect(reply.text).not.toMatch(/circular|secret/);
    expect(scene.venice.calls).toEqual([]);
  });

  test('body_consumed is 500: a parser left nothing to forward', async () => {
    const scene = await startScene({}, {}, { express, before: parserThatLeaves(undefined) });
    expectOwnError(await chat(scene), {
      status: 500,
      code: 'body_consumed',
      type: 'server_error',
      message: expect.stringMatching(/^A body parser in front of the proxy has read this request/),
    });
    expect(scene.venice.calls).toEqual([]);
  });

  test("an error of ours does not reach the app's error handler", async () => {
    const handled: unknown[] = [];
    const app = express();
    app.use('/api/v1', createVeniceProxy({ target: deserted(), retries: 0 }));
    const handler: express.ErrorRequestHandler = (error, _req, res, _next) => {
      handled.push(error);
      res.status(599).end();
    };
    app.use(handler);
    const running = await listen(app);
    closeAfterTest(() => running.close());
    expect((await send(`${running.origin}/api/v1/models`)).status).toBe(502);
    expect(handled).toEqual([]);
  });
});

describe('upstream_unreachable', () => {
  test.each([
    [0, '(1 attempt; no retries left.)'],
    [2, '(3 attempts; no retries left.)'],
  ])('is 502 and tells the attempts: %d retries', async (retries, told) => {
    const target = deserted();
    const front = await startFront({ target, retries });
    expectOwnError(await chat(front), {
      status: 502,
      code: 'upstream_unreachable',
      type: 'server_error',
      message: `No connection to ${new URL(target).host} could be made. ${told}`,
    });
    expect(front.recorder.attempts).toBe(retries + 1);
  });

  test('tells when it was the wait that would have passed maxWait', async () => {
    jest.spyOn(Math, 'random').mockReturnValue(1);
    const front = await startFront({ target: deserted(), baseRetryDelay: 7, maxWait: 6 });
    const reply = await chat(front);
    expect(reply.status).toBe(502);
    expect(reply.text).toMatch(/\(1 attempt; the next wait \(7 ms\) would pass maxWait\.\)/);
    expect(front.recorder.retries).toEqual([]);
  });
});

describe('upstream_disconnected', () => {
  test.each([
    [{ kind: 'reset', after: 'body' }, 'The upstream closed the connection before it answered.'],
    [{ kind: 'raw', bytes: '' }, 'The upstream closed the connection before it answered.'],
    [
      { kind: 'reset-after-head' },
      'The connection to the upstream broke in the middle of its answer.',
    ],
  ] satisfies [Fault, string][])('is 502: %j', async (fault, message) => {
    const scene = await startScene({ retries: 1 }, { onCall: () => fault });
    expectOwnError(await chat(scene), {
      status: 502,
      code: 'upstream_disconnected',
      type: 'server_error',
      message: `${message} (2 attempts; no retries left.)`,
    });
    expect(scene.venice.calls).toHaveLength(2);
  });

  test('tells why a billed call was not made again', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'reset', after: 'body' });
    expectOwnError(await send(`${scene.baseUrl}/image/generate`, { body: { n: 1 } }), {
      status: 502,
      code: 'upstream_disconnected',
      type: 'server_error',
      message: expect.stringMatching(
        /\(1 attempt; it is billed by the call and may have been done\.\)$/,
      ),
    });
    expect(scene.venice.calls).toHaveLength(1);
  });

  test('tells why an upload was not made again', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'reset', after: 'body' });
    const reply = await send(`${scene.baseUrl}/augment/text-parser`, {
      headers: { 'content-type': 'text/plain' },
      body: 'text',
    });
    expect(reply.text).toMatch(/\(1 attempt; its body streamed through and is gone\.\)/);
  });
});

describe('upstream_invalid', () => {
  test.each([
    ['SSH-2.0-OpenSSH\r\n\r\n', 'The upstream sent an answer that is not HTTP.'],
    ['HTTP/1.1 099 X\r\n\r\n', 'The upstream answered with the impossible status 99.'],
    ['HTTP/1.1 999 X\r\n\r\n', 'The upstream answered with the impossible status 999.'],
    [
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnothing\r\n',
      'The upstream sent an answer that is not HTTP.',
    ],
  ])('is 502: %j', async (bytes, message) => {
    const scene = await startScene({ retries: 1 }, { onCall: () => ({ kind: 'raw', bytes }) });
    expectOwnError(await chat(scene), {
      status: 502,
      code: 'upstream_invalid',
      type: 'server_error',
      message: `${message} (2 attempts; no retries left.)`,
    });
    expect(scene.venice.calls).toHaveLength(2);
  });

  test('is 502: embeddings that cannot be given as base64', async () => {
    const scene = await startScene(
      { retries: 1 },
      {
        onCall: () => ({
          kind: 'answer',
          status: 200,
          headers: { 'Content-Type': 'application/json' },
          body: '{"data":[{"embedding":[1,2',
        }),
      },
    );
    const body = { model: 'm', input: 'x', encoding_format: 'base64' };
    expectOwnError(await send(`${scene.baseUrl}/embeddings`, { body }), {
      status: 502,
      code: 'upstream_invalid',
      type: 'server_error',
      message: expect.stringMatching(
        /^The upstream sent embeddings that cannot be read\. \(2 attempts; /,
      ),
    });
    expect(scene.venice.calls).toHaveLength(2);
  });
});

test('upstream_timeout is 504', async () => {
  const scene = await startScene({ timeout: { firstByte: 60 } });
  scene.venice.script({ kind: 'answer', status: 500 }, { kind: 'silent' });
  expectOwnError(await chat(scene), {
    status: 504,
    code: 'upstream_timeout',
    type: 'server_error',
    message:
      'The upstream did not answer within 0.06 s. ' +
      '(2 attempts; the upstream may still be at work on it.)',
  });
  expect([scene.venice.calls.length, scene.recorder.delays.length]).toEqual([2, 1]);
});

test('draining is 503, closes the connection and says when to come back', async () => {
  const scene = await startScene();
  await scene.proxy.drain();
  const reply = await chat(scene);
  expectOwnError(reply, {
    status: 503,
    code: 'draining',
    type: 'server_error',
    message: 'This server is shutting down and takes no new requests.',
  });
  expect(reply.headers['connection']).toBe('close');
  expect(reply.headers['retry-after']).toBe('1');
  // Another server may take it at once: the SDK is not told to leave it at that.
  expect(reply.headers['x-should-retry']).toBeUndefined();
  expect(scene.venice.calls).toEqual([]);
});

const via = (hops: number): string =>
  Array.from({ length: hops }, (_, hop) => `1.1 venice-proxy-${hop}`).join(', ');

describe('loop_detected', () => {
  test.each(EXPRESSES)(
    'is 508: a target that leads to the proxy itself, %s',
    async (_name, express) => {
      const app = express();
      const running = await listen(app);
      closeAfterTest(() => running.close());
      const attempts: unknown[] = [];
      const target = `${running.origin}/api/v1`;
      const on = { attempt: (event: unknown) => void attempts.push(event) };
      app.use('/api/v1', createVeniceProxy({ target, on }));
      expectOwnError(await send(`${target}/chat/completions`, { body: CHAT }), {
        status: 508,
        code: 'loop_detected',
        type: 'invalid_request_error',
        message: expect.stringMatching(/^This request has come back to the proxy that sent it/),
      });
      expect(attempts).toHaveLength(1);
    },
  );

  test('is 508 at 10 hops of this kind', async () => {
    const scene = await startScene();
    const ask = (hops: number): Promise<Reply> =>
      send(`${scene.baseUrl}/models`, { headers: { via: via(hops) } });
    expect((await ask(9)).status).toBe(200);
    expect((await ask(10)).status).toBe(508);
    expect(scene.venice.calls).toHaveLength(1);
  });

  test('is not for two honest proxies in a row', async () => {
    const scene = await startScene();
    const outer = await startFront({ target: scene.baseUrl });
    const reply = await chat(outer);
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 1]);
    expect(scene.venice.calls[0]?.headers.via).toMatch(
      /^1\.1 venice-proxy-\w+, 1\.1 venice-proxy-\w+$/,
    );
  });
});

describe('a client that has gone', () => {
  test('gets no answer: its request just ends', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'silent' });
    const client = await dial(scene.origin);
    await client.write('GET /api/v1/models HTTP/1.1\r\nHost: p\r\n\r\n');
    const call = await scene.venice.arrived(1);
    client.reset();
    expect(await scene.recorder.ended()).toMatchObject({
      status: undefined,
      outcome: 'client_left',
      code: undefined,
      attempts: 1,
    });
    await call.over;
    expect(call.aborted).toBe(true);
  });

  test('ends a wait between two attempts at once', async () => {
    const scene = await startScene({ rateLimitWait: 60_000 });
    scene.venice.script({ kind: 'abuse-block' });
    const client = await dial(scene.origin);
    await client.write('GET /api/v1/models HTTP/1.1\r\nHost: p\r\n\r\n');
    await scene.recorder.retried(1);
    client.reset();
    const ended = await scene.recorder.ended();
    expect(ended).toMatchObject({ outcome: 'client_left', attempts: 1 });
    expect(ended.totalMs).toBeLessThan(30_000);
    expect([scene.venice.calls.length, scene.recorder.delays]).toEqual([1, [60_000]]);
  });
});
