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

const CLIENT_LEFT = new ProxyError('request_timeout', 'The client left.');

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
    const attempt = (): Promise<UpstreamAnswer> => oneAttempt(context, headers);
    try {
      // The delay is ours: it depends on the answer, it can be cut short, and the answer of an
      // attempt that is not made again must stay whole.
      context.answer = await pRetry(attempt, {
        retries: config.retries,
        minTimeout: 0,
        shouldRetry: ({ error, attemptNumber }) => waitForReplay(context, error, attemptNumber),
      });
    } catch (error) {
      if (!(error instanceof AttemptFailure)) throw error;
      giveUp(context, error);
    }
  });

  async function oneAttempt(
    context: RequestContext,
    headers: OutgoingHttpHeaders,
  ): Promise<UpstreamAnswer> {
    context.attempts += 1;
    callHook(config.on.attempt, { request: context.info(), attempt: context.attempts });
    try {
      return await oneCall(context, headers, context.replayClass !== 'always');
    } catch (error) {
      const isStale = error instanceof AttemptFailure && error.kind === 'stale';
      if (!isStale || whyNot(context, error) !== undefined) throw error;
      log('a kept connection was stale, a fresh one takes its place', { id: context.id });
      return oneCall(context, headers, true);
    }
  }

  async function oneCall(
    context: RequestContext,
    headers: OutgoingHttpHeaders,
    isFresh: boolean,
  ): Promise<UpstreamAnswer> {
    // It may have left while a key was fetched: nothing would cancel this call.
    if (context.left) throw new AttemptFailure('final', CLIENT_LEFT);
    if (context.interruption) throw new AttemptFailure('final', context.interruption);
    const attempt = new Attempt(context, config, (status) => state.hear(status));
    const answer = await attempt.run(upstream, headers, isFresh);
    return context.wantsBase64 ? convertAnswer(answer) : answer;
  }

  /** Decides whether there is another attempt, and returns when it is time for it. */
  async function waitForReplay(
    context: RequestContext,
    error: Error,
    attempt: number,
  ): Promise<boolean> {
    if (!(error instanceof AttemptFailure) || context.left) return false;
    if (whyNot(context, error) !== undefined) return false;
    const delay = delayOf(error, attempt);
    if (context.waitedMs + delay.delayMs > config.maxWaitMs) return false;
    const status = error.answer?.status;
    const event = { attempt, status, reason: delay.reason, delayMs: delay.delayMs };
    log('trying again', {
      id: context.id,
      model: context.model,
      ...event,
      cause: error.answer === undefined ? describeError(error) : undefined,
    });
    callHook(config.on.retry, { request: context.info(), ...event });
    error.answer?.discard();
    return (await context.wait(delay.delayMs)) === 'waited';
  }

  function delayOf({ answer }: AttemptFailure, attempt: number): Delay {
    const failed = answer && {
      status: answer.status,
      headers: answer.headers,
      text: decodeBeginning(Buffer.concat(answer.collected), answer.headers['content-encoding']),
    };
    return delayAfter(failed, attempt, { now: Date.now(), random: Math.random() }, config);
  }

  /** No more attempts: the last answer is the client's, or an error of ours where there is none. */
  function giveUp(context: RequestContext, failure: AttemptFailure): void {
    if (context.left) return;
    if (context.interruption) throw context.interruption;
    const { answer, kind, error } = failure;
    const { attempts } = context;
    const against = whyNot(context, failure);
    const delay = delayOf(failure, attempts);
    const reason =
      against ??
      (attempts > config.retries
        ? 'no retries left'
        : `the next wait (${delay.delayMs} ms) would pass maxWait`);
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
      isFinal: config.retries > 0 || against !== undefined,
    };
    if (answer === undefined) {
      const times = attempts === 1 ? '1 attempt' : `${attempts} attempts`;
      throw new ProxyError(error.code, `${error.message} (${times}; ${reason}.)`, error.cause);
    }
    context.answer = answer;
  }
}

/** Why a failed attempt is not made again; `undefined` when it may be. */
function whyNot(context: RequestContext, { kind, answer }: AttemptFailure): string | undefined {
  return reasonAgainstReplay({
    replayClass: context.replayClass,
    cause: kind,
    bodyAtHand: !context.bodyIsGone,
    shouldRetry: single(answer?.headers['x-should-retry']),
  });
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}
