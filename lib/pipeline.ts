import type { RequestHandler } from 'express';
import { answerError } from './answer-error.ts';
import type { Config } from './options.ts';
import type { ProxyState } from './proxy-state.ts';
import { openContext } from './request-context.ts';
import type { RequestContext } from './request-context.ts';

/** One thing that is done with every request; a promise where it has to wait for something. */
export type Step = (context: RequestContext) => Promise<void> | void;

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
    for (let i = from; i < steps.length; i += 1) {
      let running: ReturnType<Step>;
      try {
        running = steps[i]?.(context);
      } catch (error) {
        answerError(context, error);
        return;
      }
      if (running === undefined) continue;
      running.then(
        () => proceed(context, i + 1),
        (error: unknown) => answerError(context, error),
      );
      return;
    }
  }

  return function veniceProxy(req, res) {
    proceed(openContext(req, res, config, state), 0);
  };
}
