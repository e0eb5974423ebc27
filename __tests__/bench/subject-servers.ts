import { Agent, createServer, request } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import express from 'express';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { freePort } from './free-port.ts';
import { createNaiveApp } from './naive-app.ts';
import { built } from './root.ts';
import type { SubjectName } from './subjects.ts';
import { createWaitingRoom } from './waiting-room.ts';

/** Starts a subject in front of an upstream; resolves with its port. */
type Start = (upstreamPort: number) => Promise<number>;

/** More than the crowd of the benchmark. */
const MAX_QUEUE = '10000';
const MANY_CONNECTIONS = 10_000;

/** How each subject is started, in a process that starts nothing else. */
export const STARTS: Readonly<Record<SubjectName, Start>> = {
  'node-pipe': startNodePipe,
  'bare-hpm': startBareProxy,
  naive: (upstreamPort) => listen(createServer(createNaiveApp(targetAt(upstreamPort)))),
  fastify: startFastify,
  portkey: startPortkey,
  'waiting-room': (upstreamPort) => listen(createServer(createWaitingRoom(upstreamPort))),
  ours: bundledServer({}),
  'ours-app': startOursInApp,
  'ours-no-logs': bundledServer({ DEBUG: '-venice-proxy:*' }),
  'ours-no-gate': bundledServer({ RATE_LIMIT: '0' }),
  'ours-no-retry': bundledServer({ MAX_RETRIES: '0' }),
  'ours-no-rewrite': bundledServer({ DROP_PARAMS: 'none', LEARN_PARAMS: '0' }),
  'ours-no-heartbeat': bundledServer({ HEARTBEAT: '0' }),
  'ours-no-metrics': bundledServer({ METRICS: '0' }),
  'ours-no-status': bundledServer({ STATUS_PAGE: '0' }),
  'ours-bare': bundledServer({
    DEBUG: '-venice-proxy:*',
    METRICS: '0',
    STATUS_PAGE: '0',
    OLLAMA: '0',
    RATE_LIMIT: '0',
    MAX_RETRIES: '0',
    DROP_PARAMS: 'none',
    LEARN_PARAMS: '0',
    HEARTBEAT: '0',
  }),
};

function targetAt(port: number): string {
  return `http://127.0.0.1:${port}/api/v1`;
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 4_096, resolve));
  return (server.address() as AddressInfo).port;
}

/** What Node can do at best: no path, no header is looked at. */
function startNodePipe(upstreamPort: number): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: Infinity });
  const relay: RequestListener = (req, res) => {
    const { method, url, headers } = req;
    const call = request({
      host: '127.0.0.1',
      port: upstreamPort,
      method,
      path: url,
      headers,
      agent,
    });
    call.on('response', (answer) => {
      res.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(res);
    });
    call.on('error', () => res.destroy());
    res.on('close', () => call.destroy());
    req.pipe(call);
  };
  return listen(createServer(relay));
}

function startBareProxy(upstreamPort: number): Promise<number> {
  const app = express();
  app.use(
    '/api/v1',
    createProxyMiddleware({
      target: targetAt(upstreamPort),
      changeOrigin: true,
      agent: new Agent({ keepAlive: true, maxSockets: Infinity }),
    }),
  );
  return listen(createServer(app));
}

async function startFastify(upstreamPort: number): Promise<number> {
  const { fastify } = await import('fastify');
  const { default: proxy } = await import('@fastify/http-proxy');
  const app = fastify({ bodyLimit: 52_428_800 });
  await app.register(proxy, {
    upstream: `http://127.0.0.1:${upstreamPort}`,
    prefix: '/api/v1',
    rewritePrefix: '/api/v1',
    // As many as the agents of the others may open: by default the 129th stream waits for another.
    undici: { connections: MANY_CONNECTIONS },
  });
  await app.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 });
  return (app.server.address() as AddressInfo).port;
}

/** It listens as soon as it is imported, where its arguments say, and tells nobody when it does. */
async function startPortkey(): Promise<number> {
  const port = await freePort();
  process.argv.push('--headless', `--port=${port}`);
  const { resolve } = createRequire(import.meta.url);
  const main = resolve('@portkey-ai/gateway/build/start-server.js');
  await import(pathToFileURL(main).href);
  await answersAt(port);
  return port;
}

async function answersAt(port: number): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    // oxlint-disable-next-line no-await-in-loop -- until it is there
    if (await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined)) return;
    // oxlint-disable-next-line no-await-in-loop -- until it is there
    await sleep(100);
  }
  throw new Error(`Nothing answers at port ${port}`);
}

/** The server as its bin starts it, log lines included, with these variables. */
/** As its users start it, but for the shell. */
function bundledServer(variables: Readonly<Record<string, string>>): Start {
  return async (upstreamPort) => {
    const port = await freePort();
    Object.assign(process.env, {
      OPENAI_BASE_URL: targetAt(upstreamPort),
      HOST: '127.0.0.1',
      PORT: String(port),
      MAX_QUEUE,
      LOG_FORMAT: 'json',
      ...variables,
    });
    process.argv.splice(2);
    await import(built('examples/server/main.js'));
    return port;
  };
}

async function startOursInApp(upstreamPort: number): Promise<number> {
  const { createVeniceProxy } = (await import(
    built('lib/index.js')
  )) as typeof import('../../lib/index.ts');
  const app = express();
  const maxQueue = Number(MAX_QUEUE);
  app.use('/api/v1', createVeniceProxy({ target: targetAt(upstreamPort), maxQueue }));
  return listen(createServer(app));
}
