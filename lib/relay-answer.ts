import type { RequestHandler, Response } from 'express';
import { createLog } from './debug.ts';
import { endAnswer, isStillSending } from './end-answer.ts';
import { describeError, errorEvent } from './errors.ts';
import type { ProxyError } from './errors.ts';
import { EventAligner } from './event-stream.ts';
import { ANSWER_HEADERS, endToEndHeaders, headerList } from './headers.ts';
import { contextOf } from './request-context.ts';
import type { RequestContext } from './request-context.ts';
import type { AnswerSink, UpstreamAnswer } from './upstream-answer.ts';

const log = createLog('relay-answer');

/** So much later than the last bytes of a broken answer comes the reset that shows the break. */
const RESET_DELAY_MS = 100;

/** Gives the client the answer: its head with our notes, its body as it comes, its true end. */
export const relayAnswer: RequestHandler = (_req, res, next) => {
  const context = contextOf(res);
  const answer = context?.answer;
  // Without an answer the client has left, and nobody waits for anything.
  if (context === undefined || context.left || answer === undefined) return;
  try {
    writeHead(context, answer);
  } catch (error) {
    answer.discard();
    next(error);
    return;
  }
  if (hasNoBody(context.method, answer.status)) {
    res.end();
    answer.discard();
  } else {
    const isReadable = answer.isEventStream && answer.isPlain;
    const relay = isReadable ? new EventRelay(context, answer) : new Relay(context, answer);
    // Not corked: Node does so itself until the tick is over, and with `res.cork()` Node 22 and 24
    // send the last chunk in front of the second write.
    answer.consume(relay);
  }
};

/** RFC 9110 §6.4.1. */
function hasNoBody(method: string, status: number): boolean {
  return method === 'HEAD' || status === 204 || status === 304;
}

function writeHead(context: RequestContext, answer: UpstreamAnswer): void {
  const { res, req } = context;
  res.statusCode = answer.status;
  // A control byte in it would make Node throw; the phrase means nothing (RFC 9112 §4).
  if (/^[\t\x20-\x7e\x80-\xff]*$/.test(answer.statusMessage)) {
    res.statusMessage = answer.statusMessage;
  }
  // Header by header: middlewares of the app that hook `writeHead` do not all understand a list.
  for (const [name, values] of endToEndHeaders(answer.rawHeaders)) {
    relayHeader(res, name, values);
  }
  if (answer.isReplaced) describeConverted(res, answer);
  if (answer.isEventStream) describeEvents(res);
  if (isStillSending(req)) setHeader(res, 'connection', 'close');
  addNotes(context, answer);
}

/** How pages may use this server, which is the app's to say: CORS, and what helmet sets. */
const POLICY =
  /^(access-control-|content-security-policy|cross-origin-|origin-agent-cluster$|permissions-policy$|referrer-policy$|strict-transport-security$|x-(content-type-options|dns-prefetch-control|download-options|frame-options|permitted-cross-domain-policies|xss-protection)$)/;

/** What the app has said before stays where the answer is its, too: policies, `Vary`, cookies. */
function relayHeader(res: Response, name: string, values: [string, ...string[]]): void {
  const lower = name.toLowerCase();
  const said = res.getHeader(name);
  if (said !== undefined && POLICY.test(lower)) return;
  if (said !== undefined && lower === 'vary') {
    setHeader(res, name, `${String(said)}, ${values.join(', ')}`);
  } else if (said !== undefined && lower === 'set-cookie') {
    setHeader(res, name, [...[said].flat().map(String), ...values]);
  } else {
    setHeader(res, name, values.length === 1 ? values[0] : values);
  }
}

function setHeader(res: Response, name: string, value: string | string[]): void {
  try {
    res.setHeader(name, value);
  } catch (error) {
    log('a header of the answer was left out', { name, cause: describeError(error) });
  }
}

function describeConverted(res: Response, answer: UpstreamAnswer): void {
  for (const name of ['content-encoding', 'etag', 'content-md5', 'digest', 'content-digest']) {
    res.removeHeader(name);
  }
  setHeader(res, 'content-length', String(answer.collectedBytes));
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
    setHeader(res, 'retry-after', String(Math.max(1, Math.ceil(retryAfterMs / 1_000))));
  }
  // Whatever the upstream said: a second round of all this would be no other than the first.
  if (isFinal) setHeader(res, 'x-should-retry', 'false');
}

/** What the proxy did, on every answer: the upstream's and our own. */
export function noteAttempts(context: RequestContext): void {
  const { res } = context;
  setHeader(res, ANSWER_HEADERS.attempts, String(context.attempts));
  setHeader(res, ANSWER_HEADERS.wait, String(context.waitedMs));
  // Of these headers an upstream has nothing to say.
  if (context.dropped.length === 0) res.removeHeader(ANSWER_HEADERS.dropped);
  else setHeader(res, ANSWER_HEADERS.dropped, headerList(context.dropped));
}

/** Any body but events: byte for byte, under back-pressure. */
class Relay implements AnswerSink {
  protected readonly context: RequestContext;
  protected readonly res: Response;
  readonly #answer: UpstreamAnswer;

  constructor(context: RequestContext, answer: UpstreamAnswer) {
    this.context = context;
    this.res = context.res;
    this.#answer = answer;
    this.res.on('drain', () => answer.resume());
  }

  data(chunk: Buffer): void {
    this.write(chunk);
  }

  end(): void {
    endAnswer(this.context.req, this.res);
  }

  broken(error: ProxyError): void {
    this.noteBreak(error);
    // An answer that was dead before it was relayed: its head and what came of it still go out.
    if (!this.res.headersSent) this.res.flushHeaders();
    this.res.socket?.uncork();
    breakConnection(this.res);
  }

  protected write(chunk: Buffer): void {
    this.context.firstByteAt ??= performance.now();
    if (!this.res.write(chunk)) this.#answer.pause();
  }

  protected noteBreak(error: ProxyError): void {
    const { context } = this;
    context.outcome = 'broken';
    context.code = error.code;
    log('the answer broke', {
      id: context.id,
      model: context.model,
      code: error.code,
      cause: describeError(error),
    });
  }
}

/** Events leave whole, so that a stream that breaks can still end with an event that says so. */
class EventRelay extends Relay {
  readonly #aligner = new EventAligner();

  override data(chunk: Buffer): void {
    const whole = this.#aligner.push(chunk);
    if (whole !== undefined) this.write(whole);
  }

  override end(): void {
    const tail = this.#aligner.tail();
    if (tail.length > 0) this.write(tail);
    super.end();
  }

  override broken(error: ProxyError): void {
    if (this.#aligner.midEvent) {
      super.broken(error);
      return;
    }
    this.noteBreak(error);
    this.context.firstByteAt ??= performance.now();
    // Only when the event has gone out may the connection go, and it must: an orderly end would
    // look like that of a whole answer.
    this.res.write(errorEvent(error.code, error.message), () => breakConnection(this.res));
  }
}

/**
 * Ends the connection so that no client can take the answer for a complete one. A missing last
 * chunk or byte shows it; where the end of the connection *is* the end of the body (RFC 9112
 * §6.3), only a reset does.
 */
function breakConnection(res: Response): void {
  const { socket } = res;
  const endIsClose = !res.chunkedEncoding && !res.hasHeader('content-length');
  if (!endIsClose || socket === null) {
    res.destroy();
    return;
  }
  // Not at once: a client that finds the last bytes and the reset in one look (libuv does) may take
  // the reset for an end.
  const timer = setTimeout(() => {
    // A socket that is shutting down cannot be reset: Node then keeps its handle for ever.
    if (socket.writableEnded) {
      socket.destroy();
      return;
    }
    try {
      socket.resetAndDestroy();
    } catch {
      // TLS sockets have no reset; without `close_notify` their end shows by itself.
      res.destroy();
    }
  }, RESET_DELAY_MS);
  res.once('close', () => clearTimeout(timer));
}
