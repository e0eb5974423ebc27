import { noteComment } from './answer-head.ts';
import { retryAfterMs, upstreamNow } from './backoff.ts';
import { DecodedAnswer } from './decode-answer.ts';
import type { BodySource } from './decode-answer.ts';
import { createDecoder, decodeBeginning } from './decode-body.ts';
import { endAnswer } from './end-answer.ts';
import { ProxyError, eventOf, retryAfterSeconds } from './errors.ts';
import type { RequestContext } from './request-context.ts';
import type { AnswerSink, UpstreamAnswer } from './upstream-answer.ts';
import { readUpstreamError } from './upstream-error.ts';

/** Gives the client events, under the back-pressure that their source obeys. */
type OpenRelay = (source: BodySource) => AnswerSink;

/**
 * Gives an answer to a client that has the head of a stream already: whatever the answer is, it
 * becomes events.
 *
 * @throws ProxyError when nothing of it can
 */
export function relayAsEvents(
  context: RequestContext,
  answer: UpstreamAnswer,
  openRelay: OpenRelay,
): void {
  const { res } = context;
  // Somebody else has ended it (a time limit of the app's, say).
  if (res.writableEnded || res.destroyed) answer.discard();
  else if (answer.status >= 400) tellError(context, answer);
  else if (isBodiless(answer.status)) throw unfit(`status ${answer.status}`);
  else relayBody(context, answer, openRelay);
}

/** RFC 9110 §15.3.5, §15.3.6, §15.4: there is nothing in these that a reader of events could use. */
function isBodiless(status: number): boolean {
  return status === 204 || status === 205 || status >= 300;
}

function unfit(what: string): ProxyError {
  return new ProxyError('upstream_invalid', `The upstream answered with ${what}, not with events.`);
}

function tellError(context: RequestContext, answer: UpstreamAnswer): void {
  const { status, headers } = answer;
  // What the attempt has read (64 kB) is enough, and the client has waited long enough.
  const coding = answer.isReplaced ? undefined : headers['content-encoding'];
  const text = decodeBeginning(answer.joined, coding);
  const error = readUpstreamError(status, headers['content-type'], text);
  answer.discard();
  const afterMs =
    context.givenUp?.retryAfterMs ??
    retryAfterMs(headers['retry-after'], upstreamNow(headers, Date.now()));
  const event = eventOf({
    message: error.message,
    type: error.type,
    param: error.field?.name ?? null,
    code: error.code ?? null,
    status,
    retry_after: afterMs === undefined ? undefined : retryAfterSeconds(afterMs),
  });
  // The client's status is 200 now: this is what tells the failure.
  context.code = `upstream_${status}`;
  context.firstByteAt ??= performance.now();
  endAnswer(context.req, context.res, Buffer.from(noteComment(context) + event));
}

function relayBody(context: RequestContext, answer: UpstreamAnswer, openRelay: OpenRelay): void {
  const coding = answer.headers['content-encoding'];
  const type = answer.headers['content-type'];
  if (!answer.isEventStream && !answer.isJson && !isText(type)) {
    throw unfit(`a body of type ${type}`);
  }
  if (answer.isPlain) {
    context.res.write(noteComment(context));
    answer.consume(eventsOf(answer, openRelay(answer)));
    return;
  }
  const decoder = createDecoder(coding);
  if (decoder === undefined) throw unfit(`a body in the coding ${coding}`);
  context.res.write(noteComment(context));
  const decoded = new DecodedAnswer(answer, decoder);
  context.res.once('close', () => decoded.discard());
  decoded.consume(eventsOf(answer, openRelay(decoded)));
}

function eventsOf(answer: UpstreamAnswer, relay: AnswerSink): AnswerSink {
  return answer.isEventStream ? relay : new EventOfBody(relay);
}

function isText(contentType = 'text/plain'): boolean {
  return /^\s*text\//i.test(contentType);
}

/**
 * Makes one event of a body that is none: the upstream may not know `stream`, and what it sent is
 * paid for. Up to 1 MiB are held, as of any event; what is longer leaves as it comes.
 */
class EventOfBody implements AnswerSink {
  readonly #relay: AnswerSink;
  #isEmpty = true;
  #isLineStart = true;
  #endsWithCr = false;

  constructor(relay: AnswerSink) {
    this.#relay = relay;
  }

  data(chunk: Buffer): void {
    // latin1 keeps every byte, wherever the chunk cuts a character.
    let text = chunk.toString('latin1');
    if (this.#endsWithCr && text.startsWith('\n')) text = text.slice(1);
    this.#endsWithCr = chunk.at(-1) === 0x0d;
    if (text === '') return;
    text = text.replaceAll(/\r\n?/g, '\n');
    const starts = this.#isLineStart ? /(?<=^|\n)(?=[^])/g : /(?<=\n)(?=[^])/g;
    this.#isEmpty = false;
    this.#isLineStart = text.endsWith('\n');
    this.#relay.data(Buffer.from(text.replaceAll(starts, 'data: '), 'latin1'));
  }

  end(): void {
    if (!this.#isEmpty) this.#relay.data(Buffer.from(this.#isLineStart ? '\n' : '\n\n'));
    this.#relay.end();
  }

  broken(error: ProxyError): void {
    this.#relay.broken(error);
  }
}
