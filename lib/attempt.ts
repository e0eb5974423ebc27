import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import { changesJson } from './answer-transform.ts';
import { ProxyError, bodyStalled, connectionError, seconds } from './errors.ts';
import { endOfLastEvent } from './event-stream.ts';
import { EventWatch, causeOfFirstEvent, hasEvent } from './first-event.ts';
import type { Config } from './options.ts';
import { causeOfStatus } from './replay-policy.ts';
import type { FailureCause } from './replay-policy.ts';
import type { Cancellable, RequestContext } from './request-context.ts';
import { Upload } from './send-body.ts';
import { hasStreamEnd } from './stream-end.ts';
import { StandInAnswer, StandInRequest } from './upstream.ts';
import type { CallEvents, Upstream } from './upstream.ts';
import { UpstreamAnswer } from './upstream-answer.ts';
import { watchUsage } from './watch-usage.ts';

/** So much of an error's body is read before it is decided what becomes of it. */
const ERROR_BODY_BYTES = 64 * 1024;
const ERROR_BODY_MS = 2_000;
/** A first event that is longer is committed before it is whole. */
const FIRST_EVENT_BYTES = 64 * 1024;
/** The longest answer that is held whole. */
const WHOLE_ANSWER_BYTES = 256 * 1024 * 1024;

/** An attempt that brought no answer for the client, or one that may be worth another attempt. */
export class AttemptFailure extends Error {
  override readonly name = 'AttemptFailure';
  readonly kind: FailureCause;
  /** What the upstream said, where it said something. */
  readonly answer: UpstreamAnswer | undefined;
  /** What the client is told where there is no answer, and a client. */
  readonly error: ProxyError | undefined;

  constructor(kind: FailureCause, reason: UpstreamAnswer | ProxyError | 'client_left') {
    const error = reason instanceof ProxyError ? reason : undefined;
    const answer = reason instanceof UpstreamAnswer ? reason : undefined;
    super(error?.message ?? answer?.statusMessage ?? 'The client left.', { cause: error?.cause });
    this.kind = kind;
    this.error = error;
    this.answer = answer;
  }
}

interface Settlers {
  readonly resolve: (answer: UpstreamAnswer) => void;
  readonly reject: (failure: AttemptFailure) => void;
}

/**
 * One upstream call. It settles with the head of an answer and the first of its body, or with a
 * failure; from then on the answer speaks for itself, and the attempt only knows how to abort it.
 */
export class Attempt implements CallEvents, Cancellable {
  readonly #context: RequestContext;
  readonly #config: Config;
  readonly #onHead: (answer: UpstreamAnswer) => void;
  readonly #standIn = new StandInAnswer();

  #request: ClientRequest | undefined;
  #isConnected = false;
  #bytesReadBefore = 0;
  #upload: Upload | undefined;
  #answer: UpstreamAnswer | undefined;
  /** Until the attempt has settled. */
  #promise: Settlers | undefined;

  /** @param onHead - called with the head of an answer, while it waits for its body */
  constructor(context: RequestContext, config: Config, onHead: (answer: UpstreamAnswer) => void) {
    this.#context = context;
    this.#config = config;
    this.#onHead = onHead;
  }

  /**
   * @param isFresh - on a connection that nobody has used before
   * @throws AttemptFailure
   */
  run(upstream: Upstream, headers: OutgoingHttpHeaders, isFresh: boolean): Promise<UpstreamAnswer> {
    const context = this.#context;
    const { connectMs } = this.#config;
    const { upstreamMethod: method, upstreamPath } = context;
    context.busyWith = this;
    return new Promise((resolve, reject) => {
      this.#promise = { resolve, reject };
      context.patience.begin(connectMs, () => this.#onConnectTimeout());
      upstream.call(
        new StandInRequest(method, upstreamPath, headers, this),
        this.#standIn,
        isFresh,
      );
    });
  }

  /** Whatever phase this is in, the upstream call ends here. */
  cancel(reason?: ProxyError): void {
    if (this.#promise !== undefined) this.#fail('final', reason ?? 'client_left');
    else if (reason === undefined) this.#answer?.discard();
    else this.#answer?.interrupt(reason);
  }

  onRequest(request: ClientRequest): void {
    this.#request = request;
    // RFC 9112 §9.6: who has said `close` (httpxy does where the body is chunked) sends nothing more.
    // Node goes by what the answer says, and not all servers say it, too.
    if (request.getHeader('connection') === 'close') request.shouldKeepAlive = false;
    // After a switch of protocols that nobody asked for, this is all that Node says.
    request.once('close', () => {
      if (this.#answer === undefined) this.onError(new Error('the connection was closed'));
    });
    const { socket } = request;
    if (socket === null || request.reusedSocket || !isConnecting(socket)) {
      this.#bytesReadBefore = socket?.bytesRead ?? 0;
      this.#isConnected = true;
    } else {
      socket.once('encrypted' in socket ? 'secureConnect' : 'connect', () => {
        this.#isConnected = true;
        this.#sendBody(request);
      });
    }
  }

  onBodyWanted(request: ClientRequest): void {
    // A held body leaves together with the head, in one write; a stream is not touched before
    // there is a connection, so that an attempt without one may be made again.
    const { body } = this.#context;
    if (body.kind === 'held') endWith(request, body.bytes.pieces);
    else if (body.kind === 'none') request.end();
    if (this.#isConnected) this.#sendBody(request);
  }

  onResponse(response: IncomingMessage): void {
    if (this.#promise === undefined) {
      // Too late: the request may be waiting for something else already.
      response.on('error', () => {}).destroy();
      return;
    }
    const answer = new UpstreamAnswer(response, this.#context.patience, this.#config.idleMs, () => {
      this.#upload?.stop();
      if (answer.hasEnded) this.#standIn.finish();
      else this.#standIn.destroy();
    });
    this.#answer = answer;
    if (this.#config.on.usage !== undefined)
      watchUsage(this.#context, answer, this.#config.on.usage);
    this.#onHead(answer);
    if (answer.status < 200 || answer.status > 599) {
      this.#fail(
        'lost',
        new ProxyError(
          'upstream_invalid',
          `The upstream answered with the impossible status ${answer.status}.`,
        ),
      );
      return;
    }
    // RFC 9112 §6.1: a coding that nobody here undoes, and that the client would not hear of.
    const coding = answer.headers['transfer-encoding'];
    if (coding !== undefined && !/^\s*chunked\s*$/i.test(coding)) {
      const message = 'The upstream answered in a transfer coding that is not understood here.';
      this.#fail('final', new ProxyError('upstream_invalid', message));
      return;
    }
    // Who has answered with an error reads no more.
    if (answer.status >= 300) this.#upload?.stop();
    void this.#beginningOf(answer).then(() => this.#judge(answer));
  }

  onError(error: Error): void {
    if (this.#answer !== undefined) {
      this.#answer.fail(error);
    } else if (isUnsendable(error)) {
      const message = `A header of this request cannot be sent on: ${error.message}.`;
      this.#fail('final', new ProxyError('invalid_header', message));
    } else if (!this.#isConnected) {
      const { host } = this.#config.target;
      this.#fail(
        'unsent',
        new ProxyError('upstream_unreachable', `No connection to ${host} could be made.`, error),
      );
    } else if (this.#isStale()) {
      this.#fail(
        'stale',
        new ProxyError(
          'upstream_disconnected',
          'The upstream closed a kept connection as the request went out.',
          error,
        ),
      );
    } else {
      const message = 'The upstream closed the connection before it answered.';
      this.#fail('lost', connectionError(error, message));
    }
  }

  /** How much of an answer must be there before it is decided what becomes of it. */
  #beginningOf(answer: UpstreamAnswer): Promise<void> {
    if (answer.status >= 400) {
      return answer.collectUntil(() => answer.collectedBytes >= ERROR_BODY_BYTES, ERROR_BODY_MS);
    }
    if (this.#context.wantsBase64 || changesJson(this.#context, answer)) {
      return answer.collectUntil(() => answer.collectedBytes > WHOLE_ANSWER_BYTES);
    }
    if (!answer.isEventStream || !answer.isPlain) return answer.collectUntil(() => true);
    // Comments may go ahead of the first event only where the client hears of nothing else.
    const mustSpeak = this.#context.stream && this.#config.heartbeatMs > 0;
    let beforeLast = 0;
    let last = 0;
    let hasEnded = false;
    const watch = new EventWatch();
    return answer.collectUntil((chunk) => {
      const from = mustSpeak ? watch.look(chunk) : 0;
      // Not the end of a comment in front of it.
      hasEnded ||= from !== -1 && endOfLastEvent(chunk, beforeLast, last) > from;
      beforeLast = chunk.at(-2) ?? last;
      last = chunk.at(-1) ?? last;
      if (answer.collectedBytes > FIRST_EVENT_BYTES) return true;
      return hasEnded;
    });
  }

  #judge(answer: UpstreamAnswer): void {
    if (this.#promise === undefined) return;
    const cause = this.#causeOf(answer);
    if (cause !== 'final') {
      answer.pause();
      this.#settle(new AttemptFailure(cause, answer));
    } else if (answer.breakReason !== undefined && answer.status < 400) {
      const kind = answer.breakReason.code === 'upstream_timeout' ? 'timeout' : 'lost';
      this.#settle(new AttemptFailure(kind, answer.breakReason));
    } else if (this.#isHollow(answer)) {
      const message = 'The upstream ended the stream before its first event.';
      this.#settle(new AttemptFailure('lost', new ProxyError('upstream_disconnected', message)));
    } else {
      this.#settle(answer);
    }
  }

  #causeOf(answer: UpstreamAnswer): FailureCause {
    if (answer.status >= 400) return causeOfStatus(answer.status);
    if (!answer.isEventStream || !answer.isPlain) return 'final';
    return causeOfFirstEvent(answer.collected);
  }

  /** Nothing of it has reached the client, who is better served by another attempt. */
  #isHollow(answer: UpstreamAnswer): boolean {
    if (!answer.hasEnded || !answer.isEventStream || !answer.isPlain) return false;
    const { route } = this.#context;
    return answer.status < 300 && hasStreamEnd(route) && !hasEvent(answer.collected);
  }

  #sendBody(request: ClientRequest): void {
    if (this.#promise === undefined) return;
    if (this.#context.body.kind !== 'passthrough') {
      this.#awaitHead();
      return;
    }
    this.#context.patience.stop();
    this.#context.bodyIsGone = true;
    this.#upload = new Upload(this.#context.req, request, this.#config.idleMs, {
      onSent: () => this.#awaitHead(),
      onStalled: (side) => this.#onUploadStalled(side),
    });
  }

  #awaitHead(): void {
    if (this.#answer !== undefined) return;
    const { firstByteMs } = this.#config;
    const { timeLeftMs } = this.#context;
    const isOurs = firstByteMs <= timeLeftMs;
    this.#context.patience.begin(isOurs ? firstByteMs : Math.max(0, timeLeftMs), () => {
      const message = isOurs
        ? `The upstream did not answer within ${seconds(firstByteMs)}.`
        : "The upstream did not answer within the client's own timeout.";
      this.#fail('timeout', new ProxyError('upstream_timeout', message));
    });
  }

  #onConnectTimeout(): void {
    const { target, connectMs } = this.#config;
    this.#fail(
      'unsent',
      new ProxyError(
        'upstream_unreachable',
        `No connection to ${target.host} could be made within ${seconds(connectMs)}.`,
      ),
    );
  }

  #onUploadStalled(side: 'client' | 'upstream'): void {
    const { idleMs } = this.#config;
    this.#fail(
      'timeout',
      side === 'client'
        ? bodyStalled(idleMs)
        : new ProxyError(
            'upstream_timeout',
            `The upstream stopped reading the request for ${seconds(idleMs)}.`,
          ),
    );
  }

  /** RFC 9112 §9.6: the other side had gone before it saw the request. */
  #isStale(): boolean {
    const request = this.#request;
    return request?.reusedSocket === true && request.socket?.bytesRead === this.#bytesReadBefore;
  }

  #settle(result: UpstreamAnswer | AttemptFailure): void {
    const promise = this.#promise;
    this.#promise = undefined;
    if (result instanceof UpstreamAnswer) promise?.resolve(result);
    else promise?.reject(result);
  }

  #fail(kind: FailureCause, reason: ProxyError | 'client_left'): void {
    if (this.#promise === undefined) return;
    this.#context.patience.stop();
    this.#settle(new AttemptFailure(kind, reason));
    this.#upload?.stop();
    this.#standIn.destroy();
    this.#answer?.discard();
  }
}

function endWith(request: ClientRequest, pieces: readonly Buffer[]): void {
  for (let i = 0; i < pieces.length - 1; i += 1) request.write(pieces[i]);
  request.end(pieces.at(-1));
}

/** Node has refused to write the head. */
function isUnsendable(error: Error): boolean {
  return (
    'code' in error && /^ERR_(HTTP_INVALID|INVALID_CHAR|INVALID_HTTP)/.test(String(error.code))
  );
}

function isConnecting(socket: Socket & { readonly secureConnecting?: boolean }): boolean {
  return socket.connecting || socket.secureConnecting === true;
}
