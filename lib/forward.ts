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
import { bucketName } from './rate-gate/bucket-name.ts';
import type { BucketName } from './rate-gate/bucket-name.ts';
import type { Grant } from './rate-gate/grant.ts';
import type { RateGate } from './rate-gate/rate-gate.ts';
import { readAnswer, readRefusal } from './rate-gate/read-answer.ts';
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
  gate: RateGate | undefined,
  pseudonym: string,
): RequestHandler {
  return step('forward', async (context) => {
    context.replayClass = replayClassOf(context.method, context.route);
    const headers = upstreamHeaders(context, pseudonym);
    if (config.apiKey !== undefined) await addApiKey(headers, context, config.apiKey);
    if (context.left) return;
    await new Forwarding(context, headers, config, state, upstream, gate).run();
  });
}

/** The attempts of one request. */
class Forwarding {
  readonly #context: RequestContext;
  readonly #headers: OutgoingHttpHeaders;
  readonly #config: Config;
  readonly #state: ProxyState;
  readonly #upstream: Upstream;
  readonly #gate: RateGate | undefined;
  readonly #bucket: BucketName | undefined;
  /** The failure whose answer is still there, should the next attempt never come to be made. */
  #last: AttemptFailure | undefined;
  #hasReplacedStale = false;
  /** The wait that was due after the last failure, whether it was begun or not. */
  #delay: Delay | undefined;

  constructor(
    context: RequestContext,
    headers: OutgoingHttpHeaders,
    config: Config,
    state: ProxyState,
    upstream: Upstream,
    gate: RateGate | undefined,
  ) {
    this.#context = context;
    this.#headers = headers;
    this.#config = config;
    this.#state = state;
    this.#upstream = upstream;
    this.#gate = gate;
    this.#bucket = gate && bucketName(config.target, headers, context.model);
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
    const grant = await this.#enter();
    this.#last = undefined;
    this.#delay = undefined;
    context.attempts += 1;
    callHook(this.#config.on.attempt, { request: context.info(), attempt: context.attempts });
    try {
      return await this.#callTwice(grant);
    } catch (error) {
      if (grant !== undefined && error instanceof AttemptFailure) this.#tell(grant, error);
      throw error;
    }
  }

  /** Waits for a place in the window. */
  async #enter(): Promise<Grant | undefined> {
    if (this.#gate === undefined || this.#bucket === undefined) return undefined;
    const context = this.#context;
    try {
      const patienceMs = this.#patienceMs - context.waitedMs;
      const entered = this.#gate.enter(context, this.#bucket, patienceMs);
      return entered instanceof Promise ? await entered : entered;
    } catch (error) {
      throw this.#last ?? error;
    }
  }

  /** What became of the request, where its head has not told it. */
  #tell(grant: Grant, failure: AttemptFailure): void {
    const { answer, kind } = failure;
    if (answer?.status === 429) {
      const { delayMs, told } = this.#delayAfter(failure);
      const attempt = this.#context.attempts;
      const backoff = { delayMs, told, attempt };
      grant.settle(readRefusal(answer.headers, textOf(answer), Date.now(), backoff));
    } else {
      grant.settle({ outcome: kind === 'unsent' ? 'unsent' : 'gone' });
    }
  }

  async #callTwice(grant: Grant | undefined): Promise<UpstreamAnswer> {
    try {
      return await this.#call(grant, this.#context.replayClass !== 'always');
    } catch (error) {
      const isStale = error instanceof AttemptFailure && error.kind === 'stale';
      if (!isStale || this.#hasReplacedStale || this.#whyNot(error) !== undefined) throw error;
      // Once: what happens on a fresh connection, or again, has another reason.
      this.#hasReplacedStale = true;
      log('a kept connection was stale, a fresh one takes its place', { id: this.#context.id });
      return this.#call(grant, true);
    }
  }

  async #call(grant: Grant | undefined, isFresh: boolean): Promise<UpstreamAnswer> {
    const context = this.#context;
    // It may be over since the last look: nothing would cancel this call.
    const reason = context.left ? 'client_left' : context.interruption;
    if (reason !== undefined) throw new AttemptFailure('final', reason);
    const attempt = new Attempt(context, this.#config, ({ status, headers }) => {
      this.#state.hear(status);
      // Which kind of 429 it is only its body tells.
      if (status !== 429) grant?.settle(readAnswer(status, headers, Date.now()));
    });
    const answer = await attempt.run(this.#upstream, this.#headers, isFresh);
    return context.wantsBase64 ? convertAnswer(answer) : answer;
  }

  /** Decides whether there is another attempt, and returns when it is time for it. */
  async #waitForNext(error: Error, attempt: number): Promise<boolean> {
    const context = this.#context;
    if (!(error instanceof AttemptFailure) || context.left) return false;
    // The gate has refused the next attempt, or there is none to make.
    if (error === this.#last || this.#whyNot(error) !== undefined) return false;
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
    if (error.answer?.hasEnded === true) this.#last = error;
    else error.answer?.discard();
    // The gate knows better when a window opens, and who goes first.
    if (this.#gate !== undefined && delay.isWindow) return true;
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
      text: textOf(answer),
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

function textOf({ collected, headers }: UpstreamAnswer): string {
  return decodeBeginning(Buffer.concat(collected), headers['content-encoding']);
}
