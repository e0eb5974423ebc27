import type { RequestHandler } from 'express';
import { markOllamaClient } from './ollama-clients.ts';

/** Where the API is, and whether Ollama's is, too. */
export interface Places {
  /** `/`, or a path that begins with a slash and does not end with one. */
  readonly pathPrefix: string;
  readonly servesOllama: boolean;
}

/**
 * Leads requests to the prefix that look for the API elsewhere: under `/v1`, as OpenAI has it, and
 * at `/api/…`, as Ollama has its own, unless that is under the prefix by itself. `GET` on the
 * prefix, with which some clients find out what is there, gets the list of models.
 *
 * Goes by `req.url`, which decides in Express; `req.originalUrl` stays what the client wrote.
 */
export function leadToPrefix(places: Places): RequestHandler {
  const base = places.pathPrefix === '/' ? '' : places.pathPrefix;
  return function leadOtherPlaces(req, res, next): void {
    const { url, method } = req;
    const queryAt = url.indexOf('?');
    const path = queryAt === -1 ? url : url.slice(0, queryAt);
    const written = behindPrefix(path, places);
    if (written === undefined) {
      next();
      return;
    }
    const isProbe = (written === '' || written === '/') && (method === 'GET' || method === 'HEAD');
    const wanted = isProbe ? '/models' : written;
    if (places.servesOllama && wanted.startsWith('/api/')) markOllamaClient(res);
    const place = base + wanted;
    if (place !== path) req.url = place + url.slice(path.length);
    next();
  };
}

/** What stands behind the prefix, or would; `undefined` for a path that leads to none. */
export function behindPrefix(
  path: string,
  { pathPrefix, servesOllama }: Places,
): string | undefined {
  if (pathPrefix !== '/' && isUnder(path, pathPrefix)) return path.slice(pathPrefix.length);
  if (isUnder(path, '/v1')) return path.slice('/v1'.length);
  if (pathPrefix === '/') return path;
  return servesOllama && path.startsWith('/api/') ? path : undefined;
}

/** In any case, as Express compares them. */
function isUnder(path: string, prefix: string): boolean {
  if (path.slice(0, prefix.length).toLowerCase() !== prefix.toLowerCase()) return false;
  return path.length === prefix.length || path[prefix.length] === '/';
}
