import type { Request, RequestHandler } from 'express';
import { logServer } from '../logs.ts';
import { hostNameOf, isLocalName } from '../local-name.ts';
import { sendError } from '../send-error.ts';
import type { StatusAccess } from '../settings.ts';

/**
 * Lets in who may see the page.
 *
 * @param isKey - whether a text is one of the entry keys
 */
export function guardStatus(
  access: Exclude<StatusAccess, 'nobody'>,
  isKey: (text: string) => boolean,
): RequestHandler {
  return function checkStatusAccess(req, res, next): void {
    const reason = reasonAgainst(req, access);
    if (reason !== undefined) {
      refuse(req, reason);
      sendError(res, 403, 'forbidden_origin', `The status page is not for ${reason}.`);
      return;
    }
    if (access !== 'key') {
      next();
      return;
    }
    const key = readKey(req.headers.authorization);
    if (key !== undefined && isKey(key)) {
      next();
      return;
    }
    refuse(req, key === undefined ? 'no key' : 'a wrong key');
    // A browser asks for a user name and a password, and sends them with the events, too.
    res.setHeader('www-authenticate', 'Basic realm="venice-proxy status", charset="UTF-8"');
    sendError(
      res,
      401,
      'invalid_api_key',
      'The status page asks for one of the keys of this proxy: as the password, with any user name.',
    );
  };
}

function refuse(req: Request, reason: string): void {
  logServer('refused entry', { method: req.method, path: req.baseUrl + req.path, reason });
}

/** What a proxy in front of this machine adds: then the request comes from elsewhere. */
const PASSED_ON = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip'];

/**
 * Other web pages can make a browser ask, and read the answer when their own name was pointed at
 * this machine (DNS rebinding). Links lead here from everywhere: the answer to one is its own page.
 */
function reasonAgainst({ headers }: Request, access: StatusAccess): string | undefined {
  if (access === 'this machine') {
    const name = hostNameOf(headers.host ?? '');
    if (!isLocalName(name))
      return `the host name ${JSON.stringify(name.slice(0, 100))}, unless STATUS_PAGE=1`;
    if (PASSED_ON.some((header) => headers[header] !== undefined))
      return 'who is elsewhere and comes through a proxy, unless STATUS_PAGE=1';
  }
  const site = headers['sec-fetch-site'];
  if (site !== 'cross-site' && site !== 'same-site') return undefined;
  const isLink =
    headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document';
  return isLink ? undefined : 'another web page';
}

/** `Basic`, whose password is the key, as browsers send it; or `Bearer`, as clients do. */
function readKey(authorization = ''): string | undefined {
  const [, scheme = '', credentials = ''] = /^(\w+) +(\S+)$/.exec(authorization) ?? [];
  if (scheme.toLowerCase() === 'bearer') return credentials;
  if (scheme.toLowerCase() !== 'basic') return undefined;
  // RFC 7617 §2: the user name holds no colon.
  const key = Buffer.from(credentials, 'base64')
    .toString()
    .replace(/^[^:]*:/, '');
  return key === '' ? undefined : key;
}
