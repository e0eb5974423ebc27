import type { Request, RequestHandler } from 'express';
import { hostNameOf, isLocalName } from './local-name.ts';
import { logServer } from './logs.ts';
import { sendError } from './send-error.ts';

/**
 * Keeps web pages from spending a key that is lent on this machine without asking for an entry
 * key. A page anywhere can make a browser send a request here: CORS only keeps it from reading the
 * answer, which is paid for all the same. And a page whose host name was pointed at this machine
 * (DNS rebinding) counts as one of the server's own; its name in `Host` gives it away.
 *
 * @param corsOrigins - the pages that may, `['*']` for all
 */
export function guardLentKey(corsOrigins: readonly string[]): RequestHandler {
  return function refuseStrangers(req, res, next): void {
    const reason = reasonAgainst(req, corsOrigins);
    if (reason === undefined) {
      next();
      return;
    }
    logServer('refused entry', { method: req.method, path: req.baseUrl + req.path, reason });
    sendError(
      res,
      403,
      'forbidden_origin',
      `This proxy lends its key to programs on this machine, and not to ${reason}: ` +
        'set CORS_ORIGIN to let that page in, PROXY_API_KEYS to ask for a key, or ALLOW_OPEN_KEY=1.',
    );
  };
}

function reasonAgainst({ headers }: Request, corsOrigins: readonly string[]): string | undefined {
  const { origin, host = '' } = headers;
  const name = hostNameOf(host);
  if (!isLocalName(name)) return `the host name ${quote(name)}`;
  if (origin === undefined) {
    // Pictures and the like are asked for without an origin, but browsers tell whose they are.
    const site = headers['sec-fetch-site'];
    return site === 'cross-site' || site === 'same-site' ? 'a web page' : undefined;
  }
  if (origin === `http://${host}` || corsOrigins.includes('*') || corsOrigins.includes(origin))
    return undefined;
  return `the web page ${quote(origin)}`;
}

/** Bounded, and without what a terminal would obey. */
function quote(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}
