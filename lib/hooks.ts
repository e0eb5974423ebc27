import { createLog } from './debug.ts';
import { describeError } from './errors.ts';

const log = createLog('hooks');

/** What every hook is told about the client's request. Never a key, a body or a query string. */
export interface RequestInfo {
  /** Stands in the log lines of this request, too. */
  readonly id: string;
  readonly method: string;
  /** The path behind the mount, without its query. */
  readonly path: string;
  /** The `model` of a JSON body. */
  readonly model: string | undefined;
  /** Whether the client asked `stream: true`. */
  readonly stream: boolean;
}

/** An upstream call begins. */
export interface AttemptEvent {
  readonly request: RequestInfo;
  /** The first attempt is 1. */
  readonly attempt: number;
}

/** An attempt has failed and is made again after `delayMs`. */
export interface RetryEvent {
  readonly request: RequestInfo;
  /** The attempt that failed. */
  readonly attempt: number;
  /** The status of the answer that failed; `undefined` when there was no answer. */
  readonly status: number | undefined;
  readonly reason: string;
  readonly delayMs: number;
}

/** Parameters were taken out of the request's body. */
export interface DropEvent {
  readonly request: RequestInfo;
  readonly params: readonly string[];
}

/** How a request ended. */
export type Outcome =
  /** The client has the whole of the upstream's answer, whatever its status. */
  | 'answered'
  /** The answer was an error of the proxy's own. */
  | 'refused'
  /** The upstream's answer broke after a part of it had gone to the client. */
  | 'broken'
  /** The client left before it had its answer. */
  | 'client_left';

/** A request has ended: the last event of each. */
export interface AnswerEvent {
  readonly request: RequestInfo;
  /** The status that the client got; `undefined` when it left before there was one. */
  readonly status: number | undefined;
  readonly outcome: Outcome;
  /** The code of our own error, or of the break. */
  readonly code: string | undefined;
  readonly attempts: number;
  /** Milliseconds spent waiting between attempts. */
  readonly waitedMs: number;
  /** Milliseconds from the request to the first byte of the answer's body. */
  readonly firstByteMs: number | undefined;
  readonly totalMs: number;
  readonly dropped: readonly string[];
}

/**
 * Functions that are told what happens to requests. They are called synchronously; what they
 * return is ignored, what they throw is logged and changes nothing.
 */
export interface ProxyHooks {
  attempt?: ((event: AttemptEvent) => void) | undefined;
  retry?: ((event: RetryEvent) => void) | undefined;
  drop?: ((event: DropEvent) => void) | undefined;
  answer?: ((event: AnswerEvent) => void) | undefined;
}

export const HOOK_NAMES: Readonly<Record<keyof ProxyHooks, true>> = {
  attempt: true,
  retry: true,
  drop: true,
  answer: true,
};

/** Calls a hook; a failure in a user's function is no reason for a request to fail. */
export function callHook<E>(hook: ((event: E) => void) | undefined, event: E): void {
  if (hook === undefined) return;
  const onError = (error: unknown): void => {
    log('a hook failed', { hook: hook.name, cause: describeError(error) });
  };
  try {
    // The type says void, and so takes async functions, too.
    const result: unknown = hook(event);
    if (result instanceof Promise) result.catch(onError);
  } catch (error) {
    onError(error);
  }
}
