// One process for each core (or WORKERS of them) on one port. Through Redis they share what they
// know of Venice's rate limits.
//
//   npm install redis
//   REDIS_URL=redis://127.0.0.1:6379 node dist/examples/cluster.js
//
// Then point an OpenAI client at http://localhost:3000/api/v1, with your Venice key.
import cluster from 'node:cluster';
import type { Worker } from 'node:cluster';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import express from 'express';
import type { Express } from 'express';
import { createClient } from 'redis';
import { createVeniceProxy, optionsFromEnv } from 'venice-proxy';
import type { VeniceProxy, VeniceProxyOptions } from 'venice-proxy';
import { redisStore } from 'venice-proxy/redis';
import { isMain } from './is-main.ts';

/** How long open answers may go on after SIGTERM, in milliseconds. */
const GRACE_MS = 30_000;

export function createApp(options: VeniceProxyOptions): { app: Express; proxy: VeniceProxy } {
  const app = express();
  const proxy = createVeniceProxy(options);
  app.use('/api/v1', proxy);
  return { app, proxy };
}

/** Starts the workers, and others for those that die; ends when all have ended after a signal. */
function runPrimary(): void {
  const count = Number(process.env['WORKERS'] ?? availableParallelism());
  if (!(count >= 1)) throw new Error('WORKERS is not a number of workers');
  let listening = 0;
  let isStopping = false;

  const startWorker = (): void => {
    const worker = cluster.fork();
    let hasListened = false;
    worker.once('listening', (address) => {
      hasListened = true;
      listening += 1;
      if (listening === count) console.log(count, 'workers are listening on', address);
    });
    worker.once('exit', (code) => {
      if (isStopping) return;
      if (hasListened) {
        startWorker();
        return;
      }
      // Another one would fail as well, for the same reason: a port that is in use, for example.
      process.exitCode = code === 0 ? 1 : code;
      stop();
    });
  };

  const stop = (): void => {
    isStopping = true;
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill('SIGTERM');
  };

  for (let started = 0; started < count; started += 1) startWorker();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, stop);
}

async function runWorker(worker: Worker): Promise<void> {
  const client = createClient({
    url: process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379',
    // Without Redis each worker goes on alone: nothing waits for it.
    disableOfflineQueue: true,
  });
  // Without a listener an error would end the process; the client connects again by itself.
  client.on('error', (error) => console.error(`worker ${worker.id}: Redis: ${error}`));
  client.connect().catch(() => {});

  const { app, proxy } = createApp({
    ...optionsFromEnv(),
    store: redisStore({ sendCommand: (command) => client.sendCommand([...command]) }),
  });
  const server = app.listen(Number(process.env['PORT'] ?? 3000));

  const signal = new AbortController();
  // Ctrl+C reaches the workers, too, and the primary then sends them a SIGTERM besides.
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => signal.abort());
  await once(signal.signal, 'abort');
  const closed = once(server, 'close');
  server.close();
  await proxy.drain(GRACE_MS);
  server.closeIdleConnections();
  await closed;
  client.destroy();
  // A connection that is just being made would keep the process.
  process.exit();
}

if (isMain(import.meta.url)) {
  if (cluster.worker === undefined) runPrimary();
  else await runWorker(cluster.worker);
}
