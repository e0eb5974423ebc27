import type { RequestHandler, Response } from 'express';
import { writeHead } from './answer-head.ts';
import { createLog } from './debug.ts';
import type { BodySource } from './decode-answer.ts';
import { endAnswer } from './end-answer.ts';
import { describeError, errorEvent } from './errors.ts';
import type { ProxyError } from './errors.ts';
import { EventAligner } from './event-stream.ts';
import { relayAsEvents } from './relay-as-events.ts';
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
  const isHeadOut = context.endHeartbeat();
  try {
    if (isHeadOut) {
      relayAsEvents(context, answer, (source) => new EventRelay(context, source));
      return;
    }
    writeHead(context, answer);
  } catch (error) {
    answer.discard();
    next(error);
    return;
  }
  relayBody(context, answer);
};

function relayBody(context: RequestContext, answer: UpstreamAnswer): void {
  if (hasNoBody(context.method, answer.status)) {
    context.res.end();
    answer.discard();
    return;
  }
  const isReadable = answer.isEventStream && answer.isPlain;
  const relay = isReadable ? new EventRelay(context, answer) : new Relay(context, answer);
  // Not corked: Node does so itself until the tick is over, and with `res.cork()` Node 22 and 24
  // send the last chunk in front of the second write.
  answer.consume(relay);
}

/** RFC 9110 §6.4.1. */
function hasNoBody(method: string, status: number): boolean {
  return method === 'HEAD' || status === 204 || status === 304;
}

/** Any body but events: byte for byte, under back-pressure. */
class Relay implements AnswerSink {
  protected readonly context: RequestContext;
  protected readonly res: Response;
  readonly #source: BodySource;

  constructor(context: RequestContext, source: BodySource) {
    this.context = context;
    this.res = context.res;
    this.#source = source;
    this.res.on('drain', () => source.resume());
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
    // Node holds what was written in this tick until the next one, and `destroy` would drop it.
    this.res.socket?.uncork();
    breakConnection(this.res);
  }

  protected write(chunk: Buffer): void {
    this.context.firstByteAt ??= performance.now();
    if (!this.res.write(chunk)) this.#source.pause();
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
