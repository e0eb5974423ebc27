import { IncomingMessage, ServerResponse, createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import type { Express } from 'express';
import { sendError } from './send-error.ts';
import type { ServerSettings } from './settings.ts';

/**
 * Longer than the usual 60 s of load balancers, so that it is they who close a connection that
 * nobody uses: otherwise a request of theirs can cross our goodbye.
 */
const KEEP_ALIVE_MS = 70_000;

/** For the head of a request, and for a whole one. */
type RequestTimes = Pick<ServerSettings, 'headersTimeoutMs' | 'requestTimeoutMs'>;

/** Who is too slow is found within so long. */
const LOOK_EVERY_MS = 5_000;

/** An SDK sends twenty, and what stands in front of us adds ten. */
const MOST_HEADERS = 200;

/**
 * An http server for an Express app whose requests and answers are born with Express's prototypes.
 * Express otherwise gives them to each one when it comes, and on Node 20 and 22 an object whose
 * prototype was changed costs as much as everything else that happens to a request.
 */
export function createHttpServer(app: Express, times: RequestTimes): Server {
  class AppRequest extends IncomingMessage {}
  class AppResponse extends ServerResponse {}
  // Express sets `app.request` as prototype; when it is the prototype already, that does nothing.
  Object.setPrototypeOf(AppRequest.prototype, app.request);
  Object.setPrototypeOf(AppResponse.prototype, app.response);
  Object.assign(app, { request: AppRequest.prototype, response: AppResponse.prototype });

  const { headersTimeoutMs: headersTimeout, requestTimeoutMs: requestTimeout } = times;
  const server = createServer(
    {
      IncomingMessage: AppRequest,
      ServerResponse: AppResponse,
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout,
      requestTimeout,
      connectionsCheckingInterval: Math.min(LOOK_EVERY_MS, headersTimeout / 2),
    },
    refuseManyHeaders(app),
  );
  // Some versions of Node leave out what is beyond a limit of their own without a word (an
  // `Authorization`, say), others answer for us. 16 kB of headers are a limit by themselves.
  server.maxHeadersCount = 0;
  return server;
}

function refuseManyHeaders(app: Express): RequestListener {
  return function checkHeaderCount(req, res): void {
    if (req.rawHeaders.length <= 2 * MOST_HEADERS) {
      app(req, res);
      return;
    }
    res.setHeader('connection', 'close');
    sendError(res, 431, 'too_many_headers', `A request may have ${MOST_HEADERS} headers at most.`);
  };
}
