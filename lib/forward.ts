import type { OutgoingHttpHeaders } from 'node:http';
import pRetry from 'p-retry';
import { Attempt, AttemptFailure } from './attempt.ts';
import { delayAfter } from './backoff.ts';
import type { Delay } from './backoff.ts';
import { clientPatienceMs } from './client-patience.ts';
import { convertAnswer } from './convert-answer.ts';
import { createLog } from './debug.ts';
import { decodeBeginning } from './decode-body.ts';
import { ProxyError, describeError } from './errors.ts';
import { askInTurn, isModelBusy } from './fallback-models.ts';
import { REFUSED_WITHIN_MS } from './first-tries.ts';
import { single } from './headers.ts';
import { Healing } from './healing.ts';
import type { SharedHealing } from './healing.ts';
import { callHook } from './hooks.ts';
import type { AttemptEvent } from './hooks.ts';
import type { Config } from './options.ts';
import type { Step } from './pipeline.ts';
import type { ProxyState } from './proxy-state.ts';
import type { BucketName } from './rate-gate/bucket-name.ts';
import type { Grant } from './rate-gate/grant.ts';
import type { RateGate } from './rate-gate/rate-gate.ts';
import { readAnswer, readRefusal } from './rate-gate/read-answer.ts';
import { isReplayClass, reasonAgainstReplay, replayClassOf } from './replay-policy.ts';
import type { FailureCause, ReplayClass } from './replay-policy.ts';
import type { RequestContext } from './request-context.ts';
import { setTraceHeader } from './trace-headers.ts';
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
 * p-retry makes functions for what it is not given, for each request, and V8 takes a function that
 * is born in an assignment to a member for one that stays (docs/development.md).
 */
const RETRY_OPTIONS = {
  minTimeout: 0,
  onFailedAttempt() {},
  shouldConsumeRetry: () => true,
};

/**
 * Makes attempts until one brings an answer for the client, and leaves it in the context: a good
 * one, a final one, or the last of those that failed.
 */
export function forward(
  config: Config,
  state: ProxyState,
  upstream: Upstream,
  gate: RateGate | undefined,
  shared: SharedHealing | undefined,
  pseudonym: string,
): Step {
  return function forwardRequest(context) {
    context.replayClass = replayClassFor(context, config);
    context.leavesAt = context.startedAt + clientPatienceMs(context.req.headers);
    const headers = upstreamHeaders(context, pseudonym, config);
    const ask = (): Promise<void> => {
      const healing = Healing.of(context, headers, config, shared);
      return new Forwarding(context, headers, config, state, upstream, gate, healing).run();
    };
    const { fallbacks } = config;
    const begin = fallbacks === undefined ? ask : () => askInTurn(context, headers, fallbacks, ask);
    if (config.apiKey === undefined) return begin();
    return addApiKey(headers, context, config.apiKey).then(() =>
      context.left ? undefined : begin(),
    );
  };
}

/** As the app says, or the table. */
function replayClassFor(context: RequestContext, { replay }: Config): ReplayClass {
  let said: unknown;
  try {
    said = replay?.(context.info());
  } catch (error) {
    log('replay failed, the table counts', { id: context.id, cause: describeError(error) });
  }
  return isReplayClass(said) ? said : replayClassOf(context.upstreamMethod, context.route);
}

/** Leave to make an attempt, or a wait for it; nothing where there is no gate, or nobody any more. */
type Entered = Grant | undefined | Promise<Grant | undefined>;

/** The attempts of one request. */
class Forwarding {
  readonly #context: RequestContext;
  readonly #headers: OutgoingHttpHeaders;
  readonly #config: Config;
  readonly #state: ProxyState;
  readonly #upstream: Upstream;
  readonly #gate: RateGate | undefined;
  readonly #healing: Healing | undefined;
  readonly #bucket: BucketName | undefined;
  /** The failure whose answer is still there, should the next attempt never come to be made. */
  #last: AttemptFailure | undefined;
  /** Of another model. */
  readonly #attemptsBefore: number;
  #hasReplacedStale = false;
  /** The attempt, by `performance.now()`, where somebody asks how long it took. */
  #begunAt = 0;
  /** The last answer has shown what to leave out. */
  #hasHealed = false;
  /** The wait that was due after the last failure, whether it was begun or not. */
  #delay: Delay | undefined;

  constructor(
    context: RequestContext,
    headers: OutgoingHttpHeaders,
    config: Config,
    state: ProxyState,
    upstream: Upstream,
    gate: RateGate | undefined,
    healing: Healing | undefined,
  ) {
    this.#context = context;
    this.#attemptsBefore = context.attempts;
    this.#headers = headers;
    this.#config = config;
    this.#state = state;
    this.#upstream = upstream;
    this.#gate = gate;
    this.#healing = healing;
    this.#bucket = gate?.names.of(headers, context.model);
  }

  run(): Promise<void> {
    // Before the first attempt, without the promises of the loop around the attempts: thousands may
    // be held at once.
    const entered = this.#enter();
    return entered instanceof Promise
      ? entered.then((grant) => this.#makeAttempts(grant))
      : this.#makeAttempts(entered);
  }

  async #makeAttempts(first: Grant | undefined): Promise<void> {
    try {
      // The delay is ours: it depends on the answer, it can be cut short, and the answer of an
      // attempt that is not made again must stay whole.
      const attempt = (number: number) => this.#attempt(number === 1 ? first : this.#enter());
      this.#context.answer = await pRetry(attempt, {
        ...RETRY_OPTIONS,
        retries: this.#config.retries,
        shouldRetry: ({ error }) => this.#waitForNext(error),
      });
    } catch (error) {
      if (!(error instanceof AttemptFailure)) throw error;
      this.#giveUp(error);
    }
  }

  /** One attempt; more, at once, as long as it helps to leave out what is refused. */
  async #attempt(first: Entered): Promise<UpstreamAnswer> {
    let entered = first;
    let wasTaken = false;
    try {
      /* oxlint-disable no-await-in-loop -- each depends on the one before */
      for (;;) {
        const answer = await this.#begin(entered instanceof Promise ? await entered : entered);
        wasTaken = answer.status < 400;
        if (!this.#hasHealed) return answer;
        answer.discard();
        entered = this.#enter();
      }
      /* oxlint-enable no-await-in-loop */
    } finally {
      this.#healing?.endTry(wasTaken);
    }
  }

  #begin(grant: Grant | undefined): Promise<UpstreamAnswer> {
    const context = this.#context;
    this.#refuseEnded(grant);
    // Not before: while it was held, others may have been refused.
    this.#healing?.dropKnown();
    this.#hasHealed = false;
    this.#last = undefined;
    this.#delay = undefined;
    context.attempts += 1;
    context.phase = 'attempt';
    const { attempt: onBegin, attemptEnd: onEnd } = this.#config.on;
    if (onBegin !== undefined) callHook(onBegin, this.#attemptEvent());
    if (onEnd !== undefined) this.#begunAt = performance.now();
    return this.#callAndLearn(grant);
  }

  #attemptEvent(): AttemptEvent {
    const context = this.#context;
    return {
      request: context.info(),
      attempt: context.attempts,
      setTraceHeader: (name, value) => setTraceHeader(this.#headers, name, value),
    };
  }

  #tellEnd(status: number | undefined, failure: FailureCause | undefined): void {
    const { attemptEnd } = this.#config.on;
    if (attemptEnd === undefined) return;
    const request = this.#context.info();
    const attempt = this.#context.attempts;
    const durationMs = Math.round(performance.now() - this.#begunAt);
    callHook(attemptEnd, { request, attempt, status, failure, durationMs });
  }

  async #callAndLearn(grant: Grant | undefined): Promise<UpstreamAnswer> {
    let isFresh = this.#context.replayClass !== 'always';
    for (;;) {
      try {
        // oxlint-disable-next-line no-await-in-loop -- the second takes the place of the first
        const answer = await this.#call(grant, isFresh);
        if (answer.status === 400) this.#learn(grant, answer);
        this.#tellEnd(answer.status, undefined);
        return answer;
      } catch (error) {
        if (!(error instanceof AttemptFailure)) throw error;
        if (!this.#mayReplaceStale(error)) {
          if (grant !== undefined) this.#tell(grant, error);
          this.#tellEnd(error.answer?.status, error.kind);
          throw error;
        }
        isFresh = true;
      }
    }
  }

  #learn(grant: Grant | undefined, answer: UpstreamAnswer): void {
    this.#hasHealed = this.#healing?.learnFrom(answer) ?? false;
    // Only now: whom the gate lets through because of it shall know what was learnt.
    grant?.settle(readAnswer(400, answer.headers, Date.now()));
  }

  /** Waits for a place in the window, and once for whoever finds out what this request would. */
  #enter(): Entered {
    const entered = this.#pass();
    if (this.#context.refusable === undefined) return entered;
    return entered instanceof Promise
      ? entered.then((grant) => this.#waitForTry(grant))
      : this.#waitForTry(entered);
  }

  #waitForTry(grant: Grant | undefined): Entered {
    const canWait = this.#patienceLeft.ms >= REFUSED_WITHIN_MS;
    const otherTry = canWait ? this.#healing?.otherTry() : undefined;
    if (otherTry === undefined) return grant;
    grant?.settle({ outcome: 'unsent' });
    this.#context.beginWait('held', performance.now());
    return otherTry.then(() => {
      this.#context.endWait();
      return this.#pass();
    });
  }

  #pass(): Entered {
    const context = this.#context;
    // Nobody would take it out of the line.
    if (this.#bucket === undefined || context.left || context.interruption) return undefined;
    const last = this.#last;
    if (last === undefined) return this.#gate?.enter(context, this.#bucket, this);
    // The answer that is there tells the client more than that there is no other attempt.
    try {
      const entered = this.#gate?.enter(context, this.#bucket, this);
      return entered instanceof Promise ? entered.catch(() => Promise.reject(last)) : entered;
    } catch {
      throw last;
    }
  }

  /** What became of the request, where its head has not told it. */
  #tell(grant: Grant, failure: AttemptFailure): void {
    const { answer, kind } = failure;
    if (answer?.status === 429) {
      const { delayMs, told } = this.#delayAfter(failure);
      const backoff = { delayMs, told, attempt: this.#tries };
      grant.settle(readRefusal(answer.headers, textOf(answer), Date.now(), backoff));
    } else {
      grant.settle({ outcome: kind === 'unsent' ? 'unsent' : 'gone' });
    }
  }

  /** It may be over since the last look: nothing would cancel the call. */
  #refuseEnded(grant: Grant | undefined): void {
    const { left, interruption } = this.#context;
    const reason = left ? 'client_left' : interruption;
    if (reason === undefined) return;
    grant?.settle({ outcome: 'unsent' });
    throw new AttemptFailure('final', reason);
  }

  /** Once: what happens on a fresh connection, or again, has another reason. */
  #mayReplaceStale(failure: AttemptFailure): boolean {
    if (failure.kind !== 'stale' || this.#hasReplacedStale) return false;
    if (this.#whyNot(failure) !== undefined) return false;
    this.#hasReplacedStale = true;
    log('a kept connection was stale, a fresh one takes its place', { id: this.#context.id });
    return true;
  }

  #call(grant: Grant | undefined, isFresh: boolean): Promise<UpstreamAnswer> {
    const context = this.#context;
    this.#refuseEnded(grant);
    const attempt = new Attempt(context, this.#config, ({ status, headers }) => {
      this.#state.hear(status);
      // Which kind of 429 it is, and what a 400 refuses, only its body tells.
      if (status === 429 || status === 400) return;
      grant?.settle(readAnswer(status, headers, Date.now()));
    });
    const running = attempt.run(this.#upstream, this.#headers, isFresh);
    return context.wantsBase64 ? running.then(convertAnswer) : running;
  }

  /** Decides whether there is another attempt, and returns when it is time for it. */
  async #waitForNext(error: Error): Promise<boolean> {
    const context = this.#context;
    if (!(error instanceof AttemptFailure) || context.left) return false;
    // The gate has refused the next attempt, or there is none to make.
    if (error === this.#last || this.#whyNot(error) !== undefined) return false;
    const delay = this.#delayAfter(error);
    if (delay.delayMs > this.#patienceLeft.ms) return false;
    const status = error.answer?.status;
    const attempt = context.attempts;
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

  get mayWaitMs(): number {
    return this.#patienceLeft.ms;
  }

  /** How long the request may still wait, and what sets the limit. */
  get #patienceLeft(): { readonly ms: number; readonly limit: string } {
    const { waitedMs, timeLeftMs, body } = this.#context;
    const { maxWaitMs } = this.#config;
    const isUpload = body.kind === 'passthrough' && maxWaitMs > LONGEST_UPLOAD_WAIT_MS;
    const ms = (isUpload ? LONGEST_UPLOAD_WAIT_MS : maxWaitMs) - waitedMs;
    if (timeLeftMs < ms) return { ms: timeLeftMs, limit: "the client's own timeout" };
    return { ms, limit: isUpload ? 'what an upload waits' : 'maxWait' };
  }

  /** Attempts, without those that only showed what to leave out: these are no retries. */
  get #tries(): number {
    return this.#context.attempts - this.#attemptsBefore - (this.#healing?.rounds ?? 0);
  }

  /** Why a failed attempt is not made again; `undefined` when it may be. */
  #whyNot({ kind, answer }: AttemptFailure, bodyAtHand = !this.#context.bodyIsGone) {
    return reasonAgainstReplay({
      replayClass: this.#context.replayClass,
      cause: kind,
      bodyAtHand,
      shouldRetry: single(answer?.headers['x-should-retry']),
    });
  }

  /** Whether the client should leave it at that, too. It may have the body that we lack. */
  #isFinal(failure: AttemptFailure, against: string | undefined): boolean {
    if (against === undefined) return this.#config.retries > 0;
    return this.#whyNot(failure, true) !== undefined;
  }

  #delayAfter({ answer }: AttemptFailure): Delay {
    const failed = answer && {
      status: answer.status,
      headers: answer.headers,
      text: textOf(answer),
    };
    const chance = { now: Date.now(), random: Math.random() };
    this.#delay ??= delayAfter(failed, this.#tries, chance, this.#config);
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
    const reason =
      against ??
      (this.#tries > this.#config.retries
        ? 'no retries left'
        : `the next wait (${delay.delayMs} ms) would pass ${this.#patienceLeft.limit}`);
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
      isFinal: this.#isFinal(failure, against),
      isModelBusy:
        against === undefined &&
        answer !== undefined &&
        isModelBusy(answer.status, textOf(answer), delay.isWindow),
    };
    context.answer = answer;
    if (error === undefined) return;
    const times = attempts === 1 ? '1 attempt' : `${attempts} attempts`;
    throw new ProxyError(error.code, `${error.message} (${times}; ${reason}.)`, error.cause);
  }
}

function textOf({ joined, headers }: UpstreamAnswer): string {
  return decodeBeginning(joined, headers['content-encoding']);
}
