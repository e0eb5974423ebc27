import { createHash, timingSafeEqual } from 'node:crypto';
import type { Request, RequestHandler } from 'express';
import { logServer } from './logs.ts';
import { sendError } from './send-error.ts';

/** Lets in who brings one of the keys in either place; with no keys, everyone. */
export function requireAnyEntryKey(keys: readonly string[]): RequestHandler {
  const [inAuthorization, inHeader] = [
    requireEntryKey(keys, 'authorization'),
    requireEntryKey(keys, 'x-proxy-api-key'),
  ];
  return function checkAnyEntryKey(req, res, next): void {
    const check = req.headers['x-proxy-api-key'] === undefined ? inAuthorization : inHeader;
    void check(req, res, next);
  };
}

/** Where the entry key stands: in `Authorization`, unless clients bring a Venice key there. */
export type EntryHeader = 'authorization' | 'x-proxy-api-key';

/**
 * Lets in who brings one of the keys; with no keys, everyone. The entry key is taken out of the
 * request, so that it never goes upstream.
 */
export function requireEntryKey(keys: readonly string[], header: EntryHeader): RequestHandler {
  const isKey = entryKeyCheck(keys);
  const place =
    header === 'authorization'
      ? '`Authorization: Bearer KEY`'
      : '`X-Proxy-Api-Key: KEY` (`Authorization` is for a key of Venice)';

  return function checkEntryKey(req, res, next): void {
    const key = readKey(req, header);
    delete req.headers['x-proxy-api-key'];
    if (keys.length === 0) {
      next();
      return;
    }
    delete req.headers[header];
    if (key !== undefined && isKey(key)) {
      next();
      return;
    }
    const reason = key === undefined ? 'no key' : 'a wrong key';
    logServer('refused entry', { method: req.method, path: req.baseUrl + req.path, reason });
    if (header === 'authorization') {
      // RFC 6750 §3: without credentials only the scheme, with wrong ones the reason.
      res.setHeader(
        'www-authenticate',
        key === undefined ? 'Bearer' : 'Bearer error="invalid_token"',
      );
    }
    sendError(
      res,
      401,
      'invalid_api_key',
      `This proxy lets in who sends one of its own keys as ${place}; this request had ${reason}.`,
    );
  };
}

function readKey(req: Request, header: EntryHeader): string | undefined {
  if (header === 'x-proxy-api-key') {
    const value = req.headers['x-proxy-api-key'];
    return typeof value === 'string' && value !== '' ? value : undefined;
  }
  return /^Bearer +(\S+)$/i.exec(req.headers.authorization ?? '')?.[1];
}

/**
 * Tells whether a text is one of the keys, in constant time: neither how much of a key is right nor
 * which of them it is shows.
 */
export function entryKeyCheck(keys: readonly string[]): (text: string) => boolean {
  const hashes = keys.map((key) => sha256(key));
  return function isKey(text: string): boolean {
    const given = sha256(text);
    let isKnown = false;
    // No `some`: it stops at the first that fits. The hashes make all lengths the same.
    for (const hash of hashes) isKnown = timingSafeEqual(hash, given) || isKnown;
    return isKnown;
  };
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
