import express from 'express';
import type { ErrorRequestHandler, Express, RequestHandler } from 'express';
import { createHealthCheck, createVeniceProxy } from 'venice-proxy';
import type { VeniceProxy, VeniceProxyOptions } from 'venice-proxy';
import { crossOrigin } from './cross-origin.ts';
import { requireEntryKey } from './entry-key.ts';
import { guardLentKey } from './lent-key.ts';
import { logServer } from './logs.ts';
import { createReadyCheck } from './ready.ts';
import { sendError } from './send-error.ts';
import type { ServerSettings } from './settings.ts';

/** The server's app, and the proxy in it. */
export interface ServerApp {
  readonly app: Express;
  readonly proxy: VeniceProxy;
}

/** Mounts the proxy behind what a server of its own needs: health, CORS, entry keys. */
export function createServerApp(
  settings: Pick<ServerSettings, 'pathPrefix' | 'entryKeys' | 'corsOrigins' | 'guardsLentKey'>,
  options: VeniceProxyOptions,
): ServerApp {
  const { pathPrefix, entryKeys, corsOrigins, guardsLentKey } = settings;
  const proxy = createVeniceProxy(options);
  // Where we bring the key for the upstream, `Authorization` is free for the entry key.
  const entryHeader = options.apiKey === undefined ? 'x-proxy-api-key' : 'authorization';

  const app = express();
  app.disable('x-powered-by');
  app.use(crossOrigin(corsOrigins));
  app.get('/health', createHealthCheck(proxy));
  app.get('/ready', createReadyCheck(proxy));
  if (guardsLentKey) app.use(pathPrefix, guardLentKey(corsOrigins));
  app.use(pathPrefix, requireEntryKey(entryKeys, entryHeader), proxy);
  app.use(answerNotFound(pathPrefix));
  app.use(answerFailure());
  return { app, proxy };
}

function answerNotFound(pathPrefix: string): RequestHandler {
  return function notFound(req, res): void {
    logServer('nothing here', { method: req.method, path: req.path });
    sendError(
      res,
      404,
      'not_found',
      `There is nothing at ${req.path} here: the API is under ${pathPrefix}, ` +
        'with which the base URL of a client must end.',
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
