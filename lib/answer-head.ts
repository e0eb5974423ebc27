import type { Response } from 'express';
import { changesEvents, changesJson } from './answer-transform.ts';
import { createLog } from './debug.ts';
import { isStillSending } from './end-answer.ts';
import { describeError, retryAfterSeconds } from './errors.ts';
import { ANSWER_HEADERS, endToEndHeaders, headerList } from './headers.ts';
import type { RequestContext } from './request-context.ts';
import type { UpstreamAnswer } from './upstream-answer.ts';

const log = createLog('answer-head');

/** The head of the upstream's answer, as the client gets it, with our notes. */
export function writeHead(context: RequestContext, answer: UpstreamAnswer): void {
  const { res, req } = context;
  res.statusCode = answer.status;
  // A control byte in it would make Node throw; the phrase means nothing (RFC 9112 §4).
  if (/^[\t\x20-\x7e\x80-\xff]*$/.test(answer.statusMessage)) {
    res.statusMessage = answer.statusMessage;
  }
  relayHeaders(res, endToEndHeaders(answer.rawHeaders, answer.headers.connection));
  if (answer.isReplaced) describeConverted(res, answer);
  if (context.transform !== undefined) describeTransformed(context, answer);
  if (answer.isEventStream) describeEvents(res);
  if (isStillSending(req)) setHeader(res, 'connection', 'close');
  addNotes(context, answer);
}

/**
 * The head of a stream of which nothing is known yet. Our notes would lie in it: they follow in a
 * comment (`noteComment`).
 */
export function writeEarlyHead({ req, res }: RequestContext): void {
  res.statusCode = 200;
  setHeader(res, 'content-type', 'text/event-stream; charset=utf-8');
  if (!res.hasHeader('cache-control')) setHeader(res, 'cache-control', 'no-cache');
  describeEvents(res);
  if (isStillSending(req)) setHeader(res, 'connection', 'close');
  res.flushHeaders();
}

/** How pages may use this server, where the app says it: what helmet sets. */
const POLICY =
  /^(content-security-policy|cross-origin-|origin-agent-cluster$|permissions-policy$|referrer-policy$|strict-transport-security$|x-(content-type-options|dns-prefetch-control|download-options|frame-options|permitted-cross-domain-policies|xss-protection)$)/;

/** Header by header: middlewares of the app that hook `writeHead` do not all understand a list. */
function relayHeaders(res: Response, headers: readonly string[]): void {
  const before = res.getHeaderNames();
  const relayed: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] ?? '';
    const value = headers[i + 1] ?? '';
    const lower = name.toLowerCase();
    // Whose scripts may read it is for the app to say, by silence, too: with the upstream's `*` any
    // page could use a key that the proxy adds. And of what this proxy did nobody else knows.
    if (lower.startsWith('access-control-') || lower.startsWith('x-venice-proxy-')) continue;
    if (before.includes(lower) && POLICY.test(lower)) continue;
    if (relayed.includes(lower)) addHeader(res, name, value);
    else if (before.includes(lower)) relayBeside(res, name, lower, value);
    else setHeader(res, name, value);
    relayed.push(lower);
  }
}

/** What the app has said before stays where the answer is its, too: policies, `Vary`, cookies. */
function relayBeside(res: Response, name: string, lower: string, value: string): void {
  const said = res.getHeader(lower);
  if (lower === 'vary') setHeader(res, name, `${String(said)}, ${value}`);
  else if (lower === 'set-cookie')
    setHeader(res, name, [...[said ?? []].flat().map(String), value]);
  else setHeader(res, name, value);
}

function setHeader(res: Response, name: string, value: string | string[]): void {
  try {
    res.setHeader(name, value);
  } catch (error) {
    log('a header of the answer was left out', { name, cause: describeError(error) });
  }
}

/** Beside the values that the name has already, under its first spelling. */
function addHeader(res: Response, name: string, value: string): void {
  try {
    res.appendHeader(name, value);
  } catch (error) {
    log('a header of the answer was left out', { name, cause: describeError(error) });
  }
}

/** These describe a body byte for byte. */
const OF_THE_BYTES = [
  'content-encoding',
  'content-length',
  'etag',
  'content-md5',
  'digest',
  'content-digest',
  'repr-digest',
] as const;

function describeConverted(res: Response, answer: UpstreamAnswer): void {
  for (const name of OF_THE_BYTES) res.removeHeader(name);
  if (answer.replacedType !== undefined) setHeader(res, 'content-type', answer.replacedType);
  setHeader(res, 'content-length', String(answer.collectedBytes));
}

/** Of what is changed while it is relayed, and of what would be if it were asked for. */
function describeTransformed(context: RequestContext, answer: UpstreamAnswer): void {
  const { res, method, transform } = context;
  const isStream = changesEvents(context, answer);
  if (!isStream && !(method === 'HEAD' && changesJson(context, answer))) return;
  for (const name of OF_THE_BYTES) res.removeHeader(name);
  if (isStream && transform?.streamType !== undefined) {
    setHeader(res, 'content-type', transform.streamType);
  }
}

function describeEvents(res: Response): void {
  // An error event may have to be added at the end.
  res.removeHeader('content-length');
  // `no-transform` (RFC 9111 §5.2.2.6) keeps compressing middlewares and proxies from holding
  // events back; nginx wants to be told in its own words.
  const control = res.getHeader('cache-control');
  const said = control === undefined ? '' : String(control);
  if (!/\bno-transform\b/i.test(said)) {
    setHeader(res, 'cache-control', said === '' ? 'no-transform' : `${said}, no-transform`);
  }
  setHeader(res, 'x-accel-buffering', 'no');
}

function addNotes(context: RequestContext, answer: UpstreamAnswer): void {
  const { res, givenUp } = context;
  noteAttempts(context);
  if (givenUp === undefined) return;
  const { retryAfterMs, isFinal } = givenUp;
  if (retryAfterMs !== undefined && answer.headers['retry-after'] === undefined) {
    setHeader(res, 'retry-after', String(retryAfterSeconds(retryAfterMs)));
  }
  // Whatever the upstream said: a second round of all this would be no other than the first.
  if (isFinal) setHeader(res, 'x-should-retry', 'false');
}

/** What the proxy did, on every answer: the upstream's and our own. */
export function noteAttempts(context: RequestContext): void {
  const { res } = context;
  setHeader(res, ANSWER_HEADERS.attempts, String(context.attempts));
  setHeader(res, ANSWER_HEADERS.wait, String(context.waitedMs));
  if (context.dropped.length > 0) {
    setHeader(res, ANSWER_HEADERS.dropped, headerList(context.dropped));
  }
  if (context.otherModel !== undefined) {
    setHeader(res, ANSWER_HEADERS.model, headerList([context.otherModel]));
  }
  if (context.hint !== undefined) setHeader(res, ANSWER_HEADERS.hint, context.hint);
}

/** The same behind a head that is out already, as a comment of the stream. */
export function noteComment(context: RequestContext): string {
  const { attempts, waitedMs, dropped, otherModel, hint } = context;
  const notes = [`${ANSWER_HEADERS.attempts}=${attempts}`, `${ANSWER_HEADERS.wait}=${waitedMs}`];
  if (dropped.length > 0) notes.push(`${ANSWER_HEADERS.dropped}=${headerList(dropped)}`);
  if (otherModel !== undefined) notes.push(`${ANSWER_HEADERS.model}=${headerList([otherModel])}`);
  if (hint !== undefined) notes.push(`${ANSWER_HEADERS.hint}=${hint}`);
  return `: ${notes.join(' ')}\n\n`;
}
