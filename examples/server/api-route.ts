import type { RequestHandler } from 'express';

// Express takes a microsecond and more for each place that it compares a path with, and most
// requests are for the API.

/** What the server answers by itself, and what is under it. */
const OWN_PLACES = ['/', '/health', '/metrics', '/ready', '/status'];

/** Routes of the server's own, which requests under the prefix pass by. */
export function besideApi(pathPrefix: string, routes: RequestHandler): RequestHandler {
  const api = `${pathPrefix}/`;
  const isAbove = (place: string): boolean => `${place}/`.startsWith(api.toLowerCase());
  if (pathPrefix === '/' || OWN_PLACES.some(isAbove)) return routes;
  return function passApiBy(req, res, next): void {
    if (req.url.startsWith(api)) next();
    else void routes(req, res, next);
  };
}

/** Several as one. */
export function oneAfterTheOther(handlers: readonly RequestHandler[]): RequestHandler {
  return handlers.reduceRight((rest, first) => (req, res, next) => {
    void first(req, res, (error?: unknown) => {
      if (error === undefined) void rest(req, res, next);
      else next(error);
    });
  });
}
