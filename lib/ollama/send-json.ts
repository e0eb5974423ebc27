import { createHash } from 'node:crypto';
import { noteAttempts } from '../answer-head.ts';
import { endAnswer } from '../end-answer.ts';
import type { RequestContext } from '../request-context.ts';
import type { JsonObject } from '../json-value.ts';

/** Answers with what is known here; with 304 (RFC 9110 §13.1.2) a client that has it already. */
export function sendJson(context: RequestContext, value: JsonObject): void {
  const { req, res } = context;
  const body = Buffer.from(JSON.stringify(value));
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
  context.firstByteAt ??= performance.now();
  noteAttempts(context);
  res.setHeader('etag', etag);
  if (isKnown(etag, req.headers['if-none-match'])) {
    res.statusCode = 304;
    endAnswer(req, res);
    return;
  }
  res.statusCode = 200;
  res.setHeader('content-type', 'application/json; charset=utf-8');
  res.setHeader('content-length', String(body.length));
  endAnswer(req, res, body);
}

function isKnown(etag: string, ifNoneMatch: string | undefined): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch
    .split(',')
    .map((item) => item.trim().replace(/^W\//, ''))
    .some((known) => known === '*' || known === etag);
}
