import { once } from 'node:events';
import type { Server } from 'node:http';
import { isIPv6 } from 'node:net';
import type { Server as NetServer } from 'node:net';
import { optionsFromEnv } from 'venice-proxy';
import type { VeniceProxy, VeniceProxyOptions } from 'venice-proxy';
import { redisStore } from 'venice-proxy/redis';
import { createServerApp } from './app.ts';
import { Connections } from './connections.ts';
import { reasonOf } from './error-reason.ts';
import { createHttpServer } from './http-server.ts';
import { logServer, setUpLogs } from './logs.ts';
import type { RedisClient } from './redis-client.ts';
import { openRedis } from './redis.ts';
import { settingsFromEnv } from './settings.ts';
import type { ServerSettings } from './settings.ts';
import { PROXY_VARIABLES, SERVER_VARIABLES } from './variables.ts';
import type { Env } from './variables.ts';

/** So long what is broken off at the end of the grace may take to reach its client. */
const LAST_WORDS_MS = 300;

/** A server that listens. */
export interface RunningServer {
  /** Where this machine finds the API: the base URL for clients. */
  readonly url: string;
  /** Where a browser finds the status page; `undefined` where there is none. */
  readonly statusUrl: string | undefined;
  readonly port: number;
  readonly proxy: VeniceProxy;
  readonly server: Server;
  /**
   * Takes no new requests, lets open answers end within `SHUTDOWN_GRACE`, then destroys what is
   * left. Resolves when no connection is open, that to Redis included.
   */
  close(): Promise<void>;
}

/**
 * Starts the server as the environment says.
 *
 * @param env - the environment
 * @param isTerminal - whether somebody reads the log lines as they come
 * @throws Error whose message says in one line why the server cannot start
 */
export async function startServer(
  env: Env = process.env,
  isTerminal: boolean = process.stderr.isTTY,
): Promise<RunningServer> {
  const options = { ollama: true, ...optionsFromEnv(env) };
  const settings = settingsFromEnv(env, { lendsKey: options.apiKey !== undefined, isTerminal });
  setUpLogs(settings);
  if (settings.redis === undefined) return serve(env, settings, options);
  const redis = await openRedis(settings.redis);
  try {
    const store = redisStore({ sendCommand: redis.sendCommand });
    return await serve(env, settings, { ...options, store }, redis);
  } catch (error) {
    redis.close();
    throw error;
  }
}

async function serve(
  env: Env,
  settings: ServerSettings,
  options: VeniceProxyOptions,
  redis?: RedisClient,
): Promise<RunningServer> {
  const { app, proxy, statusFeed, metrics } = createServerApp(settings, options);
  const server = createHttpServer(app, settings);
  const connections = new Connections(server, settings.maxConnections);
  const port = await listen(server, settings);
  const url = baseUrl(settings, port);
  // `debug` writes the namespaces that are on into the environment.
  const { debug: DEBUG, logFormat: LOG_FORMAT } = settings;
  // The URL may hold a password.
  const REDIS_URL = settings.redis?.shown;
  logServer('configuration', configuration({ ...env, DEBUG, LOG_FORMAT, REDIS_URL }));
  logServer('listening', { url });
  void metrics?.load(proxy);
  const statusUrl = statusFeed && new URL('/status', url).href;
  if (statusUrl !== undefined) logServer('status page', { url: statusUrl });

  let closing: Promise<void> | undefined;
  async function shutDown(): Promise<void> {
    const { shutdownGraceMs } = settings;
    const drained = proxy.drain(shutdownGraceMs);
    const closed = connections.close(shutdownGraceMs + LAST_WORDS_MS);
    // Told when it is true: from now on nobody can connect.
    logServer('shutting down', { inFlight: proxy.inFlight, graceSeconds: shutdownGraceMs / 1_000 });
    // Who watches sees the last request end, and is not waited for.
    if (statusFeed !== undefined) void drained.then(() => statusFeed.close());
    // The last request is in the log a moment after its connection is gone.
    await Promise.all([closed, drained]);
    redis?.close();
    logServer('stopped');
  }
  return { url, statusUrl, port, proxy, server, close: () => (closing ??= shutDown()) };
}

/** Every variable with what it amounts to; of keys only how many there are. */
function configuration(env: Env): Readonly<Record<string, string>> {
  const entries = Object.entries({ ...PROXY_VARIABLES, ...SERVER_VARIABLES });
  const shown = entries.map(([name, { fallback, shown: shownFallback, secret }]) => {
    const text = env[name]?.trim() ?? '';
    if (text === '') return [name, shownFallback ?? fallback];
    if (secret !== true) return [name, text];
    const count = name === 'PROXY_API_KEYS' ? text.split(',').length : 1;
    return [name, count === 1 ? '1 key' : `${count} keys`];
  });
  return Object.fromEntries(shown);
}

/**
 * @returns the port
 * @throws Error whose message says in one line why it cannot listen there
 */
export async function listen(server: NetServer, { host, port }: ServerSettings): Promise<number> {
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    const reason = reasonOf(error);
    throw new Error(
      `Cannot listen on ${authority(host, port)}: ${LISTEN_FAILURES[reason] ?? reason}`,
      { cause: error },
    );
  }
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}

const LISTEN_FAILURES: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is in use; PORT takes another one',
  EACCES: 'this port is not allowed to you; PORT takes another one',
  EADDRNOTAVAIL: 'this machine does not have that address; HOST takes another one',
  ENOTFOUND: 'there is no such host; HOST takes an address of this machine',
};

function baseUrl({ host, pathPrefix }: ServerSettings, port: number): string {
  // Addresses that mean every interface are none to connect to.
  const name = host === '0.0.0.0' || host === '::' ? 'localhost' : host;
  return `http://${authority(name, port)}${pathPrefix === '/' ? '' : pathPrefix}`;
}

function authority(host: string, port: number): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`;
}
