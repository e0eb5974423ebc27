import type { Response } from 'express';
import { LONGEST_EVENT, transformEvents } from './answer-transform.ts';
import type { AnswerTransform } from './answer-transform.ts';
import { breakConnection } from './break-connection.ts';
import { createLog } from './debug.ts';
import type { BodySource } from './decode-answer.ts';
import { endAnswer } from './end-answer.ts';
import { ProxyError, describeError, errorEvent, ownError, seconds } from './errors.ts';
import { EventAligner } from './event-stream.ts';
import type { RequestContext } from './request-context.ts';
import type { StreamEnd } from './stream-end.ts';
import type { AnswerSink } from './upstream-answer.ts';

const log = createLog('relay');

const NOTHING = Buffer.alloc(0);

/** Any body but events: byte for byte, under back-pressure. */
export class Relay implements AnswerSink {
  protected readonly context: RequestContext;
  protected readonly res: Response;
  readonly #source: BodySource;
  readonly #idleMs: number;
  /** The socket's own patience, while ours is in its place. */
  #patienceBefore: number | undefined;
  #isListening = false;

  /** @param idleMs - so long the client may leave unread what it was sent */
  constructor(context: RequestContext, source: BodySource, idleMs: number) {
    this.context = context;
    this.res = context.res;
    this.#source = source;
    this.#idleMs = idleMs;
    this.res.on('drain', () => {
      if (!this.res.writableEnded) this.#trustReader();
      source.resume();
    });
    this.res.once('close', () => this.#trustReader());
  }

  data(chunk: Buffer): void {
    this.write(chunk);
  }

  end(): void {
    this.watchEnd();
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
    if (this.res.write(chunk)) return;
    this.#source.pause();
    this.#watchReader();
  }

  /**
   * The client must take something of what it was sent, now and then: one that takes nothing would
   * hold its connection, and its upstream call, without an end. By the socket's own timer, which
   * alone sees how a write gets on.
   */
  #watchReader(): void {
    const { socket } = this.res;
    // Behind another answer of its connection it is not its turn yet.
    if (socket === null || this.#patienceBefore !== undefined) return;
    this.#patienceBefore = socket.timeout ?? 0;
    socket.setTimeout(this.#idleMs);
    if (this.#isListening) return;
    this.#isListening = true;
    this.res.on('timeout', () => {
      // Of the app's server: what Node does where nobody listens.
      if (this.#patienceBefore === undefined) socket.destroy();
      else this.#giveUpClient();
    });
  }

  #trustReader(): void {
    const before = this.#patienceBefore;
    this.#patienceBefore = undefined;
    const { socket } = this.context.req;
    // Node has set its own for the next request, or nobody has.
    if (before !== undefined && socket.timeout === this.#idleMs) socket.setTimeout(before);
  }

  /** The same for the last that it is sent, of which no more than a moment's worth is left. */
  protected watchEnd(): void {
    if (this.res.socket === null) return;
    this.context.patience.begin(this.#idleMs, () => this.#giveUpClient());
  }

  #giveUpClient(): void {
    const { id, model } = this.context;
    log('the client stopped reading', { id, model, after: seconds(this.#idleMs) });
    this.res.destroy();
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
export class EventRelay extends Relay {
  readonly #aligner: EventAligner;
  readonly #end: StreamEnd | undefined;
  readonly #transform: AnswerTransform | undefined;
  #hasFailed = false;

  /**
   * @param end - `undefined`: that the body ends is all that can be asked of it
   * @param transform - what becomes of each event; `undefined`: nothing
   */
  constructor(
    context: RequestContext,
    source: BodySource,
    idleMs: number,
    end: StreamEnd | undefined,
    transform?: AnswerTransform,
  ) {
    super(context, source, idleMs);
    this.#aligner = new EventAligner(transform && LONGEST_EVENT);
    this.#end = end;
    this.#transform = transform;
  }

  override data(chunk: Buffer): void {
    if (this.#hasFailed) return;
    const whole = this.#aligner.push(chunk);
    if (whole === undefined) return;
    this.#end?.look(whole, this.#aligner.midEvent);
    this.#pass(whole);
  }

  override end(): void {
    if (this.#hasFailed) return;
    const tail = this.#aligner.tail();
    if (this.#end?.isComplete(tail) === false) {
      this.broken(endedEarly());
      return;
    }
    if (tail.length > 0) this.#pass(tail);
    if (this.#transform?.end !== undefined) this.#passEnd(this.#transform);
    if (!this.#hasFailed) super.end();
  }

  override broken(error: ProxyError): void {
    if (this.#hasFailed) return;
    if (this.#aligner.midEvent && this.#transform?.streamType === undefined) {
      super.broken(error);
      return;
    }
    this.noteBreak(error);
    this.context.firstByteAt ??= performance.now();
    this.watchEnd();
    const { code, message } = error;
    const last = this.#transform?.error?.(ownError(code, message)) ?? errorEvent(code, message);
    // Only when the event has gone out may the connection go, and it must: an orderly end would
    // look like that of a whole answer.
    this.res.write(last, () => breakConnection(this.res));
  }

  #pass(events: Buffer): void {
    const transform = this.#transform;
    if (transform === undefined) {
      this.write(events);
      return;
    }
    if (this.#aligner.midEvent) {
      // Events stay events, even where one is too long to be changed.
      if (transform.streamType === undefined) this.write(events);
      else this.#fail(tooLong());
      return;
    }
    let failure: ProxyError | undefined;
    const changed = transformEvents(transform, events, (error) => {
      failure = failureOf(error);
    });
    if (changed.length > 0) this.write(changed);
    if (failure !== undefined) this.#fail(failure);
  }

  #passEnd(transform: AnswerTransform): void {
    if (this.#hasFailed) return;
    try {
      const last = transform.end?.() ?? NOTHING;
      if (last.length > 0) this.write(last);
    } catch (error) {
      this.#fail(failureOf(error));
    }
  }

  #fail(error: ProxyError): void {
    this.broken(error);
    this.#hasFailed = true;
    this.context.answer?.discard();
  }
}

/** What a transform threw: nobody above would catch it. */
function failureOf(error: unknown): ProxyError {
  if (error instanceof ProxyError) return error;
  return new ProxyError('upstream_invalid', 'The answer could not be translated.', error);
}

function tooLong(): ProxyError {
  return new ProxyError('upstream_invalid', 'The upstream sent an event that is too long.');
}

function endedEarly(): ProxyError {
  const message = 'The upstream ended the stream before its answer was complete.';
  return new ProxyError('upstream_disconnected', message);
}
