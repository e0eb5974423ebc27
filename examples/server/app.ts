import express, { Router } from 'express';
import type { ErrorRequestHandler, Express, RequestHandler } from 'express';
import { createHealthCheck, createVeniceProxy } from 'venice-proxy';
import type { VeniceProxy, VeniceProxyOptions } from 'venice-proxy';
import { besideApi, oneAfterTheOther } from './api-route.ts';
import { crossOrigin } from './cross-origin.ts';
import { entryKeyCheck, requireAnyEntryKey, requireEntryKey } from './entry-key.ts';
import { guardLentKey } from './lent-key.ts';
import { logServer } from './logs.ts';
import { ServerMetrics } from './metrics.ts';
import { sayOllamaIsRunning } from './ollama-clients.ts';
import { leadToPrefix } from './other-places.ts';
import { createReadyCheck } from './ready.ts';
import { sendError } from './send-error.ts';
import type { ServerSettings } from './settings.ts';
import { guardStatus } from './status/access.ts';
import { StatusFeed } from './status/feed.ts';
import { StatusHistory } from './status/history.ts';
import { statusRoutes } from './status/routes.ts';

/** The server's app, and the proxy in it. */
export interface ServerApp {
  readonly app: Express;
  readonly proxy: VeniceProxy;
  /** What the status page lives on; `undefined` where there is none. */
  readonly statusFeed: StatusFeed | undefined;
  /** To be loaded when the server listens; `undefined` where there are none. */
  readonly metrics: ServerMetrics | undefined;
}

/** Mounts the proxy behind what a server of its own needs: health, CORS, entry keys. */
export function createServerApp(
  settings: Pick<
    ServerSettings,
    'pathPrefix' | 'entryKeys' | 'corsOrigins' | 'guardsLentKey' | 'statusAccess' | 'hasMetrics'
  >,
  options: VeniceProxyOptions,
): ServerApp {
  const { pathPrefix, entryKeys, corsOrigins, guardsLentKey, statusAccess } = settings;
  const history = statusAccess === 'nobody' ? undefined : new StatusHistory();
  const metrics = settings.hasMetrics ? new ServerMetrics() : undefined;
  const on = [history?.hooks, metrics?.hooks].filter((hooks) => hooks !== undefined);
  const proxy = createVeniceProxy({ ...options, on });
  const statusFeed = history && new StatusFeed(proxy, history, options.rateLimit !== false);
  // Where we bring the key for the upstream, `Authorization` is free for the entry key.
  const entryHeader = options.apiKey === undefined ? 'x-proxy-api-key' : 'authorization';

  const app = express();
  app.disable('x-powered-by');
  // Before CORS: other pages may use the API at most.
  const pages = Router();
  if (statusAccess !== 'nobody' && statusFeed !== undefined)
    pages.use(
      '/status',
      statusRoutes(statusFeed, guardStatus(statusAccess, entryKeyCheck(entryKeys))),
    );
  if (metrics !== undefined) {
    if (guardsLentKey) pages.use('/metrics', guardLentKey([]));
    pages.get('/metrics', requireAnyEntryKey(entryKeys), metrics.handler);
  }
  const checks = Router();
  checks.get('/health', createHealthCheck(proxy));
  checks.get('/ready', createReadyCheck(proxy));
  const servesOllama = options.ollama === true;
  if (servesOllama) checks.get('/', sayOllamaIsRunning);

  app.use(besideApi(pathPrefix, pages));
  if (corsOrigins.length > 0) app.use(crossOrigin(corsOrigins));
  app.use(besideApi(pathPrefix, checks));
  app.use(leadToPrefix({ pathPrefix, servesOllama }));
  const entry = requireEntryKey(entryKeys, entryHeader);
  const guards = guardsLentKey ? [guardLentKey(corsOrigins), entry] : [entry];
  app.use(pathPrefix, oneAfterTheOther([...guards, proxy]));
  app.use(answerNotFound(pathPrefix));
  app.use(answerFailure());
  return { app, proxy, statusFeed, metrics };
}

function answerNotFound(pathPrefix: string): RequestHandler {
  return function notFound(req, res): void {
    logServer('nothing here', { method: req.method, path: req.path });
    sendError(
      res,
      404,
      'not_found',
      `There is nothing at ${req.path} here: the API is under ${pathPrefix} and /v1, ` +
        'with one of which the base URL of a client must end.' +
        (req.path === '/status' ? ' STATUS_PAGE=1 shows a status page.' : ''),
    );
  };
}

/** What fails outside the proxy, which answers its own errors: never with a page or a stack. */
function answerFailure(): ErrorRequestHandler {
  // Express knows error middlewares by their four parameters.
  return function serverError(error: unknown, req, res, _next): void {
    logServer('a request failed', { method: req.method, path: req.path, error: String(error) });
    if (res.headersSent) res.destroy();
    else sendError(res, 500, 'internal_error', 'The server failed; its log tells more.');
  };
}
