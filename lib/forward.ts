import type { OutgoingHttpHeaders } from 'node:http';
import type { RequestHandler } from 'express';
import pRetry from 'p-retry';
import { Attempt, AttemptFailure } from './attempt.ts';
import { delayAfter } from './backoff.ts';
import type { Delay } from './backoff.ts';
import { convertAnswer } from './convert-answer.ts';
import { createLog } from './debug.ts';
import { decodeBeginning } from './decode-body.ts';
import { ProxyError, describeError } from './errors.ts';
import { single } from './headers.ts';
import { callHook } from './hooks.ts';
import type { Config } from './options.ts';
import type { ProxyState } from './proxy-state.ts';
import { reasonAgainstReplay, replayClassOf } from './replay-policy.ts';
import { step } from './request-context.ts';
import type { RequestContext } from './request-context.ts';
import type { UpstreamAnswer } from './upstream-answer.ts';
import type { Upstream } from './upstream.ts';
import { addApiKey, upstreamHeaders } from './upstream-headers.ts';

const log = createLog('forward');

/**
 * A client whose upload nobody reads can leave without being noticed: it is not kept waiting for
 * longer than this in all.
 */
const LONGEST_UPLOAD_WAIT_MS = 10_000;

/**
 * Makes attempts until one brings an answer for the client, and leaves it in the context: a good
 * one, a final one, or the last of those that failed.
 */
export function forward(
  config: Config,
  state: ProxyState,
  upstream: Upstream,
  pseudonym: string,
): RequestHandler {
  return step('forward', async (context) => {
    context.replayClass = replayClassOf(context.method, context.route);
    const headers = upstreamHeaders(context, pseudonym);
    if (config.apiKey !== undefined) await addApiKey(headers, context, config.apiKey);
    if (context.left) return;
    await new Forwarding(context, headers, config, state, upstream).run();
  });
}

/** The attempts of one request. */
class Forwarding {
  readonly #context: RequestContext;
  readonly #headers: OutgoingHttpHeaders;
  readonly #config: Config;
  readonly #state: ProxyState;
  readonly #upstream: Upstream;
  #hasReplacedStale = false;
  /** The wait that was due after the last failure, whether it was begun or not. */
  #delay: Delay | undefined;

  constructor(
    context: RequestContext,
    headers: OutgoingHttpHeaders,
    config: Config,
    state: ProxyState,
    upstream: Upstream,
  ) {
    this.#context = context;
    this.#headers = headers;
    this.#config = config;
    this.#state = state;
    this.#upstream = upstream;
  }

  async run(): Promise<void> {
    try {
      // The delay is ours: it depends on the answer, it can be cut short, and the answer of an
      // attempt that is not made again must stay whole.
      this.#context.answer = await pRetry(() => this.#attempt(), {
        retries: this.#config.retries,
        minTimeout: 0,
        shouldRetry: ({ error, attemptNumber }) => this.#waitForNext(error, attemptNumber),
      });
    } catch (error) {
      if (!(error instanceof AttemptFailure)) throw error;
      this.#giveUp(error);
    }
  }

  async #attempt(): Promise<UpstreamAnswer> {
    const context = this.#context;
    this.#delay = undefined;
    context.attempts += 1;
    callHook(this.#config.on.attempt, { request: context.info(), attempt: context.attempts });
    try {
      return await this.#call(context.replayClass !== 'always');
    } catch (error) {
      const isStale = error instanceof AttemptFailure && error.kind === 'stale';
      if (!isStale || this.#hasReplacedStale || this.#whyNot(error) !== undefined) throw error;
      // Once: what happens on a fresh connection, or again, has another reason.
      this.#hasReplacedStale = true;
      log('a kept connection was stale, a fresh one takes its place', { id: context.id });
      return this.#call(true);
    }
  }

  async #call(isFresh: boolean): Promise<UpstreamAnswer> {
    const context = this.#context;
    // It may be over since the last look: nothing would cancel this call.
    const reason = context.left ? 'client_left' : context.interruption;
    if (reason !== undefined) throw new AttemptFailure('final', reason);
    const attempt = new Attempt(context, this.#config, (status) => this.#state.hear(status));
    const answer = await attempt.run(this.#upstream, this.#headers, isFresh);
    return context.wantsBase64 ? convertAnswer(answer) : answer;
  }

  /** Decides whether there is another attempt, and returns when it is time for it. */
  async #waitForNext(error: Error, attempt: number): Promise<boolean> {
    const context = this.#context;
    if (!(error instanceof AttemptFailure) || context.left) return false;
    if (this.#whyNot(error) !== undefined) return false;
    const delay = this.#delayAfter(error);
    if (context.waitedMs + delay.delayMs > this.#patienceMs) return false;
    const status = error.answer?.status;
    const event = { attempt, status, reason: delay.reason, delayMs: delay.delayMs };
    log('trying again', {
      id: context.id,
      model: context.model,
      ...event,
      cause: error.answer === undefined ? describeError(error) : undefined,
    });
    callHook(this.#config.on.retry, { request: context.info(), ...event });
    error.answer?.discard();
    return (await context.wait(delay.delayMs)) === 'waited';
  }

  get #patienceMs(): number {
    const { maxWaitMs } = this.#config;
    const isUpload = this.#context.body.kind === 'passthrough';
    return isUpload ? Math.min(maxWaitMs, LONGEST_UPLOAD_WAIT_MS) : maxWaitMs;
  }

  /** Why a failed attempt is not made again; `undefined` when it may be. */
  #whyNot({ kind, answer }: AttemptFailure): string | undefined {
    return reasonAgainstReplay({
      replayClass: this.#context.replayClass,
      cause: kind,
      bodyAtHand: !this.#context.bodyIsGone,
      shouldRetry: single(answer?.headers['x-should-retry']),
    });
  }

  #delayAfter({ answer }: AttemptFailure): Delay {
    const failed = answer && {
      status: answer.status,
      headers: answer.headers,
      text: decodeBeginning(Buffer.concat(answer.collected), answer.headers['content-encoding']),
    };
    const chance = { now: Date.now(), random: Math.random() };
    this.#delay ??= delayAfter(failed, this.#context.attempts, chance, this.#config);
    return this.#delay;
  }

  /** No more attempts: the last answer is the client's, or an error of ours where there is none. */
  #giveUp(failure: AttemptFailure): void {
    const context = this.#context;
    if (context.left) return;
    if (context.interruption) throw context.interruption;
    const { answer, kind, error } = failure;
    const { attempts } = context;
    const against = this.#whyNot(failure);
    const delay = this.#delayAfter(failure);
    const limit = context.body.kind === 'passthrough' ? 'what an upload waits' : 'maxWait';
    const reason =
      against ??
      (attempts > this.#config.retries
        ? 'no retries left'
        : `the next wait (${delay.delayMs} ms) would pass ${limit}`);
    log('gave up', {
      id: context.id,
      model: context.model,
      attempts,
      status: answer?.status,
      failure: kind,
      reason,
      ray: single(answer?.headers['cf-ray']),
      cause: answer === undefined ? describeError(failure) : undefined,
    });
    context.givenUp = {
      retryAfterMs: answer?.status === 429 && delay.told ? delay.delayMs : undefined,
      isFinal: this.#config.retries > 0 || against !== undefined,
    };
    context.answer = answer;
    if (error === undefined) return;
    const times = attempts === 1 ? '1 attempt' : `${attempts} attempts`;
    throw new ProxyError(error.code, `${error.message} (${times}; ${reason}.)`, error.cause);
  }
}
