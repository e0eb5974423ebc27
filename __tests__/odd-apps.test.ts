import { EventEmitter } from 'node:events';
import { expect, test } from '@jest/globals';
import { chat, closeAfterTest, listenRaw, startFront, startScene } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';
import { until } from './helpers/until.ts';
import { dial, get } from './helpers/wire.ts';

test('an app whose hook on the answer throws each time loses that connection, and nothing else', async () => {
  const unheard: unknown[] = [];
  const hear = (reason: unknown): void => void unheard.push(reason);
  process.on('unhandledRejection', hear);
  closeAfterTest(() => process.off('unhandledRejection', hear));
  const scene = await startScene(
    { retries: 0 },
    {},
    {
      before: (app) =>
        void app.use((req, res, next) => {
          if (req.headers['x-odd'] !== undefined) {
            res.writeHead = () => {
              throw new Error('the hook of the app');
            };
          }
          next();
        }),
    },
  );
  const odd = send(`${scene.baseUrl}/models`, { headers: { 'x-odd': '1' } });
  await expect(odd).rejects.toThrow(/hang up|ECONNRESET/);
  expect((await chat(scene)).status).toBe(200);
  await until(() => scene.proxy.inFlight === 0);
  expect(unheard).toEqual([]);
});

test('a client that has left before the proxy hears of it costs nothing', async () => {
  const way = new EventEmitter();
  let arrived = false;
  const scene = await startScene(
    {},
    {},
    {
      before: (app) =>
        void app.use((_req, _res, next) => {
          arrived = true;
          way.once('free', () => next());
        }),
    },
  );
  const client = await dial(scene.origin);
  await client.write(get('/models'));
  await until(() => arrived);
  client.socket.destroy();
  // Until the server has heard of it.
  await new Promise((resolve) => {
    setTimeout(resolve, 100);
  });
  way.emit('free');
  expect(await scene.recorder.ended()).toMatchObject({ outcome: 'client_left', attempts: 0 });
  expect(scene.proxy.inFlight).toBe(0);
  expect(scene.venice.calls).toEqual([]);
});

test('a policy of the app stays alone, however many the upstream sends', async () => {
  const scene = await startScene(
    {},
    {},
    {
      before: (app) =>
        void app.use((_req, res, next) => {
          res.setHeader('Content-Security-Policy', "default-src 'self'");
          next();
        }),
    },
  );
  const headers = { 'Content-Security-Policy': ['script-src *', 'img-src *'] };
  scene.venice.script({ kind: 'ok', headers });
  const reply = await chat(scene);
  expect(reply.headers['content-security-policy']).toBe("default-src 'self'");
});

test('a retryable first event is one behind a comment and in two pieces, too', async () => {
  const scene = await startScene({ retries: 1 });
  const error = JSON.stringify({ error: { code: 'MODEL_OVERLOADED', message: 'overloaded' } });
  const chunks = [': hi\n\n', `data: ${error.slice(0, 12)}`, `${error.slice(12)}\n\n`];
  scene.venice.script({ kind: 'raw-stream', chunks, delayMs: 30 });
  const reply = await chat(scene, { stream: true });
  expect(reply).toMatchObject({ status: 200, complete: true });
  expect(scene.venice.calls).toHaveLength(2);
});

test('a client that takes nothing of the last of its answer is let go', async () => {
  const upstream = await listenRaw((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    const piece = 'x'.repeat(8_000);
    let left = 2_000;
    const pour = (): void => {
      while (left > 0 && socket.writable) {
        left -= 1;
        if (!socket.write(`${piece.length.toString(16)}\r\n${piece}\r\n`)) {
          socket.once('drain', pour);
          return;
        }
      }
      socket.end('0\r\n\r\n');
    };
    pour();
  });
  const front = await startFront({ target: upstream.origin, timeout: { idle: 300 } });
  const client = await dial(front.origin);
  client.socket.pause();
  await client.write(get('/models'));
  expect(await front.recorder.ended()).toMatchObject({ outcome: 'client_left' });
  await until(() => front.proxy.inFlight === 0);
});
