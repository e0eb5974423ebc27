import type { Response } from 'express';
import { createLog } from './debug.ts';
import { endAnswer, isStillSending } from './end-answer.ts';
import { hintForOwn } from './error-hints.ts';
import {
  ProxyError,
  describeError,
  errorBody,
  errorEvent,
  isError,
  ownError,
  redact,
  retryAfterSeconds,
} from './errors.ts';
import { noteAttempts, noteComment } from './answer-head.ts';
import type { ProxyErrorCode } from './errors.ts';
import type { RequestContext } from './request-context.ts';

const log = createLog('answer-error');

/** What a step threw becomes an answer in OpenAI's shape. */
export function answerError(context: RequestContext, error: unknown): void {
  const { res } = context;
  if (context.left) return;
  context.phase = 'relaying';
  const shown = context.interruption ?? asProxyError(error);
  log('answered with an error', {
    id: context.id,
    status: shown.status,
    code: shown.code,
    cause: describeError(error),
    stack: stackOf(error instanceof ProxyError ? error.cause : error),
  });
  const isHeadOut = context.endHeartbeat();
  // A head that is not ours, or an end: there is no place left for an error.
  if (res.writableEnded || (res.headersSent && !isHeadOut)) {
    res.destroy();
    return;
  }
  context.outcome = 'refused';
  context.code = shown.code;
  context.hint = hintForOwn(shown.code, context);
  if (isHeadOut) sendEvent(context, res, shown);
  else send(context, res, shown);
}

function asProxyError(error: unknown): ProxyError {
  return error instanceof ProxyError
    ? error
    : new ProxyError('internal_error', 'The proxy failed; its log tells more.', error);
}

function send(context: RequestContext, res: Response, { code, status, message }: ProxyError): void {
  const body =
    context.transform?.error?.({ ...ownError(code, message), status }) ??
    Buffer.from(errorBody(code, message));
  res.statusCode = status;
  res.setHeader('content-type', 'application/json; charset=utf-8');
  res.setHeader('content-length', String(body.length));
  noteAttempts(context);
  if (context.givenUp?.isFinal === true) res.setHeader('x-should-retry', 'false');
  if (code === 'draining') res.setHeader('connection', 'close');
  const retryAfter = retryAfterOf(context, code);
  if (retryAfter !== undefined) res.setHeader('retry-after', String(retryAfter));
  const { req } = context;
  if (isStillSending(req)) res.setHeader('connection', 'close');
  endAnswer(req, res, body);
}

/** The client has the head of a stream already: its last event tells what a head would have. */
function sendEvent(context: RequestContext, res: Response, error: ProxyError): void {
  const { code, status, message } = error;
  const extras = { status, retry_after: retryAfterOf(context, code) };
  const event = errorEvent(code, message, extras);
  endAnswer(context.req, res, Buffer.from(noteComment(context) + event));
}

/** In seconds; `undefined` where nobody knows. */
function retryAfterOf({ givenUp }: RequestContext, code: ProxyErrorCode): number | undefined {
  // Another server takes over at once.
  if (code === 'draining') return 1;
  const afterMs = givenUp?.retryAfterMs;
  return afterMs === undefined ? undefined : retryAfterSeconds(afterMs);
}

function stackOf(error: unknown): string | undefined {
  if (!isError(error)) return undefined;
  // Only the frames: the message in front of them may have lines of its own.
  const frames = error.stack?.split('\n').filter((line) => /^\s+at /.test(line));
  return (
    frames &&
    redact(
      frames
        .slice(0, 3)
        .map((line) => line.trim())
        .join(' '),
    )
  );
}
