import { createServer, request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import express from 'express';
import type { Response } from 'express';
import { createServerApp } from '../examples/server/app.ts';
import { Connections } from '../examples/server/connections.ts';
import { createHttpServer } from '../examples/server/http-server.ts';
import { startServer } from '../examples/server/start-server.ts';
import { VERSION } from '../lib/version.ts';
import { listen, send } from './helpers/serve.ts';
import { CHAT, startTestServer } from './helpers/start-test-server.ts';
import { until } from './helpers/until.ts';

/** Everything that a raw connection brings, when it is closed. */
function received(socket: Socket): Promise<string> {
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  return new Promise((resolve) => {
    socket.on('close', () => resolve(text)).on('error', () => {});
  });
}

function rawChat(stream: boolean, words: number): string {
  const body = JSON.stringify({ ...CHAT, stream, x_words: words });
  return (
    'POST /api/v1/chat/completions HTTP/1.1\r\nHost: proxy.test\r\nAuthorization: Bearer k\r\n' +
    `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  );
}

describe('what is served', () => {
  test('the API is under the prefix, byte for byte', async () => {
    const { origin, url, standIn } = await startTestServer();
    expect(url).toBe(`${origin}/api/v1`);
    const body = '{"model":"m","messages":[{"role":"user","content":"hi"}],"n":1.0}';
    const headers = { 'content-type': 'application/json' };
    const reply = await send(`${url}/chat/completions?a=%20b`, { body, headers });
    expect(reply.status).toBe(200);
    expect(reply.headers['x-powered-by']).toBeUndefined();
    expect(reply.headers['x-venice-proxy-attempts']).toBe('1');
    expect(standIn.calls[0]?.url).toBe('/api/v1/chat/completions?a=%20b');
    expect(standIn.calls[0]?.body.toString()).toBe(body);
  });

  test.each([
    ['/', ''],
    ['/v1', '/v1'],
    ['/venice/api/', '/venice/api'],
  ])('PROXY_PATH_PREFIX=%s moves it', async (prefix, path) => {
    const { url, origin, standIn } = await startTestServer({ PROXY_PATH_PREFIX: prefix });
    expect(url).toBe(origin + path);
    expect((await send(`${url}/models`)).status).toBe(200);
    expect(standIn.calls[0]?.url).toBe('/api/v1/models');
    expect((await send(`${origin}/health`)).text).toContain('"status":"healthy"');
  });

  test('a failing upstream is asked again', async () => {
    const { url, standIn } = await startTestServer({ MAX_RETRIES: '1' });
    standIn.script({ kind: 'answer', status: 503 });
    const reply = await send(`${url}/chat/completions`, { body: CHAT });
    expect(reply.status).toBe(200);
    expect(reply.headers['x-venice-proxy-attempts']).toBe('2');
  });

  test.each([
    ['POST', '/'],
    ['GET', '/v10/models'],
    ['POST', '/chat/completions'],
    ['POST', '/health'],
    ['GET', '/health/more'],
    ['GET', '/%E0%A4%A'],
    ['OPTIONS', '/elsewhere'],
  ])('%s %s is a 404 in JSON that names the prefix', async (method, path) => {
    const { origin, standIn } = await startTestServer();
    const reply = await send(origin + path, { method });
    expect(reply.status).toBe(404);
    expect(reply.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(reply.headers['x-powered-by']).toBeUndefined();
    expect(JSON.parse(reply.text)).toEqual({
      error: {
        message: expect.stringContaining('the API is under /api/v1'),
        type: 'invalid_request_error',
        param: null,
        code: 'not_found',
      },
    });
    expect(standIn.calls).toHaveLength(0);
  });

  test('broken JSON, a broken path, a broken upstream: never a page', async () => {
    const { url, standIn } = await startTestServer({ MAX_RETRIES: '0' });
    const headers = { 'content-type': 'application/json' };
    const broken = await send(`${url}/chat/completions`, { body: '{"model":', headers });
    expect(broken.status).toBe(400);
    const outside = await send(`${url}/models%2fsecrets`);
    expect(outside.status).toBe(400);
    standIn.script({ kind: 'raw', bytes: 'no HTTP\r\n\r\n' });
    const failed = await send(`${url}/models`);
    expect(failed.status).toBe(502);
    for (const reply of [broken, outside, failed]) {
      expect(reply.headers['content-type']).toMatch(/^application\/json/);
      expect(reply.text).not.toContain('<');
      expect(JSON.parse(reply.text)).toHaveProperty('error');
    }
  });

  test('what fails outside the proxy is a 500 in JSON without a stack', async () => {
    const settings = {
      pathPrefix: '/api/v1',
      entryKeys: [],
      corsOrigins: [],
      guardsLentKey: false,
      statusAccess: 'nobody' as const,
      hasMetrics: false,
    };
    const { app } = createServerApp(settings, {});
    const { json } = app.response;
    let isFirst = true;
    Object.assign(app.response, {
      json(this: Response, body: unknown) {
        if (!isFirst) return json.call(this, body);
        isFirst = false;
        throw new Error('secret detail');
      },
    });
    const running = await listen(app);
    const reply = await send(`${running.origin}/health`);
    await running.close();
    expect(reply.status).toBe(500);
    expect(JSON.parse(reply.text)).toEqual({
      error: {
        message: 'The server failed; its log tells more.',
        type: 'server_error',
        param: null,
        code: 'internal_error',
      },
    });
  });

  test('/health tells of the process and never waits for a target that is dead', async () => {
    const { origin, url, standIn } = await startTestServer({ MAX_RETRIES: '0' });
    await standIn.close();
    expect((await send(`${url}/models`)).status).toBe(502);
    const reply = await send(`${origin}/health`);
    expect(reply.status).toBe(200);
    expect(JSON.parse(reply.text)).toMatchObject({
      status: 'healthy',
      target: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/api\/v1$/),
      version: VERSION,
      inFlight: 0,
    });
    expect((await send(`${origin}/ready`)).status).toBe(503);
  });
});

describe('the http server', () => {
  test('requests and answers are born with the prototypes that Express wants', async () => {
    const app = express();
    const seen: boolean[] = [];
    app.use((req, res) => {
      seen.push(
        Object.getPrototypeOf(req) === app.request && Object.getPrototypeOf(res) === app.response,
      );
      res.json({ ip: typeof req.ip, app: req.app === app && res.app === app });
    });
    const server = createHttpServer(app, { headersTimeoutMs: 60_000, requestTimeoutMs: 1_800_000 });
    // Before Express has touched them.
    server.prependListener('request', (req, res) => {
      seen.push(
        Object.getPrototypeOf(req) === app.request && Object.getPrototypeOf(res) === app.response,
      );
    });
    server.listen(0, '127.0.0.1');
    await until(() => server.listening);
    const reply = await send(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    server.close();
    expect(JSON.parse(reply.text)).toEqual({ ip: 'string', app: true });
    expect(seen).toEqual([true, true]);
  });

  test('it keeps connections longer than load balancers do', async () => {
    const { server } = await startTestServer();
    expect(server.keepAliveTimeout).toBeGreaterThan(60_000);
    expect(server.headersTimeout).toBe(60_000);
    expect(server.requestTimeout).toBe(1_800_000);
  });
});

describe('close()', () => {
  test('a stream goes on to its end, no new connection is taken', async () => {
    const server = await startTestServer({ SHUTDOWN_GRACE: '5' }, { tokenDelayMs: 20 });
    const streaming = send(`${server.url}/chat/completions`, {
      body: { ...CHAT, stream: true, x_words: 20 },
    });
    await until(() => server.proxy.inFlight === 1 && server.standIn.calls[0]?.status === 200);
    const closed = server.close();
    await expect(send(`${server.url}/models`)).rejects.toThrow('ECONNREFUSED');
    const reply = await streaming;
    expect(reply.complete).toBe(true);
    expect(reply.text).toContain('data: [DONE]');
    await closed;
    expect(server.proxy.inFlight).toBe(0);
  });

  test('a new request on a kept connection gets 503 and the connection closes', async () => {
    const server = await startTestServer({ SHUTDOWN_GRACE: '5' }, { tokenDelayMs: 10 });
    const socket = connect(server.port, '127.0.0.1');
    const all = received(socket);
    socket.write(rawChat(true, 20));
    await until(() => server.standIn.calls[0]?.status === 200);
    const closed = server.close();
    socket.write(rawChat(false, 1));
    const text = await all;
    await closed;
    expect(text).toContain('data: [DONE]');
    const second = text.slice(text.lastIndexOf('HTTP/1.1 '));
    expect(second).toMatch(/^HTTP\/1\.1 503 /);
    expect(second).toMatch(/\r\nconnection: close\r\n/i);
    expect(second).toContain('"code":"draining"');
    expect(server.standIn.calls).toHaveLength(1);
  });

  test('idle connections do not hold it up', async () => {
    const server = await startTestServer({ SHUTDOWN_GRACE: '30' });
    const unused = connect(server.port, '127.0.0.1');
    const used = connect(server.port, '127.0.0.1');
    const all = [received(unused), received(used)];
    used.write(rawChat(false, 1));
    await until(() => server.proxy.lastHeard !== undefined && server.proxy.inFlight === 0);
    const begunAt = performance.now();
    await server.close();
    expect(performance.now() - begunAt).toBeLessThan(1_000);
    expect((await Promise.all(all))[1]).toContain('HTTP/1.1 200 OK');
  });

  test('what is open after the grace is destroyed, and the upstream call with it', async () => {
    const server = await startTestServer({ SHUTDOWN_GRACE: '0.1' });
    server.standIn.script({ kind: 'stall-stream', afterEvents: 2 });
    const streaming = send(`${server.url}/chat/completions`, { body: { ...CHAT, stream: true } });
    await until(() => server.standIn.calls[0]?.status === 200);
    await server.close();
    expect((await streaming).complete).toBe(false);
    await server.standIn.calls[0]?.over;
    expect(server.standIn.calls[0]?.aborted).toBe(true);
  });

  test('it can be called twice', async () => {
    const server = await startTestServer();
    await expect(Promise.all([server.close(), server.close()])).resolves.toHaveLength(2);
  });

  test('an answer that is written but not yet read is not cut short', async () => {
    const size = 20_000_000;
    const server = createServer((_req, res) => res.end(Buffer.alloc(size)));
    const connections = new Connections(server);
    server.listen(0, '127.0.0.1');
    await until(() => server.listening);
    const response = await new Promise<IncomingMessage>((resolve) => {
      const { port } = server.address() as AddressInfo;
      request({ host: '127.0.0.1', port }, resolve).end();
    });
    response.pause();
    await sleep(50);
    const closed = connections.close(5_000);
    await sleep(50);
    let bytes = 0;
    for await (const chunk of response) bytes += (chunk as Buffer).length;
    await closed;
    expect(bytes).toBe(size);
  });
});

describe('startServer refuses', () => {
  const rows: readonly (readonly [Record<string, string>, RegExp])[] = [
    [{ TIMEOUT: 'soon' }, /^Expected `TIMEOUT` to be seconds/],
    [{ PORT: 'abc' }, /^Expected `PORT` to be/],
    [{ VENICE_API_KEY: 'key', HOST: '0.0.0.0' }, /^VENICE_API_KEY without PROXY_API_KEYS/],
    [{ HOST: '192.0.2.1' }, /^Cannot listen on 192\.0\.2\.1:0: this machine does not have/],
  ];
  test.each(rows)('%j with one line', async (env, message) => {
    const quiet = { PORT: '0', HOST: '127.0.0.1', DEBUG: '-venice-proxy:*' };
    const start = startServer({ ...quiet, ...env }, false);
    await expect(start).rejects.toThrow(message);
    await expect(start).rejects.not.toThrow(/\n/);
  });

  test('a port that is in use', async () => {
    const { port } = await startTestServer();
    const env = { HOST: '127.0.0.1', PORT: String(port), DEBUG: '-venice-proxy:*' };
    await expect(startServer(env, false)).rejects.toThrow(
      `Cannot listen on 127.0.0.1:${port}: the port is in use; PORT takes another one`,
    );
  });
});
