import { createLog } from './debug.ts';
import { describeError } from './errors.ts';
import type { FailureCause } from './replay-policy.ts';
import type { Usage } from './read-usage.ts';

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

/** A request has come: nothing of its body has been read, so its model is not known. */
export interface RequestEvent {
  readonly request: RequestInfo;
  /** The client's header of that name, if it carries the context of a trace (`traceparent`…). */
  readonly getTraceHeader: (name: string) => string | undefined;
}

/** An attempt begins. */
export interface AttemptEvent {
  readonly request: RequestInfo;
  /** The first attempt is 1. */
  readonly attempt: number;
  /**
   * Sends a header upstream that carries the context of a trace (`traceparent`…), in place of the
   * client's. Any other is ignored.
   */
  readonly setTraceHeader: (name: string, value: string) => void;
}

/** An attempt has ended: with the beginning of an answer, or without one. */
export interface AttemptEndEvent {
  readonly request: RequestInfo;
  readonly attempt: number;
  /** The status of its answer; `undefined` when there was none. */
  readonly status: number | undefined;
  /**
   * How it failed, as far as another attempt depends on it; `final` without a status when the request
   * ended before it. `undefined`: its answer is for the client.
   */
  readonly failure: FailureCause | undefined;
  /** Milliseconds from its beginning. */
  readonly durationMs: number;
}

/**
 * An answer has told how many tokens it took: when its last byte has come from the upstream. Streams
 * of chat tell it only where the client has asked `stream_options: { include_usage: true }`.
 */
export interface UsageEvent extends Usage {
  readonly request: RequestInfo;
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

/** A request has ended. Only the end of an attempt that was given up with it may follow. */
export interface AnswerEvent {
  readonly request: RequestInfo;
  /**
   * The status that the client got; `undefined` when it left before there was one. 200 where a
   * waiting stream got its head early (`heartbeat`), whatever came later: `code` tells the failure.
   */
  readonly status: number | undefined;
  readonly outcome: Outcome;
  /**
   * The code of our own error, or of the break, as docs/errors.md lists them. Behind an early head
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
  /** A request has come: the first event of each. */
  request?: ((event: RequestEvent) => void) | undefined;
  /** An attempt begins: the first one, too. */
  attempt?: ((event: AttemptEvent) => void) | undefined;
  /** An attempt has ended, in whichever way. */
  attemptEnd?: ((event: AttemptEndEvent) => void) | undefined;
  /** An attempt has failed and is made again after a wait. */
  retry?: ((event: RetryEvent) => void) | undefined;
  /** A request is held back until the window has a place for it. */
  hold?: ((event: HoldEvent) => void) | undefined;
  /** Parameters were taken out of the body. */
  drop?: ((event: DropEvent) => void) | undefined;
  /** The upstream has told how many tokens its answer took. */
  usage?: ((event: UsageEvent) => void) | undefined;
  /** The request has ended, in whichever way: once for each. */
  answer?: ((event: AnswerEvent) => void) | undefined;
}

/** @internal */
export const HOOK_NAMES: Readonly<Record<keyof ProxyHooks, true>> = {
  request: true,
  attempt: true,
  attemptEnd: true,
  retry: true,
  hold: true,
  drop: true,
  usage: true,
  answer: true,
};

/**
 * One set of hooks of several: each is told what it listens to, in their order.
 * @internal
 */
export function mergeHooks(sets: readonly ProxyHooks[]): Required<ProxyHooks> {
  return {
    request: merged(sets.map(({ request }) => request)),
    attempt: merged(sets.map(({ attempt }) => attempt)),
    attemptEnd: merged(sets.map(({ attemptEnd }) => attemptEnd)),
    retry: merged(sets.map(({ retry }) => retry)),
    hold: merged(sets.map(({ hold }) => hold)),
    drop: merged(sets.map(({ drop }) => drop)),
    usage: merged(sets.map(({ usage }) => usage)),
    answer: merged(sets.map(({ answer }) => answer)),
  };
}

type Hook<E> = (event: E) => void;

function merged<E>(hooks: readonly (Hook<E> | undefined)[]): Hook<E> | undefined {
  const given = hooks.filter((hook) => hook !== undefined);
  if (given.length < 2) return given[0];
  return (event) => {
    for (const hook of given) callHook(hook, event);
  };
}

/**
 * Calls a hook; a failure in a user's function is no reason for a request to fail.
 * @internal
 */
export function callHook<E>(hook: ((event: E) => void) | undefined, event: E): void {
  if (hook === undefined) return;
  try {
    // The type says void, and so takes async functions, too.
    const result: unknown = hook(event);
    if (result instanceof Promise) result.catch((error: unknown) => noteFailure(hook.name, error));
  } catch (error) {
    noteFailure(hook.name, error);
  }
}

function noteFailure(hook: string, error: unknown): void {
  log('a hook failed', { hook, cause: describeError(error) });
}
