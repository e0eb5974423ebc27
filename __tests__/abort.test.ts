import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import type { Fault, RecordedCall } from '../examples/stand-in-venice.ts';
import { CHAT, chat, startFront, startScene } from './helpers/scene.ts';
import type { Front, Scene } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';
import { seeded } from './helpers/seeded.ts';
import { until } from './helpers/until.ts';
import { chunk, dial, get, isWhole, meet, standsStill } from './helpers/wire.ts';
import type { Line } from './helpers/wire.ts';

const LEAVES = ['fin', 'reset'] as const;
type Leave = (typeof LEAVES)[number];

const MIB = 1024 * 1024;

function leave(client: Line, how: Leave): void {
  if (how === 'reset') client.reset();
  else client.socket.destroy();
}

function head(path: string, ...headers: string[]): string {
  const lines = [`POST /api/v1${path} HTTP/1.1`, 'Host: proxy', 'Authorization: Bearer test-key'];
  return [...lines, ...headers, '', ''].join('\r\n');
}

function post(path: string, body: object): string {
  const bytes = JSON.stringify(body);
  const length = `Content-Length: ${Buffer.byteLength(bytes)}`;
  return head(path, 'Content-Type: application/json', length) + bytes;
}

const UPLOAD = head(
  '/audio/transcriptions',
  'Content-Type: multipart/form-data; boundary=x',
  'Transfer-Encoding: chunked',
);

/** Timers that keep the process alive. */
function timers(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
}

/** Sends a request and goes when `when` says so; tells what must hold whenever a client leaves. */
async function leaveDuring(
  front: Front,
  request: string | Buffer,
  when: (client: Line) => Promise<unknown>,
  how: Leave,
): Promise<void> {
  const timersBefore = timers();
  const client = await dial(front.origin);
  await client.write(request);
  await when(client);
  expect(front.proxy.inFlight).toBe(1);
  const callsBefore = front.recorder.attempts;

  leave(client, how);
  expect(await front.recorder.ended()).toMatchObject({ outcome: 'client_left' });
  expect(front.proxy.inFlight).toBe(0);
  await until(() => timers() <= timersBefore);
  expect(front.recorder.attempts).toBe(callsBefore);
  expect(front.recorder.answers).toHaveLength(1);
}

/** The first call ends as a call ends whose client has gone, and the next request is served. */
async function lives({ venice, ...scene }: Scene, calls = 1): Promise<RecordedCall | undefined> {
  const [call] = venice.calls;
  await call?.over;
  expect(venice.calls).toHaveLength(calls);
  expect(await chat(scene)).toMatchObject({ status: 200, complete: true });
  expect(venice.calls).toHaveLength(calls + 1);
  expect(scene.recorder.answers).toHaveLength(2);
  return call;
}

describe.each(LEAVES)('a client that leaves by %s', (how) => {
  test('while it sends its JSON makes no upstream call', async () => {
    const scene = await startScene();
    const request = head(
      '/chat/completions',
      'Content-Type: application/json',
      'Content-Length: 99',
    );
    await leaveDuring(
      scene,
      `${request}{"model":`,
      () => until(() => scene.proxy.inFlight === 1),
      how,
    );
    expect(scene.recorder.answers).toMatchObject([{ attempts: 0, status: undefined }]);
    await lives(scene, 0);
  });

  test('while it sends an upload ends the upstream call', async () => {
    const scene = await startScene();
    const arrival = async (): Promise<void> => {
      const call = await scene.venice.arrived(1);
      await until(() => call.bodyBytes === 1_000);
    };
    await leaveDuring(scene, UPLOAD + chunk('x'.repeat(1_000)).toString(), arrival, how);
    expect(await lives(scene)).toMatchObject({ aborted: true, status: undefined });
  });

  test('while its upload waits for a slow upstream ends the call as soon as that reads', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'slow-upload', delayMs: 2 });
    const big = chunk(Buffer.alloc(8 * MIB));
    await leaveDuring(
      scene,
      Buffer.concat([Buffer.from(UPLOAD), big.subarray(0, 64)]),
      async (client) => {
        const call = await scene.venice.arrived(1);
        void client.write(big.subarray(64));
        await until(() => call.bodyBytes > 500_000);
        expect(call.bodyBytes).toBeLessThan(8 * MIB);
      },
      how,
    );
    expect(await lives(scene)).toMatchObject({ aborted: true, status: undefined });
  });

  test('while its upload stands still ends the call when the patience is over', async () => {
    const { client, upstream, front } = await meet(
      { timeout: { idle: 1_000 } },
      UPLOAD + chunk('x').toString(),
    );
    const timersBefore = timers();
    upstream.socket.pause();
    const big = chunk(Buffer.alloc(64 * MIB));
    void client.write(big);
    await standsStill(() => upstream.socket.bytesRead + client.bytesSent);
    leave(client, how);
    // Who does not read does not notice either: it is the standstill that ends the call.
    expect(await front.recorder.ended()).toMatchObject({
      outcome: 'refused',
      code: 'upstream_timeout',
      attempts: 1,
    });
    expect(front.proxy.inFlight).toBe(0);
    expect(upstream.text.length).toBeLessThan(big.length);
    upstream.socket.resume();
    await upstream.ended;
    expect(upstream.text).not.toContain('\r\n0\r\n');
    await until(() => timers() <= timersBefore);
    expect(front.recorder.answers).toHaveLength(1);
    expect(front.recorder.delays).toEqual([]);
  });

  test('while the upstream is being connected to ends the attempt', async () => {
    let lookups = 0;
    const agent = new http.Agent({
      keepAlive: true,
      // A name server that says nothing.
      lookup: () => {
        lookups += 1;
      },
    });
    const front = await startFront({ target: 'http://upstream.example:81', agent });
    await leaveDuring(front, get('/models'), () => until(() => lookups === 1), how);
    await until(() => Object.keys(agent.sockets).length === 0);
    expect(lookups).toBe(1);
    expect(front.recorder.delays).toEqual([]);
  });

  test.each<readonly [string, Fault, object]>([
    ['the head of its answer', { kind: 'silent' }, {}],
    ['the first event', { kind: 'head-then-silent' }, { stream: true }],
    ['the rest of the first event', midFirst(), { stream: true }],
    ['the body of its answer', { kind: 'head-then-silent' }, {}],
  ])('while it waits for %s ends the upstream call', async (_what, fault, changes) => {
    const scene = await startScene();
    scene.venice.script(fault);
    const arrival = async (): Promise<void> => {
      const call = await scene.venice.arrived(1);
      await until(() => fault.kind === 'silent' || call.status === 200);
    };
    await leaveDuring(scene, post('/chat/completions', { ...CHAT, ...changes }), arrival, how);
    expect(scene.recorder.answers).toMatchObject([{ status: undefined, attempts: 1 }]);
    expect(await lives(scene)).toMatchObject({ aborted: true });
  });

  test('while it waits for embeddings that are converted ends the upstream call', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'slow-body', chunkBytes: 10, delayMs: 50 });
    const body = { model: 'text-embedding-bge-m3', input: 'a', encoding_format: 'base64' };
    const arrival = async (): Promise<void> => {
      const call = await scene.venice.arrived(1);
      await until(() => call.status === 200);
    };
    await leaveDuring(scene, post('/embeddings', body), arrival, how);
    expect(await lives(scene)).toMatchObject({ aborted: true });
  });

  test.each<readonly [string, Fault]>([
    ['a window to reset', { kind: 'rate-limited', resetMs: 60_000 }],
    ['a block to end', { kind: 'abuse-block' }],
    [
      'the next attempt after an error',
      { kind: 'answer', status: 503, headers: { 'retry-after': '60' } },
    ],
  ])('while it waits for %s ends the wait, and no call follows', async (_what, fault) => {
    // The gate would hold back who comes next, too.
    const scene = await startScene({ rateLimitWait: 60_000, rateLimit: false });
    scene.venice.script(fault);
    const wait = (): Promise<unknown> => scene.recorder.retried(1);
    await leaveDuring(scene, post('/chat/completions', CHAT), wait, how);
    expect(scene.recorder.delays).toHaveLength(1);
    expect(scene.recorder.delays[0]).toBeGreaterThan(50_000);
    expect(scene.recorder.answers[0]?.waitedMs).toBeLessThan(30_000);
    expect(await lives(scene)).toMatchObject({ aborted: false, finished: true });
  });

  test('in the middle of a stream ends the upstream call', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'stall-stream', afterEvents: 3 });
    const request = post('/chat/completions', { ...CHAT, stream: true });
    await leaveDuring(scene, request, (client) => client.until('stand-in'), how);
    expect(scene.recorder.answers).toMatchObject([{ status: 200, code: undefined }]);
    expect(await lives(scene)).toMatchObject({ aborted: true, status: 200 });
  });

  test('without having read what was sent to it ends the upstream call', async () => {
    const scene = await startScene();
    let client: Line | undefined;
    await leaveDuring(
      scene,
      get('/stand-in/bytes?n=100000000'),
      async (its) => {
        client = its;
        its.socket.pause();
        await standsStill(() => its.socket.bytesRead + 1);
      },
      how,
    );
    expect(client?.bytesReceived).toBeLessThan(10_000_000);
    expect(await lives(scene)).toMatchObject({ aborted: true, status: 200 });
  });

  test.each([
    ['400 Bad Request', 400],
    ['503 Service Unavailable', 503],
  ])('before the body of a %s is whole ends the upstream call', async (line, status) => {
    const { client, upstream, front, wire } = await meet();
    const timersBefore = timers();
    await upstream.write(`HTTP/1.1 ${line}\r\nContent-Length: 100\r\n\r\n{"error"`);
    await until(() => front.proxy.lastHeard?.status === status);
    leave(client, how);
    expect(await front.recorder.ended()).toMatchObject({ outcome: 'client_left', attempts: 1 });
    await upstream.ended;
    expect(front.proxy.inFlight).toBe(0);
    expect(front.recorder.delays).toEqual([]);
    expect(wire.lines).toHaveLength(1);
    // One that waits for the client's call is among those before.
    // Sooner than it would end by itself.
    await until(() => timers() < timersBefore, 1_000);
    expect(front.recorder.answers).toHaveLength(1);
  });

  test('while an error is being relayed ends the upstream call', async () => {
    const { client, upstream, front } = await meet();
    await upstream.write('HTTP/1.1 404 Not Found\r\nContent-Length: 1000000\r\n\r\n');
    await upstream.write('x'.repeat(100_000));
    await client.until('xxx');
    leave(client, how);
    expect(await front.recorder.ended()).toMatchObject({ outcome: 'client_left', status: 404 });
    await upstream.ended;
    expect(front.recorder.answers).toHaveLength(1);
  });

  test('while the key for its call is looked up makes no upstream call', async () => {
    let give: ((key: string) => void) | undefined;
    const apiKey = (): Promise<string> =>
      new Promise((resolve) => {
        give = resolve;
      });
    const scene = await startScene({ apiKey });
    await leaveDuring(scene, get('/models'), () => until(() => give !== undefined), how);
    give?.('late-key');
    const next = chat(scene);
    await until(() => scene.proxy.inFlight === 1);
    give?.('late-key');
    expect(await next).toMatchObject({ status: 200 });
    expect(scene.recorder.attempts).toBe(1);
    expect(scene.venice.calls.map(({ method }) => method)).toEqual(['POST']);
  });

  test('takes the requests with it that wait behind another one on its connection', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'silent' }, { kind: 'silent' }, { kind: 'silent' });
    const client = await dial(scene.origin);
    await client.write(post('/chat/completions', CHAT).repeat(3));
    const calls = await Promise.all([1, 2, 3].map((count) => scene.venice.arrived(count)));
    expect(scene.proxy.inFlight).toBe(3);
    leave(client, how);
    await scene.recorder.ended(3);
    await Promise.all(calls.map(({ over }) => over));
    expect(calls).toMatchObject([{ aborted: true }, { aborted: true }, { aborted: true }]);
    expect(scene.recorder.answers.map(({ outcome }) => outcome)).toEqual([
      'client_left',
      'client_left',
      'client_left',
    ]);
    expect(scene.proxy.inFlight).toBe(0);
    await scene.proxy.drain();
  });
});

function midFirst(): Fault {
  return { kind: 'stall-stream', afterEvents: 0, midEvent: true };
}

/** Listeners on an emitter, all events together. */
function listeners(emitter: NodeJS.EventEmitter): number {
  return emitter.eventNames().reduce((count, name) => count + emitter.listenerCount(name), 0);
}

test('requests leave no listener on the connections that they used', async () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const sockets = new Set<NodeJS.EventEmitter>();
  const scene = await startScene(
    { agent },
    { requests: { limit: 1_000, windowMs: 60_000 } },
    {
      before: (app) =>
        void app.use((req, _res, next) => {
          sockets.add(req.socket);
          next();
        }),
    },
  );
  const client = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const ask = (body: object): Promise<void> =>
    new Promise((resolve, reject) => {
      const request = http.request(`${scene.baseUrl}/chat/completions`, {
        agent: client,
        method: 'POST',
        headers: { authorization: 'Bearer test-key', 'content-type': 'application/json' },
      });
      request.on('error', reject);
      request.on('response', (response) => response.resume().on('end', resolve));
      request.end(JSON.stringify(body));
    });
  const counts = (): number[] => {
    const kept = Object.values(agent.freeSockets).flatMap((each) => each ?? []);
    return [...sockets, ...kept, scene.server].map((each) => listeners(each));
  };
  const round = async (): Promise<number[]> => {
    scene.venice.script({ kind: 'answer', status: 500 }, { kind: 'answer', status: 503, body: {} });
    await ask({ ...CHAT, stream: true });
    await ask(CHAT);
    await until(() => Object.keys(agent.freeSockets).length === 1);
    return counts();
  };
  const first = await round();
  for (let turn = 0; turn < 10; turn += 1) {
    // oxlint-disable-next-line no-await-in-loop -- one round after another
    expect(await round()).toEqual(first);
  }
  expect(sockets.size).toBe(1);
  expect(scene.venice.connections).toBe(1);
  client.destroy();
  agent.destroy();
});

test('hundreds of clients that leave at any moment leave nothing behind', async () => {
  const random = seeded(20261102);
  const pick = <T>(...from: readonly [T, ...T[]]): T =>
    from[Math.floor(random() * from.length)] ?? from[0];
  const scene = await startScene(
    { timeout: 300 },
    {
      requests: { limit: 10_000, windowMs: 60_000 },
      abuse: false,
      resetFormat: 'milliseconds',
      onCall: () =>
        pick<Fault | undefined>(
          undefined,
          undefined,
          { kind: 'ok', latencyMs: 30 },
          { kind: 'ok', tokenDelayMs: 10 },
          { kind: 'rate-limited', resetMs: 40 },
          { kind: 'answer', status: 503, body: { error: 'busy' } },
          { kind: 'reset', after: 'body' },
          { kind: 'cut-stream', afterEvents: 2, midEvent: true },
          { kind: 'slow-body', chunkBytes: 500, delayMs: 5 },
          { kind: 'silent' },
        ),
    },
  );
  const timersBefore = timers();
  let connections = 0;
  let gone = 0;
  scene.server.on('connection', (socket) => {
    connections += 1;
    socket.on('close', () => {
      gone += 1;
    });
  });

  let stayed = 0;
  const visit = async (): Promise<void> => {
    const client = await dial(scene.origin);
    const whole = pick(
      post('/chat/completions', CHAT),
      post('/chat/completions', { ...CHAT, stream: true }),
      post('/embeddings', { model: 'm', input: 'a', encoding_format: 'base64' }),
      get('/models'),
    );
    const begun = pick(UPLOAD + chunk('x'.repeat(5_000)).toString(), whole.slice(0, -10), whole);
    const stays = random() < 0.2;
    const how = pick(...LEAVES);
    const bytes = Math.floor(random() * 2_000);
    const ms = random() * 80;
    await client.write(stays ? whole : begun);
    if (stays) {
      await client.when(() => isWhole(client.received));
      stayed += 1;
    } else {
      // After so much of the answer, or so long, whatever is first.
      await Promise.race([client.when(() => client.bytesReceived > bytes), sleep(ms)]);
    }
    leave(client, how);
  };
  for (let round = 0; round < 6; round += 1) {
    // oxlint-disable-next-line no-await-in-loop -- fifty at a time
    await Promise.all(Array.from({ length: 50 }, visit));
  }

  // Who left before the server looked is still to be met.
  await until(() => connections === 300 && gone === 300);
  await until(() => scene.proxy.inFlight === 0);
  await Promise.all(scene.venice.calls.map(({ over }) => over));
  await until(() => timers() <= timersBefore);
  const ids = scene.recorder.answers.map(({ request }) => request.id);
  expect(new Set(ids).size).toBe(ids.length);
  const stayers = scene.recorder.answers.filter(({ outcome }) => outcome !== 'client_left');
  expect(stayed).toBeGreaterThan(30);
  expect(stayers.length).toBeGreaterThanOrEqual(stayed);
  const callsBefore = scene.venice.calls.length;
  scene.venice.configure({ onCall: () => undefined });
  expect(await chat(scene, { stream: true })).toMatchObject({ status: 200, complete: true });
  expect(await send(`${scene.baseUrl}/models`)).toMatchObject({ status: 200, complete: true });
  expect(scene.venice.calls).toHaveLength(callsBefore + 2);
}, 30_000);
