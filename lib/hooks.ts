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

/** An attempt begins. */
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
  /** In words for people, such as `rate limit` or `status 503`; they may change. */
  readonly reason: string;
  readonly delayMs: number;
}

/** A request is held in the gate: it would be refused upstream. Once for each attempt that is. */
export interface HoldEvent {
  readonly request: RequestInfo;
  /** The attempt that is to come; the first is 1. */
  readonly attempt: number;
  /** In words for people, such as `request limit` or `blocked`; they may change. */
  readonly reason: string;
  /** How many requests of this process are to be let through before it. */
  readonly ahead: number;
  /** Milliseconds until its turn comes, at best; `undefined` where nothing is known of that. */
  readonly expectedMs: number | undefined;
}

/** Parameters were taken out of the request's body; again where the upstream refused more. */
export interface DropEvent {
  readonly request: RequestInfo;
  /** Their names; those that were told before are left out. */
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
  /**
   * The status that the client got; `undefined` when it left before there was one. 200 where a
   * waiting stream got its head early (`heartbeat`), whatever came later: `code` tells the failure.
   */
  readonly status: number | undefined;
  readonly outcome: Outcome;
  /**
   * The code of our own error, or of the break; the README has a table of them. Behind an early head
   * an upstream's error is `upstream_` and its status, such as `upstream_429`.
   */
  readonly code: string | undefined;
  /** How many were made; 0 when the request was refused before. */
  readonly attempts: number;
  /** Milliseconds spent waiting: held before attempts, and between them. */
  readonly waitedMs: number;
  /** Milliseconds from the request to the first byte of the answer's body. */
  readonly firstByteMs: number | undefined;
  /** Milliseconds from the request to its end. */
  readonly totalMs: number;
  /** Names of the parameters that were taken out of the body. */
  readonly dropped: readonly string[];
}

/**
 * Functions that are told what happens to requests. They are called synchronously and not waited
 * for; what they return is ignored, what they throw is logged and changes nothing.
 */
export interface ProxyHooks {
  /** An attempt begins: the first one, too. */
  attempt?: ((event: AttemptEvent) => void) | undefined;
  /** An attempt has failed and is made again after a wait. */
  retry?: ((event: RetryEvent) => void) | undefined;
  /** A request is held back until the window has a place for it. */
  hold?: ((event: HoldEvent) => void) | undefined;
  /** Parameters were taken out of the body. */
  drop?: ((event: DropEvent) => void) | undefined;
  /** The request has ended, in whichever way: once for each. */
  answer?: ((event: AnswerEvent) => void) | undefined;
}

export const HOOK_NAMES: Readonly<Record<keyof ProxyHooks, true>> = {
  attempt: true,
  retry: true,
  hold: true,
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
