import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { Request } from 'express';
import { HOOK_NAMES, mergeHooks } from './hooks.ts';
import type { ProxyHooks, RequestInfo } from './hooks.ts';
import type { JsonObject } from './json-value.ts';
import type { GateStore } from './rate-gate/gate-store.ts';
import type { ReplayClass } from './replay-policy.ts';
import type { RewriteAnswer, RewriteEvent, RewriteRequest } from './rewrite-types.ts';
import {
  baseUrl,
  byteCount,
  durationMs,
  flag,
  invalid,
  isBearerToken,
  memberNames,
  modelAliases,
  modelDefaults,
  modelLists,
  refuseUnknownKeys,
  waitMs,
  wholeNumber,
} from './validators.ts';

/** How long an attempt may take, by phase, in milliseconds. */
export interface Timeouts {
  /**
   * Milliseconds until the connection stands, TLS included.
   * @defaultValue 10_000, or `firstByte` where that is shorter
   */
  connect?: number | undefined;
  /**
   * Milliseconds from the whole request being sent to the head of the answer.
   * @defaultValue 300_000
   */
  firstByte?: number | undefined;
  /**
   * Milliseconds of silence between two pieces of a body, in either direction. A comment in an
   * event stream is no silence. A client that reads nothing for as long is let go, and its upstream
   * call with it.
   * @defaultValue 300_000
   */
  idle?: number | undefined;
}

/** A key to send upstream; `undefined` leaves the client's own `Authorization` in place. */
export type ApiKeySource =
  | string
  | ((request: Request) => string | undefined | Promise<string | undefined>);

/** Decides whether a request may be sent again; `undefined` leaves it to the table. */
export type ReplayRule = (request: RequestInfo) => ReplayClass | undefined;

/** What `createVeniceProxy` takes. Durations are milliseconds. */
export interface VeniceProxyOptions {
  /**
   * The upstream's base URL: `http` or `https`, without credentials, query or fragment. What
   * stands behind the router's mount path is appended to its path.
   * @defaultValue `'https://api.venice.ai/api/v1'`
   */
  target?: string | URL | undefined;
  /**
   * Patience with the upstream, in milliseconds. A number sets `firstByte` and `idle`, and
   * `connect` to at most 10 s. No attempt is made again after `firstByte` or `idle` ran out: the
   * answer may have been paid for.
   * @defaultValue 300_000
   */
  timeout?: number | Timeouts | undefined;
  /**
   * Attempts beyond the first: 5 means at most 6. 0 turns retries off, and leaves them to the
   * client. Bodies that stream through unread (uploads) are sent once, whatever this says.
   * @defaultValue 5
   */
  retries?: number | undefined;
  /**
   * Base of the exponential backoff, in milliseconds: the wait before attempt n + 1 is drawn
   * between 0 and this × 2^(n-1), at most 30 s. Does not apply where the upstream says when to
   * come back.
   * @defaultValue 1_000
   */
  baseRetryDelay?: number | undefined;
  /**
   * Milliseconds to wait after `429 Too many failed attempts`, Venice's block for keys with too
   * many failed requests: its window is 30 s. Failures are counted over as long: no more than 20 of
   * one key are risked.
   * @defaultValue 30_000
   */
  rateLimitWait?: number | undefined;
  /**
   * The longest that one request may spend waiting in all, before and between attempts, in
   * milliseconds. A wait that would pass it is not begun: the client gets the upstream's answer, or
   * a 429 where there is none yet, at once. Uploads, which stream through, wait for 10 s at most.
   * @defaultValue 300_000
   */
  maxWait?: number | undefined;
  /**
   * Whether requests are held back where the upstream would refuse them: each API key and model
   * has its own window, which the answers teach. `false` sends everything at once and leaves it at
   * retries after a 429.
   * @defaultValue true
   */
  rateLimit?: boolean | undefined;
  /**
   * How many requests of one API key and model may wait in this process for a place in the window.
   * Further ones are answered with 429 at once.
   * @defaultValue 1_000
   */
  maxQueue?: number | undefined;
  /**
   * Milliseconds of silence after which a client that asked `stream: true` gets its 200 and, until
   * the first event, a comment each time they have passed again. A failure after that is the
   * stream's error event. Routes that bring no events (audio, embeddings, images, video) are left
   * out. 0 turns it off: then every status is the true one, however late.
   * @defaultValue 15_000
   */
  heartbeat?: number | undefined;
  /**
   * Where the windows are kept when several processes share an API key, such as
   * `redisStore(…)` of `venice-proxy/redis`.
   * @defaultValue the memory of this process
   */
  store?: GateStore | undefined;
  /**
   * How long the store may take for one answer, in milliseconds. After that the process goes on
   * with its own view, and its share of the window.
   * @defaultValue 100
   */
  storeTimeout?: number | undefined;
  /**
   * Top-level members taken out of the JSON bodies of `/chat/completions` and `/responses`. What
   * was taken out stands in the answer's `x-venice-proxy-dropped`. `[]` keeps everything.
   * @defaultValue `['prompt_cache_key', 'logprobs', 'top_logprobs']`
   */
  dropParams?: readonly string[] | undefined;
  /**
   * Whether a parameter that the upstream refuses with a 400, which names it, is dropped and the
   * request sent once more, up to three times; it is dropped beforehand for that model for an hour.
   * Only what does not change the meaning goes: a `null` at the top level, `thinking`,
   * `enable_thinking`, `user`, `safety_identifier`, `prompt_cache_key`, `prompt_cache_retention`,
   * `service_tier`, `logprobs`, `top_logprobs`, `metadata`, `prediction`, and `learnableParams`.
   * @defaultValue true
   */
  learnParams?: boolean | undefined;
  /**
   * Further top-level members that may be dropped when the upstream refuses them.
   * @defaultValue `[]`
   */
  learnableParams?: readonly string[] | undefined;
  /**
   * Whether errors of the upstream are put into OpenAI's shape, so that SDKs find `message`, `type`
   * and `code`; what the upstream wrote then stands in `error.upstream`. By default they are
   * forwarded word for word.
   * @defaultValue false
   */
  normalizeErrors?: boolean | undefined;
  /**
   * Other names for models: what a client calls by the first goes to Venice by the second. Features
   * (`gpt-4o:enable_web_search=on`) are kept; JSON bodies only. The answer keeps Venice's name, which
   * stands in `x-venice-proxy-model`, too. With it, the hint beside Venice's error for a model that
   * it does not know names those that are nearest.
   * @defaultValue none
   */
  models?: Readonly<Record<string, string>> | undefined;
  /**
   * Parameters that are added to the JSON bodies of `/chat/completions` and `/responses` where the
   * client did not say them, by Venice's name of the model, or `'*'` for all models; what stands
   * there for the model itself counts more. In objects (`venice_parameters`), what is missing is
   * added, one level deep. Every byte of the client's own stays.
   * @defaultValue none
   */
  defaults?: Readonly<Record<string, JsonObject>> | undefined;
  /**
   * Models that are asked in turn where one is at capacity or offline (503, or a 429 that is not for
   * the rate limit) after its retries; by Venice's names. Each has retries of its own, within the
   * same `maxWait`; which one has answered stands in `x-venice-proxy-model`. Nothing else in the
   * body changes: `defaults` are those of the first. JSON bodies only; what is never replayed is not
   * sent to another model, either.
   * @defaultValue none
   */
  fallbacks?: Readonly<Record<string, readonly string[]>> | undefined;
  /**
   * Changes the JSON object of a request, before anything else is done to it: what it returns is
   * written by `JSON.stringify` and sent; `undefined` leaves every byte. Other bodies are left out.
   * A throw, or anything else that comes back, is a 500, and nothing is sent; a promise is waited
   * for as long as the client waits. All three functions are given the same `request` object: what
   * is kept for a request can be kept in a `WeakMap`.
   * @defaultValue none
   */
  rewriteRequest?: RewriteRequest | undefined;
  /**
   * Changes the JSON object of an answer of status 2xx, which is held whole for it (up to 256 MiB);
   * as `rewriteRequest`, but where it fails the answer stays as it came.
   * @defaultValue none
   */
  rewriteAnswer?: RewriteAnswer | undefined;
  /**
   * Changes the JSON object in the data of each event of a stream, at once: no promise. `undefined`
   * leaves the event, `null` drops it; where it fails the event stays as it came. Comments, `[DONE]`
   * and events of more than 16 MiB are left out.
   * @defaultValue none
   */
  rewriteEvent?: RewriteEvent | undefined;
  /**
   * Whether clients of Ollama's are served, under `/api/…` behind the mount path: `/api/tags`,
   * `/api/show`, `/api/chat`, `/api/generate`, `/api/embed` and a few more, in Ollama's own form,
   * from Venice's models, chat and embeddings. What is not built is a 501, and streams have no
   * heartbeat. Off, the paths of Ollama's go to `/api/…` of the target's host.
   * @defaultValue false
   */
  ollama?: boolean | undefined;
  /**
   * What may be sent again: `always`; `refused-only` when the upstream has said that nothing was
   * done; `never`. `undefined` leaves a request to the table of Venice's routes. Must not throw:
   * then the table counts.
   * @defaultValue the table: reads, chat, responses and embeddings `always`; what is billed by the
   * call `refused-only`; top-ups, `/crypto/rpc` and changes to API keys `never`
   */
  replay?: ReplayRule | undefined;
  /**
   * Whether the upstream is told the client's address, in `X-Forwarded-For`, `-Proto` and `-Host`.
   * What the client says of it itself counts only as far as the app's `trust proxy` trusts it.
   * @defaultValue false
   */
  forwardClientAddress?: boolean | undefined;
  /**
   * The longest JSON body, in bytes or as a string such as `'50mb'` (units of 1024): JSON is held
   * so that it can be sent again. Longer ones are answered with 413. Does not apply to other
   * bodies, which stream through.
   * @defaultValue `'50mb'`
   */
  bodyLimit?: number | string | undefined;
  /**
   * The key that goes upstream in place of the client's `Authorization`: a string, or a function
   * of the request that returns one, a promise of one, or `undefined` to leave the client's. It is
   * asked once a request; when it fails, or what it returns is no key, the client gets a 500.
   * @defaultValue the client's own `Authorization` is forwarded
   */
  apiKey?: ApiKeySource | undefined;
  /**
   * The agent for upstream connections: for an outgoing proxy, a custom CA or a client
   * certificate. It must fit the protocol of `target`.
   * @defaultValue agents of our own that keep connections alive and set no limit to their number;
   * calls that are billed each get a connection that nobody used before
   */
  agent?: HttpAgent | HttpsAgent | undefined;
  /**
   * Functions that are told what happens to requests: one set of them, or a list of sets.
   * @defaultValue none
   */
  on?: ProxyHooks | readonly ProxyHooks[] | undefined;
}

/**
 * The options, complete, checked and converted; nothing below this file reads raw options.
 * @internal
 */
export interface Config {
  readonly target: URL;
  /** The target's path without a slash at its end: `''` or `/api/v1`. */
  readonly basePath: string;
  readonly connectMs: number;
  readonly firstByteMs: number;
  readonly idleMs: number;
  readonly retries: number;
  readonly baseRetryDelayMs: number;
  readonly rateLimitWaitMs: number;
  readonly maxWaitMs: number;
  readonly rateLimit: boolean;
  readonly maxQueue: number;
  readonly heartbeatMs: number;
  readonly store: GateStore | undefined;
  readonly storeTimeoutMs: number;
  readonly dropParams: ReadonlySet<string>;
  readonly learnParams: boolean;
  readonly learnableParams: ReadonlySet<string>;
  readonly normalizeErrors: boolean;
  readonly models: ReadonlyMap<string, string> | undefined;
  readonly defaults: ReadonlyMap<string, JsonObject> | undefined;
  readonly fallbacks: ReadonlyMap<string, readonly string[]> | undefined;
  readonly rewriteRequest: RewriteRequest | undefined;
  readonly rewriteAnswer: RewriteAnswer | undefined;
  readonly rewriteEvent: RewriteEvent | undefined;
  readonly ollama: boolean;
  readonly replay: ReplayRule | undefined;
  readonly forwardClientAddress: boolean;
  readonly bodyLimitBytes: number;
  readonly apiKey: ApiKeySource | undefined;
  readonly agent: HttpAgent | undefined;
  readonly on: Readonly<ProxyHooks>;
}

/**
 * The defaults, in the units of the options.
 * @internal
 */
export const DEFAULTS = {
  target: 'https://api.venice.ai/api/v1',
  timeout: 300_000,
  retries: 5,
  baseRetryDelay: 1_000,
  rateLimitWait: 30_000,
  maxWait: 300_000,
  rateLimit: true,
  maxQueue: 1_000,
  heartbeat: 15_000,
  storeTimeout: 100,
  dropParams: ['prompt_cache_key', 'logprobs', 'top_logprobs'],
  learnParams: true,
  learnableParams: [],
  normalizeErrors: false,
  ollama: false,
  forwardClientAddress: false,
  bodyLimit: '50mb',
} as const;

const LONGEST_CONNECT_MS = 10_000;

// A record, so that an option that is forgotten here does not compile.
/** @internal */
export const OPTION_NAMES: Readonly<Record<keyof VeniceProxyOptions, true>> = {
  target: true,
  timeout: true,
  retries: true,
  baseRetryDelay: true,
  rateLimitWait: true,
  maxWait: true,
  rateLimit: true,
  maxQueue: true,
  heartbeat: true,
  store: true,
  storeTimeout: true,
  dropParams: true,
  learnParams: true,
  learnableParams: true,
  normalizeErrors: true,
  models: true,
  defaults: true,
  fallbacks: true,
  rewriteRequest: true,
  rewriteAnswer: true,
  rewriteEvent: true,
  ollama: true,
  replay: true,
  forwardClientAddress: true,
  bodyLimit: true,
  apiKey: true,
  agent: true,
  on: true,
};

const TIMEOUT_NAMES: Readonly<Record<keyof Timeouts, true>> = {
  connect: true,
  firstByte: true,
  idle: true,
};

/**
 * Checks the options and completes them.
 * @throws TypeError that names the option, its value and what is allowed
 * @internal
 */
export function resolveOptions(options: VeniceProxyOptions = {}): Config {
  refuseUnknownKeys('options', options, OPTION_NAMES, 'the options of createVeniceProxy');
  const target = baseUrl('target', options.target ?? DEFAULTS.target);
  return Object.freeze({
    target,
    basePath: target.pathname.replace(/\/+$/, ''),
    ...resolveTimeout(options.timeout ?? DEFAULTS.timeout),
    retries: wholeNumber('retries', options.retries ?? DEFAULTS.retries),
    baseRetryDelayMs: waitMs('baseRetryDelay', options.baseRetryDelay ?? DEFAULTS.baseRetryDelay),
    rateLimitWaitMs: waitMs('rateLimitWait', options.rateLimitWait ?? DEFAULTS.rateLimitWait),
    maxWaitMs: waitMs('maxWait', options.maxWait ?? DEFAULTS.maxWait),
    rateLimit: flag('rateLimit', options.rateLimit ?? DEFAULTS.rateLimit),
    maxQueue: wholeNumber('maxQueue', options.maxQueue ?? DEFAULTS.maxQueue),
    heartbeatMs: waitMs('heartbeat', options.heartbeat ?? DEFAULTS.heartbeat),
    store: resolveStore(options.store),
    storeTimeoutMs: durationMs('storeTimeout', options.storeTimeout ?? DEFAULTS.storeTimeout),
    dropParams: memberNames('dropParams', options.dropParams ?? DEFAULTS.dropParams),
    learnParams: flag('learnParams', options.learnParams ?? DEFAULTS.learnParams),
    learnableParams: memberNames(
      'learnableParams',
      options.learnableParams ?? DEFAULTS.learnableParams,
    ),
    normalizeErrors: flag('normalizeErrors', options.normalizeErrors ?? DEFAULTS.normalizeErrors),
    models: modelAliases('models', options.models ?? {}),
    defaults: modelDefaults('defaults', options.defaults ?? {}),
    fallbacks: modelLists('fallbacks', options.fallbacks ?? {}),
    rewriteRequest: resolveFunction('rewriteRequest', options.rewriteRequest),
    rewriteAnswer: resolveFunction('rewriteAnswer', options.rewriteAnswer),
    rewriteEvent: resolveFunction('rewriteEvent', options.rewriteEvent),
    ollama: flag('ollama', options.ollama ?? DEFAULTS.ollama),
    replay: resolveFunction('replay', options.replay),
    forwardClientAddress: flag(
      'forwardClientAddress',
      options.forwardClientAddress ?? DEFAULTS.forwardClientAddress,
    ),
    bodyLimitBytes: byteCount('bodyLimit', options.bodyLimit ?? DEFAULTS.bodyLimit),
    apiKey: resolveApiKey(options.apiKey),
    agent: resolveAgent(options.agent, target),
    on: resolveHooks(options.on ?? {}),
  });
}

function resolveTimeout(
  timeout: number | Timeouts,
): Pick<Config, 'connectMs' | 'firstByteMs' | 'idleMs'> {
  if (typeof timeout === 'number') {
    const timeoutMs = durationMs('timeout', timeout);
    return {
      connectMs: Math.min(timeoutMs, LONGEST_CONNECT_MS),
      firstByteMs: timeoutMs,
      idleMs: timeoutMs,
    };
  }
  if (typeof timeout !== 'object' || timeout === null) {
    throw invalid('timeout', 'milliseconds or { connect, firstByte, idle }', timeout);
  }
  refuseUnknownKeys('timeout', timeout, TIMEOUT_NAMES);
  const firstByteMs = durationMs('timeout.firstByte', timeout.firstByte ?? DEFAULTS.timeout);
  return {
    connectMs: durationMs(
      'timeout.connect',
      timeout.connect ?? Math.min(firstByteMs, LONGEST_CONNECT_MS),
    ),
    firstByteMs,
    idleMs: durationMs('timeout.idle', timeout.idle ?? DEFAULTS.timeout),
  };
}

function resolveApiKey(apiKey: ApiKeySource | undefined): ApiKeySource | undefined {
  if (apiKey === undefined || typeof apiKey === 'function') return apiKey;
  if (typeof apiKey === 'string' && isBearerToken(apiKey)) return apiKey;
  // The value is a secret, or meant to be one: it is not repeated.
  const shown =
    typeof apiKey === 'string' ? `a string of ${apiKey.length} characters` : typeof apiKey;
  throw new TypeError(
    `Expected \`apiKey\` to be a function or a string of visible ASCII characters, got ${shown}`,
  );
}

function resolveAgent(agent: HttpAgent | undefined, target: URL): HttpAgent | undefined {
  if (agent === undefined) return undefined;
  // Only the plain classes are known to serve one protocol; subclasses (proxy agents) serve both.
  const misfit = target.protocol === 'https:' ? HttpAgent : HttpsAgent;
  if (!(agent instanceof HttpAgent) || agent.constructor === misfit) {
    throw invalid('agent', `an agent for ${target.protocol.slice(0, -1)}`, agent);
  }
  return agent;
}

function resolveFunction<Value>(name: string, value: Value): Value {
  if (value === undefined || typeof value === 'function') return value;
  throw invalid(name, 'a function', value);
}

function resolveStore(store: GateStore | undefined): GateStore | undefined {
  if (store === undefined) return undefined;
  if (typeof store !== 'object' || store === null || typeof store.step !== 'function') {
    throw invalid('store', 'a store such as redisStore(…) of venice-proxy/redis', store);
  }
  return store;
}

function resolveHooks(hooks: ProxyHooks | readonly ProxyHooks[]): Readonly<ProxyHooks> {
  // `Array.isArray` does not know lists that are read-only.
  const sets: readonly ProxyHooks[] = [hooks].flat();
  const isList = Array.isArray(hooks);
  for (const [place, set] of sets.entries()) checkHooks(isList ? `on[${place}]` : 'on', set);
  return Object.freeze(mergeHooks(sets));
}

function checkHooks(option: string, hooks: ProxyHooks): void {
  refuseUnknownKeys(option, hooks, HOOK_NAMES);
  for (const [name, hook] of Object.entries(hooks)) {
    if (hook !== undefined && typeof hook !== 'function') {
      throw invalid(`${option}.${name}`, 'a function', hook);
    }
  }
}
