import type { Request, Response } from 'express';
import { hasBody } from './headers.ts';

/** So long a client that is still sending gets to finish and read its answer. */
const LINGER_MS = 1_000;

/** Whether some of the request's body may still come, although nobody wants it. */
export function isStillSending(req: Request): boolean {
  return !req.readableEnded && hasBody(req.headers);
}

/**
 * Ends an answer. A connection that is closed while the client still sends is
 * reset, and the answer may be lost with it (RFC 9112 §9.6): it goes out whole now, the connection
 * a little later. The rest of the body is not waited for any longer: it may be endless.
 */
export function endAnswer(req: Request, res: Response, last?: Buffer): void {
  if (!isStillSending(req)) {
    res.end(last);
    return;
  }
  if (last !== undefined) res.write(last);
  const end = (): void => {
    clearTimeout(timer);
    req.off('end', end).off('close', end);
    res.end();
  };
  const timer = setTimeout(end, LINGER_MS);
  req.on('end', end).on('close', end).resume();
}
