import type { RequestHandler } from 'express';
import { answerError } from './answer-error.ts';
import { createLog } from './debug.ts';
import { describeError } from './errors.ts';
import type { Config } from './options.ts';
import type { ProxyState } from './proxy-state.ts';
import { openContext } from './request-context.ts';
import type { RequestContext } from './request-context.ts';

const log = createLog('pipeline');

type Done = 'answered' | void;

/**
 * One thing that is done with every request; a promise where it has to wait for something. Behind
 * `answered` nothing is left for the other steps to do.
 */
export type Step = (context: RequestContext) => Promise<Done> | Done;

/**
 * Takes each request through the steps, one after the other; what one of them throws is answered.
 * One middleware, not one for each step: Express takes about a microsecond to get from one to the
 * next.
 */
export function pipeline(
  config: Config,
  state: ProxyState,
  steps: readonly Step[],
): RequestHandler {
  function proceed(context: RequestContext, from: number): void {
    // It had left before it came to us, while something of the app's took its time.
    if (context.left && from === 0) return;
    for (let i = from; i < steps.length; i += 1) {
      let running: ReturnType<Step>;
      try {
        running = steps[i]?.(context);
      } catch (error) {
        fail(context, error);
        return;
      }
      if (running === undefined) continue;
      if (running === 'answered') return;
      running.then(
        (how) => (how === 'answered' ? undefined : proceed(context, i + 1)),
        (error: unknown) => fail(context, error),
      );
      return;
    }
  }

  return function veniceProxy(req, res) {
    proceed(openContext(req, res, config, state), 0);
  };
}

/** Something of the app's that hooks the answer may throw here, too: nobody above would catch it. */
function fail(context: RequestContext, error: unknown): void {
  try {
    answerError(context, error);
  } catch (again) {
    log('no error could be answered', { id: context.id, cause: describeError(again) });
    context.res.destroy();
  }
}
