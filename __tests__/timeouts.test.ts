import { once } from 'node:events';
import { describe, expect, test } from '@jest/globals';
import http, { Agent } from 'node:http';
import net from 'node:net';
import type { Socket } from 'node:net';
import type { Fault } from '../examples/stand-in-venice.ts';
import { chat, closeAfterTest, listenRaw, startFront, startScene } from './helpers/scene.ts';
import type { Front } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';
import { until } from './helpers/until.ts';
import { DONE } from './helpers/wire.ts';

/** A proxy to a name whose look-up never ends. */
async function frontOfNameless(
  connect: number,
  retries: number,
): Promise<Front & { agent: Agent }> {
  const agent = new Agent({ keepAlive: true, lookup: () => {} });
  const target = 'http://venice.test:80/api/v1';
  const front = await startFront({ target, agent, retries, timeout: { connect } });
  return { ...front, agent };
}

/** An agent of a kind that asks others for a connection, and gets none. */
class WaitingAgent extends Agent {
  override createConnection(): Socket {
    return undefined as unknown as Socket;
  }
}

describe('timeout.connect', () => {
  test('ends the wait for a connection, and the next attempt begins', async () => {
    const front = await frontOfNameless(80, 2);
    const reply = await chat(front);
    expect([reply.status, front.recorder.attempts]).toEqual([502, 3]);
    expect(JSON.parse(reply.text)).toEqual({
      error: {
        message:
          'No connection to venice.test could be made within 0.08 s. (3 attempts; no retries left.)',
        type: 'server_error',
        param: null,
        code: 'upstream_unreachable',
      },
    });
    expect(front.recorder.retries).toEqual([
      expect.objectContaining({ attempt: 1, status: undefined, reason: 'no answer' }),
      expect.objectContaining({ attempt: 2, status: undefined, reason: 'no answer' }),
    ]);
    expect([front.agent.sockets, front.agent.requests]).toMatchObject([{}, {}]);
  });

  test.each([
    ['POST', '/image/generate', 'application/json'],
    ['POST', '/x402/top-up', 'application/json'],
    ['DELETE', '/api_keys', 'application/json'],
    ['POST', '/audio/transcriptions', 'multipart/form-data; boundary=x'],
  ])('holds for every kind of request, each is tried again: %s %s', async (method, path, type) => {
    const front = await frontOfNameless(30, 1);
    const body = '{"model":"m"}';
    const headers = { 'content-type': type, 'content-length': body.length };
    const reply = await send(front.baseUrl + path, { method, headers, body });
    expect([reply.status, front.recorder.attempts]).toEqual([502, 2]);
    expect(reply.text).toMatch(/could be made within 0\.03 s/);
    expect(front.recorder.delays).toHaveLength(1);
  });

  test('includes the TLS handshake', async () => {
    const upstream = await listenRaw(() => {});
    const target = upstream.origin.replace('http:', 'https:');
    const front = await startFront({ target, retries: 1, timeout: { connect: 80 } });
    const reply = await chat(front);
    expect([reply.status, upstream.connections()]).toEqual([502, 2]);
    expect(reply.text).toMatch(/"upstream_unreachable"/);
    expect(reply.text).toMatch(/within 0\.08 s/);
  });

  test('includes the time in which an agent looks for a connection', async () => {
    const agent = new WaitingAgent({ keepAlive: true });
    const target = 'http://venice.test/api/v1';
    const front = await startFront({ target, agent, retries: 1, timeout: { connect: 50 } });
    const reply = await chat(front);
    expect([reply.status, front.recorder.attempts]).toEqual([502, 2]);
    expect(reply.text).toMatch(/within 0\.05 s/);
  });

  test('ends with the connection: it does not cut what comes then', async () => {
    const scene = await startScene({ timeout: { connect: 400 } });
    scene.venice.script({ kind: 'ok', latencyMs: 600 });
    const reply = await chat(scene);
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 1]);
  });
});

describe('timeout.firstByte', () => {
  test('answers silence before the head with 504, and the request is not sent again', async () => {
    const scene = await startScene({ timeout: { firstByte: 80 } });
    scene.venice.script({ kind: 'silent' });
    const reply = await chat(scene);
    expect([reply.status, scene.venice.calls.length]).toEqual([504, 1]);
    expect(JSON.parse(reply.text)).toMatchObject({
      error: {
        code: 'upstream_timeout',
        message:
          'The upstream did not answer within 0.08 s. ' +
          '(1 attempt; the upstream may still be at work on it.)',
      },
    });
    expect(reply.headers['x-should-retry']).toBe('false');
    expect(scene.recorder.retries).toEqual([]);
    await scene.venice.calls[0]?.over;
    expect(scene.venice.calls[0]?.aborted).toBe(true);
  });

  test.each(['GET', 'POST'])('holds for %s, whatever may be repeated', async (method) => {
    const scene = await startScene({ timeout: { firstByte: 50 } });
    scene.venice.script({ kind: 'silent' });
    const reply = await send(`${scene.baseUrl}/models`, { method });
    expect([reply.status, scene.venice.calls.length]).toEqual([504, 1]);
  });

  test('begins when the whole of an upload has gone out', async () => {
    const scene = await startScene({ timeout: { firstByte: 80 } });
    scene.venice.script({ kind: 'silent' });
    const reply = await send(`${scene.baseUrl}/audio/transcriptions`, {
      headers: { 'content-type': 'application/octet-stream' },
      body: Buffer.alloc(300_000),
    });
    expect([reply.status, scene.venice.calls.length]).toEqual([504, 1]);
    expect(scene.venice.calls[0]?.bodyBytes).toBe(300_000);
  });

  test('is not met by an interim answer', async () => {
    const scene = await startScene({ timeout: { firstByte: 100 } });
    scene.venice.script({
      kind: 'raw',
      bytes: 'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n',
      close: false,
    });
    const reply = await chat(scene);
    expect([reply.status, scene.venice.calls.length]).toEqual([504, 1]);
  });

  test('ends with the head: a body may take longer', async () => {
    const scene = await startScene({ timeout: { firstByte: 400 } });
    scene.venice.script({ kind: 'slow-body', chunkBytes: 60, delayMs: 150 });
    const reply = await chat(scene);
    expect([reply.status, reply.complete, scene.venice.calls.length]).toEqual([200, true, 1]);
    const { totalMs } = await scene.recorder.ended();
    expect(totalMs).toBeGreaterThan(400);
  });
});

describe('timeout.idle', () => {
  test.each([
    ['JSON', {}],
    ['events', { stream: true }],
  ])('answers silence between the head and the first byte with 504: %s', async (_name, changes) => {
    const scene = await startScene({ timeout: { idle: 80 } });
    scene.venice.script({ kind: 'head-then-silent' });
    const reply = await chat(scene, changes);
    expect([reply.status, scene.venice.calls.length]).toEqual([504, 1]);
    expect(JSON.parse(reply.text)).toMatchObject({
      error: {
        code: 'upstream_timeout',
        message:
          'The upstream fell silent for 0.08 s in the middle of its answer. ' +
          '(1 attempt; the upstream may still be at work on it.)',
      },
    });
    expect(scene.recorder.retries).toEqual([]);
    await scene.venice.calls[0]?.over;
    expect(scene.venice.calls[0]?.aborted).toBe(true);
  });

  test('answers silence within the first event with 504', async () => {
    const scene = await startScene({ timeout: { idle: 80 } });
    scene.venice.script({ kind: 'stall-stream', afterEvents: 0, midEvent: true });
    const reply = await chat(scene, { stream: true });
    expect([reply.status, scene.venice.calls.length]).toEqual([504, 1]);
  });

  test('ends a stream that falls silent with an error event and a broken connection', async () => {
    const scene = await startScene({ timeout: { idle: 120 } });
    scene.venice.script({ kind: 'stall-stream', afterEvents: 2 });
    const reply = await chat(scene, { stream: true });
    expect([reply.status, reply.complete, scene.venice.calls.length]).toEqual([200, false, 1]);
    expect(reply.text).toMatch(/\n\ndata: \{"error":\{.*"code":"upstream_timeout"\}\}\n\n$/);
    expect(await scene.recorder.ended()).toMatchObject({
      outcome: 'broken',
      code: 'upstream_timeout',
    });
  });

  const CALM = { idle: 800 };

  test.each([
    ['an event', 'data: {}\n\n'],
    ['a comment', ': thinking\n\n'],
    ['less than an event', 'd'],
  ])('does not cut a stream that is slow and lives: %s now and then', async (_name, piece) => {
    const scene = await startScene({ timeout: CALM });
    const chunks = ['data: 1\n\n', ...Array<string>(11).fill(piece), 'ata: 2\n\n', DONE];
    scene.venice.script({ kind: 'raw-stream', chunks, delayMs: 100 });
    const reply = await chat(scene, { stream: true });
    expect([reply.text, reply.complete, scene.venice.calls.length]).toEqual([
      chunks.join(''),
      true,
      1,
    ]);
    const { totalMs } = await scene.recorder.ended();
    expect(totalMs).toBeGreaterThan(CALM.idle);
  });

  test('ends an answer of which the client reads no more, and blames nobody else', async () => {
    const scene = await startScene({ timeout: { idle: 200 } });
    await readNothing(scene.origin);
    expect(await scene.recorder.ended()).toMatchObject({ outcome: 'client_left', code: undefined });
    await until(() => scene.venice.calls.every(({ aborted }) => aborted));
  });

  test('leaves an answer alone that the client reads slowly', async () => {
    const scene = await startScene({ timeout: { idle: 400 } });
    const socket = await readNothing(scene.origin);
    let bytes = 0;
    socket.on('data', (piece) => {
      bytes += piece.length;
      if (bytes % 10_000_000 > piece.length) return;
      socket.pause();
      setTimeout(() => socket.resume(), 200);
    });
    await new Promise((resolve) => {
      socket.once('end', resolve).resume();
    });
    expect(bytes).toBeGreaterThan(30_000_000);
    const { outcome, totalMs } = await scene.recorder.ended();
    expect(outcome).toBe('answered');
    expect(totalMs).toBeGreaterThan(400);
  });

  test('ends an upload of which the upstream reads no more', async () => {
    const scene = await startScene({ timeout: { idle: 120 } });
    scene.venice.script({ kind: 'stall-upload', afterBytes: 1_000 });
    const reply = await send(`${scene.baseUrl}/audio/transcriptions`, {
      headers: { 'content-type': 'application/octet-stream' },
      body: Buffer.alloc(20_000_000),
    });
    expect([reply.status, scene.venice.calls.length]).toEqual([504, 1]);
    expect(reply.text).toMatch(/The upstream stopped reading the request for 0\.12 s\./);
    expect(scene.recorder.retries).toEqual([]);
  });
});

describe('timeout as a number', () => {
  test.each([
    ['before the head', { kind: 'silent' }],
    ['behind the head', { kind: 'head-then-silent' }],
  ] satisfies [string, Fault][])('sets the patience with silence %s', async (_name, fault) => {
    const scene = await startScene({ timeout: 90 });
    scene.venice.script(fault);
    const reply = await chat(scene);
    expect([reply.status, scene.venice.calls.length]).toEqual([504, 1]);
    expect(reply.text).toMatch(/0\.09 s/);
  });

  test('sets the patience with connections', async () => {
    const agent = new Agent({ lookup: () => {} });
    const target = 'http://venice.test/api/v1';
    const front = await startFront({ target, agent, retries: 0, timeout: 70 });
    const reply = await chat(front);
    expect([reply.status, front.recorder.attempts]).toEqual([502, 1]);
    expect(reply.text).toMatch(/within 0\.07 s/);
  });
});

test('a client that stops in the middle of its JSON gets a 408 when it was silent for too long', async () => {
  const scene = await startScene({ timeout: { idle: 200 } });
  const request = http.request(`${scene.baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-length': 100 },
  });
  request.on('error', () => {});
  request.write('{');
  const [response] = await once(request, 'response');
  expect(response.statusCode).toBe(408);
  response.resume();
  expect(await scene.recorder.ended()).toMatchObject({
    outcome: 'refused',
    code: 'request_timeout',
  });
  expect(scene.venice.calls).toHaveLength(0);
  request.destroy();
});

/** Asks for 30 MB, and leaves them to the buffers on the way. */
async function readNothing(origin: string): Promise<net.Socket> {
  const { port } = new URL(origin);
  const socket = net.connect(Number(port), '127.0.0.1');
  closeAfterTest(() => socket.destroy());
  socket.write('GET /api/v1/stand-in/bytes?n=30000000 HTTP/1.1\r\nHost: p\r\n');
  socket.write('Connection: close\r\n\r\n');
  await new Promise((resolve) => {
    socket.once('readable', resolve);
  });
  return socket;
}
