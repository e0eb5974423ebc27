import { IncomingMessage, ServerResponse, createServer } from 'node:http';
import type { Server } from 'node:http';
import type { Express } from 'express';

/**
 * Longer than the usual 60 s of load balancers, so that it is they who close a connection that
 * nobody uses: otherwise a request of theirs can cross our goodbye.
 */
const KEEP_ALIVE_MS = 70_000;
/** For the head of a request. */
const HEADERS_MS = 60_000;
/** For a whole request: 25 MB of audio over a slow line take their time; silence ends it sooner. */
const REQUEST_MS = 1_800_000;

/**
 * An http server for an Express app whose requests and answers are born with Express's prototypes.
 * Express otherwise gives them to each one when it comes, and on Node 20 and 22 an object whose
 * prototype was changed costs as much as everything else that happens to a request.
 */
export function createHttpServer(app: Express): Server {
  class AppRequest extends IncomingMessage {}
  class AppResponse extends ServerResponse {}
  // Express sets `app.request` as prototype; when it is the prototype already, that does nothing.
  Object.setPrototypeOf(AppRequest.prototype, app.request);
  Object.setPrototypeOf(AppResponse.prototype, app.response);
  Object.assign(app, { request: AppRequest.prototype, response: AppResponse.prototype });

  return createServer(
    {
      IncomingMessage: AppRequest,
      ServerResponse: AppResponse,
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: HEADERS_MS,
      requestTimeout: REQUEST_MS,
    },
    app,
  );
}
