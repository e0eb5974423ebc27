import { describe, expect, test } from '@jest/globals';
import express5 from 'express';
import http, { Agent } from 'node:http';
import { once } from 'node:events';
import type { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from '../examples/stand-in-venice.ts';
import { createHealthCheck, createVeniceProxy } from '../lib/index.ts';
import type { VeniceProxy } from '../lib/index.ts';
import {
  CHAT,
  Recorder,
  chat,
  closeAfterTest,
  deserted,
  listenRaw,
  startFront,
  startScene,
} from './helpers/scene.ts';
import { EXPRESSES, listen, send, startProxy } from './helpers/serve.ts';
import { until } from './helpers/until.ts';
import { dial } from './helpers/wire.ts';

describe('the router', () => {
  test('calls nobody by itself', async () => {
    const upstream = await listenRaw(() => {});
    const front = await startFront({ target: upstream.origin });
    createVeniceProxy({ target: upstream.origin, apiKey: 'k' });
    await sleep(300);
    expect(upstream.connections()).toBe(0);
    expect(front.proxy.lastHeard).toBeUndefined();
    expect(front.recorder.seen).toEqual([]);
  });

  test('calls nobody for a request that it refuses, or for its health', async () => {
    const upstream = await listenRaw(() => {});
    let proxy: VeniceProxy | undefined;
    const front = await startFront(
      { target: upstream.origin, bodyLimit: 10 },
      {
        before: (app) =>
          app.get('/health', (req, res, next) => {
            if (proxy !== undefined) createHealthCheck(proxy)(req, res, next);
          }),
      },
    );
    ({ proxy } = front);
    expect((await send(`${front.origin}/health`)).status).toBe(200);
    expect((await send(`${front.baseUrl}/a%2fb`)).status).toBe(400);
    expect((await send(`${front.baseUrl}/models`, { method: 'TRACE' })).status).toBe(405);
    expect((await chat(front)).status).toBe(413);
    await front.proxy.drain();
    expect((await chat(front)).status).toBe(503);
    expect(upstream.connections()).toBe(0);
  });

  test('tells its target', async () => {
    expect(createVeniceProxy().target).toBe('https://api.venice.ai/api/v1');
    const scene = await startScene();
    expect(scene.proxy.target).toBe(scene.target);
  });

  test('cannot be told what to say of itself', () => {
    const proxy = createVeniceProxy();
    const names = ['target', 'inFlight', 'lastHeard', 'draining', 'requests', 'buckets', 'drain'];
    for (const name of names) {
      expect(Reflect.set(proxy, name, 'something else')).toBe(false);
    }
    expect([proxy.inFlight, proxy.draining]).toEqual([0, false]);
  });
});

describe('inFlight', () => {
  test('counts a request from its arrival to the end of its answer', async () => {
    const scene = await startScene();
    expect(scene.proxy.inFlight).toBe(0);
    scene.venice.script({ kind: 'silent' }, { kind: 'stall-stream', afterEvents: 1 });
    const leaving = new AbortController();
    const { signal } = leaving;
    const silent = fetch(`${scene.baseUrl}/models`, { signal });
    await scene.venice.arrived(1);
    expect(scene.proxy.inFlight).toBe(1);
    const headers = { 'content-type': 'application/json', authorization: 'Bearer k' };
    const body = JSON.stringify({ ...CHAT, stream: true });
    const url = `${scene.baseUrl}/chat/completions`;
    await fetch(url, { signal, method: 'POST', headers, body });
    // Its head and its first event are here, and it goes on.
    expect(scene.proxy.inFlight).toBe(2);
    leaving.abort();
    await expect(silent).rejects.toThrow('abort');
    await scene.recorder.ended(2);
    expect(scene.proxy.inFlight).toBe(0);
  });

  test('counts a request that waits for its next attempt', async () => {
    const scene = await startScene({ rateLimitWait: 60_000 });
    scene.venice.script({ kind: 'abuse-block' });
    const leaving = new AbortController();
    const waiting = fetch(`${scene.baseUrl}/models`, { signal: leaving.signal });
    await scene.recorder.retried(1);
    expect(scene.proxy.inFlight).toBe(1);
    leaving.abort();
    await expect(waiting).rejects.toThrow('abort');
    await scene.recorder.ended();
    expect(scene.proxy.inFlight).toBe(0);
  });

  test.each(EXPRESSES)('comes back to 0 after whatever happens: %s', async (_name, express) => {
    const scene = await startScene({ retries: 1, bodyLimit: 1_000 }, {}, { express });
    const faults: Fault[] = [
      { kind: 'ok' },
      { kind: 'answer', status: 404 },
      { kind: 'answer', status: 504 },
      { kind: 'cut-stream', afterEvents: 2, midEvent: true },
      { kind: 'cut-body', bytes: 20 },
    ];
    for (const fault of faults) {
      scene.venice.script(fault);
      // oxlint-disable-next-line no-await-in-loop -- each has its own fault
      await chat(scene, { stream: fault.kind === 'cut-stream' });
    }
    scene.venice.script({ kind: 'reset', after: 'head' }, { kind: 'reset', after: 'head' });
    await chat(scene);
    await chat(scene, { x: 'x'.repeat(1_000) });
    await send(`${scene.baseUrl}/a%2fb`);
    await scene.recorder.ended(faults.length + 3);
    expect(scene.proxy.inFlight).toBe(0);
  });
});

describe('lastHeard', () => {
  test('is what came last from the target, whatever its status, and when', async () => {
    const scene = await startScene();
    expect(scene.proxy.lastHeard).toBeUndefined();
    const before = Date.now();
    await chat(scene);
    expect(scene.proxy.lastHeard).toEqual({ at: expect.any(Date), status: 200 });
    const at = scene.proxy.lastHeard?.at.getTime() ?? 0;
    expect(at).toBeGreaterThanOrEqual(before);
    expect(at).toBeLessThanOrEqual(Date.now());
    scene.venice.script({ kind: 'answer', status: 402 });
    await chat(scene);
    expect(scene.proxy.lastHeard?.status).toBe(402);
    scene.venice.script({ kind: 'answer', status: 503 }, { kind: 'reset', after: 'body' });
    await send(`${scene.baseUrl}/image/generate`, { body: { n: 1 } });
    expect(scene.proxy.lastHeard?.status).toBe(503);
  });

  test('is not an error of our own', async () => {
    const front = await startFront({ target: deserted(), retries: 0 });
    await chat(front);
    expect(front.proxy.lastHeard).toBeUndefined();
  });
});

describe('drain()', () => {
  test('resolves at once when nothing is in flight', async () => {
    const scene = await startScene();
    expect(scene.proxy.draining).toBe(false);
    await scene.proxy.drain();
    expect(scene.proxy.draining).toBe(true);
    expect((await chat(scene)).status).toBe(503);
    // Neither is it undone, nor does it wait for what was refused.
    await scene.proxy.drain();
    expect(scene.proxy.draining).toBe(true);
  });

  test('lets what is in flight end, and resolves then', async () => {
    const scene = await startScene();
    const stream = chat(scene, { stream: true, x_words: 40 });
    scene.venice.configure({ tokenDelayMs: 5 });
    await scene.venice.arrived(1);
    let isDrained = false;
    const drained = scene.proxy.drain().finally(() => {
      isDrained = true;
    });
    const refused = await chat(scene);
    expect([refused.status, isDrained]).toEqual([503, false]);
    const reply = await stream;
    expect([reply.status, reply.complete]).toEqual([200, true]);
    expect(reply.text).toMatch(/\[DONE\]\n\n$/);
    await drained;
    expect(scene.proxy.inFlight).toBe(0);
    expect(scene.venice.calls).toHaveLength(1);
  });

  test('lets a request that waits for its next attempt have it', async () => {
    const scene = await startScene({ rateLimitWait: 100 });
    scene.venice.script({ kind: 'abuse-block' });
    const waiting = chat(scene);
    await scene.recorder.retried(1);
    await Promise.all([scene.proxy.drain(), scene.proxy.drain()]);
    expect((await waiting).status).toBe(200);
    expect([scene.venice.calls.length, scene.recorder.delays]).toEqual([2, [100]]);
  });

  test('breaks off a stream that outlives the grace, with an error event', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'stall-stream', afterEvents: 2 });
    const stream = chat(scene, { stream: true });
    await scene.venice.arrived(1);
    await until(() => scene.proxy.lastHeard !== undefined);
    await scene.proxy.drain(50);
    const reply = await stream;
    expect([reply.status, reply.complete]).toEqual([200, false]);
    expect(reply.text).toMatch(/\n\ndata: \{"error":\{.*"code":"draining"\}\}\n\n$/);
    expect(await scene.recorder.ended()).toMatchObject({ outcome: 'broken', code: 'draining' });
    await scene.venice.calls[0]?.over;
    expect(scene.venice.calls[0]?.aborted).toBe(true);
  });

  test.each([
    ['waits for its answer', { kind: 'silent' }],
    ['waits for its next attempt', { kind: 'abuse-block' }],
  ] satisfies [string, Fault][])(
    'answers a request that still %s after the grace with 503',
    async (_what, fault) => {
      const scene = await startScene({ rateLimitWait: 60_000 });
      scene.venice.script(fault);
      const waiting = chat(scene);
      await scene.venice.arrived(1);
      if (fault.kind === 'abuse-block') await scene.recorder.retried(1);
      await scene.proxy.drain(50);
      const reply = await waiting;
      expect(reply.status).toBe(503);
      expect(JSON.parse(reply.text)).toMatchObject({ error: { code: 'draining' } });
      expect(scene.venice.calls).toHaveLength(1);
      expect(scene.proxy.inFlight).toBe(0);
    },
  );

  test('answers a client that still sends its body after the grace with 503', async () => {
    const scene = await startScene();
    const request = http.request(`${scene.baseUrl}/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-length': 100 },
    });
    request.write('{');
    await until(() => scene.proxy.inFlight === 1);
    const drained = scene.proxy.drain(50);
    const [response] = await once(request, 'response');
    expect(response.statusCode).toBe(503);
    response.resume();
    await drained;
    request.destroy();
  });

  test('of one router leaves another alone', async () => {
    const scene = await startScene();
    const other = await startFront({ target: scene.target });
    await scene.proxy.drain();
    expect((await chat(other)).status).toBe(200);
    expect(other.proxy.draining).toBe(false);
  });
});

describe('createHealthCheck', () => {
  test.each(EXPRESSES)(
    'tells what the proxy knows, and asks nobody: %s',
    async (_name, express) => {
      const scene = await startScene();
      const proxy = createVeniceProxy({ target: scene.target, retries: 0 });
      const app = express();
      app.get('/health', createHealthCheck(proxy));
      app.use('/api/v1', proxy);
      const running = await listen(app);
      closeAfterTest(() => running.close());

      const first = await send(`${running.origin}/health`);
      expect(first.status).toBe(200);
      expect(first.headers['content-type']).toMatch(/^application\/json/);
      expect(first.headers['cache-control']).toBe('no-store');
      expect(JSON.parse(first.text)).toEqual({
        status: 'healthy',
        target: scene.target,
        version: expect.stringMatching(/^\d+\.\d+\.\d+/),
        uptime: expect.any(Number),
        inFlight: 0,
        draining: false,
      });
      expect(scene.venice.calls).toEqual([]);

      scene.venice.script({ kind: 'answer', status: 429 });
      await send(`${running.origin}/api/v1/image/generate`, { body: { model: 'm' } });
      const second: unknown = JSON.parse((await send(`${running.origin}/health`)).text);
      expect(second).toMatchObject({ lastHeard: { status: expect.any(Number) } });
      expect(second).toMatchObject({ lastHeard: { at: proxy.lastHeard?.at.toISOString() } });
    },
  );

  test('answers while the upstream is silent, and while draining', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'silent' });
    const app = express5();
    app.get('/health', createHealthCheck(scene.proxy));
    const running = await listen(app);
    closeAfterTest(() => running.close());
    const leaving = new AbortController();
    const silent = fetch(`${scene.baseUrl}/models`, { signal: leaving.signal });
    await scene.venice.arrived(1);
    void scene.proxy.drain();
    const reply = await send(`${running.origin}/health`);
    expect(reply.status).toBe(200);
    expect(JSON.parse(reply.text)).toMatchObject({
      status: 'healthy',
      inFlight: 1,
      draining: true,
    });
    leaving.abort();
    await expect(silent).rejects.toThrow('abort');
  });
});

/** How many listeners an emitter has in all. */
function listenersOf(emitter: EventEmitter): number {
  let count = 0;
  for (const name of emitter.eventNames()) count += emitter.listenerCount(name);
  return count;
}

/** One GET over a connection that the agent keeps. */
function onKept(agent: Agent, url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent }, (response) => {
      response.on('close', resolve).resume();
    });
    request.on('error', reject);
  });
}

/** The listeners on each connection that an agent keeps. */
function listenersOnKept(agent: Agent): number[] {
  return Object.values(agent.freeSockets).flatMap((sockets) => sockets?.map(listenersOf) ?? []);
}

const timers = (): number =>
  process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

/** Whatever can go wrong with a request whose answer is not committed. */
const FAILING: readonly Fault[] = [
  { kind: 'answer', status: 500, body: 'no' },
  { kind: 'answer', status: 429, body: 'no', headers: { 'Retry-After': '0' } },
  { kind: 'reset', after: 'head' },
  { kind: 'answer', status: 503, body: 'n'.repeat(100_000) },
  { kind: 'reset', after: 'body' },
  { kind: 'raw', bytes: 'garbage\r\n\r\n' },
  { kind: 'raw', bytes: 'HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n' },
  { kind: 'reset-after-head' },
  { kind: 'cut-body', bytes: 0 },
];

describe('nothing is left', () => {
  test('on the request, the answer and the connection of a client, however many attempts', async () => {
    const counts: number[][] = [];
    let met: readonly EventEmitter[] = [];
    const scene = await startScene();
    const running = await startProxy(
      {
        target: scene.target,
        retries: 3 * FAILING.length,
        baseRetryDelay: 0,
        on: { attempt: () => void counts.push(met.map(listenersOf)) },
      },
      {
        before: (app) =>
          app.use((req, res, next) => {
            met = [req, res, req.socket];
            next();
          }),
      },
    );
    closeAfterTest(() => running.close());
    scene.venice.script(...FAILING, ...FAILING, ...FAILING);
    const reply = await chat(running);
    expect(reply.status).toBe(200);
    // The last is the one that succeeds; a stale connection that was replaced is no attempt.
    expect(counts.length).toBeGreaterThan(2 * FAILING.length);
    expect(counts[0]).toHaveLength(3);
    expect(counts).toEqual(Array(counts.length).fill(counts[0]));
  });

  test('after many requests that failed: no listener, no timer, no connection more', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    closeAfterTest(() => process.off('warning', onWarning));

    const upstreamAgent = new Agent({ keepAlive: true });
    const clientAgent = new Agent({ keepAlive: true, maxSockets: 1 });
    closeAfterTest(() => clientAgent.destroy());
    closeAfterTest(() => upstreamAgent.destroy());
    const onClientSockets: number[] = [];
    const scene = await startScene(
      { retries: 1, agent: upstreamAgent, timeout: 60_000, rateLimit: false },
      { abuse: false, requests: { limit: 1_000, windowMs: 60_000 } },
      {
        before: (app) =>
          app.use((req, _res, next) => {
            onClientSockets.push(listenersOf(req.socket));
            next();
          }),
      },
    );
    const round = async (): Promise<void> => {
      for (const fault of FAILING) {
        scene.venice.script(fault, fault);
        // oxlint-disable-next-line no-await-in-loop -- each has its own fault
        await onKept(clientAgent, `${scene.baseUrl}/models`);
        scene.venice.script({ kind: 'ok' });
        // oxlint-disable-next-line no-await-in-loop
        await onKept(clientAgent, `${scene.baseUrl}/models`);
      }
    };
    await round();
    await scene.recorder.ended(2 * FAILING.length);
    const timersBefore = timers();
    const listenersBefore = listenersOnKept(upstreamAgent);
    for (let rounds = 0; rounds < 4; rounds += 1) {
      // oxlint-disable-next-line no-await-in-loop
      await round();
    }
    await scene.recorder.ended(10 * FAILING.length);

    expect(listenersOnKept(upstreamAgent)).toEqual(listenersBefore);
    expect(listenersBefore).toHaveLength(1);
    await until(() => scene.venice.openSockets === 1);
    await until(() => timers() <= timersBefore);
    expect(new Set(onClientSockets)).toEqual(new Set([onClientSockets[0]]));
    expect(onClientSockets).toHaveLength(10 * FAILING.length);
    expect(warnings).toEqual([]);
    expect(scene.proxy.inFlight).toBe(0);
  });

  test('of a client that leaves while its request waits: no timer', async () => {
    const scene = await startScene({ rateLimitWait: 60_000 });
    const client = await dial(scene.origin);
    const timersBefore = timers();
    scene.venice.script({ kind: 'abuse-block' });
    await client.write('GET /api/v1/models HTTP/1.1\r\nHost: p\r\n\r\n');
    await scene.recorder.held(1);
    expect(timers()).toBeGreaterThan(timersBefore);
    client.reset();
    await scene.recorder.ended();
    await until(() => timers() <= timersBefore);
  });
});

describe('connections to the upstream', () => {
  test('are as many as there are requests at a time, and are used again', async () => {
    // Of an unknown model the gate would let a few through first.
    const scene = await startScene({ rateLimit: false }, { latencyMs: 50 });
    const ten = (): Promise<unknown> => Promise.all(Array.from({ length: 10 }, () => chat(scene)));
    await ten();
    expect(scene.venice.connections).toBe(10);
    await ten();
    await ten();
    expect(scene.venice.connections).toBe(10);
    expect(scene.venice.calls).toHaveLength(30);
  });

  test('are not limited: 300 streams run beside each other', async () => {
    const scene = await startScene(
      { rateLimit: false },
      { requests: { limit: 1_000, windowMs: 60_000 } },
    );
    const stalled = Array.from({ length: 300 }, (): Fault => ({ kind: 'silent' }));
    scene.venice.script(...stalled);
    const leaving = new AbortController();
    const ended = Array.from({ length: 300 }, () =>
      fetch(`${scene.baseUrl}/models`, { signal: leaving.signal }).catch(() => 'left'),
    );
    await scene.venice.arrived(300);
    expect(scene.proxy.inFlight).toBe(300);
    expect((await chat(scene)).status).toBe(200);
    leaving.abort();
    expect(await Promise.all(ended)).toEqual(Array(300).fill('left'));
    await scene.recorder.ended(301);
    expect(scene.proxy.inFlight).toBe(0);
  });
});

test('two recorded proxies do not hear of each other', async () => {
  const scene = await startScene();
  const other = new Recorder();
  const running = await startProxy({ target: scene.target, on: other.hooks });
  closeAfterTest(() => running.close());
  await chat(scene);
  await scene.recorder.ended();
  expect(other.seen).toEqual([]);
});

test.each([200, 503])(
  'an upstream call ends when somebody else has answered the client: %i',
  async (status) => {
    const scene = await startScene(
      {},
      {},
      {
        before: (app) =>
          app.use((_req, res, next) => {
            setTimeout(() => res.status(status).end('too late'), 50);
            next();
          }),
      },
    );
    scene.venice.script({ kind: 'silent' });
    const reply = await chat(scene);
    expect([reply.status, reply.text]).toEqual([status, 'too late']);
    await scene.venice.calls[0]?.over;
    expect(scene.venice.calls[0]?.aborted).toBe(true);
    expect(scene.proxy.inFlight).toBe(0);
  },
);
