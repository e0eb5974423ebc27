import cors from 'cors';
import type { Request, RequestHandler } from 'express';

// `*` means every header as long as there are no credentials (Fetch standard §3.2.5); the names
// are for browsers that take it for a name.
const EXPOSED_HEADERS = [
  '*',
  'cf-ray',
  'retry-after',
  'x-ratelimit-limit-requests',
  'x-ratelimit-limit-tokens',
  'x-ratelimit-remaining-requests',
  'x-ratelimit-remaining-tokens',
  'x-ratelimit-reset-requests',
  'x-ratelimit-reset-tokens',
  'x-ratelimit-type',
  'x-request-id',
  'x-should-retry',
  'x-venice-proxy-attempts',
  'x-venice-proxy-dropped',
  'x-venice-proxy-hint',
  'x-venice-proxy-model',
  'x-venice-proxy-wait',
];

const PREFLIGHT_VALID_S = 7_200;

/**
 * Says which web pages may use the proxy: those of `origins`, no other one; `['*']` are all.
 *
 * No `Access-Control-Allow-Credentials`: keys come in headers that scripts set, which this does
 * not concern; cookies have no meaning here, and the proxy forwards none.
 */
export function crossOrigin(origins: readonly string[]): RequestHandler {
  const addHeaders = cors({
    origin: origins.includes('*') ? '*' : [...origins],
    methods: ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD'],
    // The requested headers are allowed as they are asked for: the OpenAI SDK sends a dozen of
    // `x-stainless-*`, and the next release may send one more.
    exposedHeaders: EXPOSED_HEADERS,
    maxAge: PREFLIGHT_VALID_S,
    // An OPTIONS that is no preflight is for the API.
    preflightContinue: true,
  });

  return function answerPreflight(req, res, next): void {
    addHeaders(req, res, (error?: unknown) => {
      if (error === undefined && isPreflight(req)) res.status(204).end();
      else next(error);
    });
  };
}

function isPreflight(req: Request): boolean {
  return req.method === 'OPTIONS' && req.headers['access-control-request-method'] !== undefined;
}
