export { createVeniceProxy } from './create-venice-proxy.ts';
export { createHealthCheck } from './health.ts';
export { optionsFromEnv } from './options-from-env.ts';
export type {
  AnswerEvent,
  AttemptEvent,
  DropEvent,
  HoldEvent,
  Outcome,
  ProxyHooks,
  RequestInfo,
  RetryEvent,
} from './hooks.ts';
export type { JsonObject } from './json-value.ts';
export type { RewriteAnswer, RewriteEvent, RewriteRequest } from './rewrite-types.ts';
export type { ApiKeySource, ReplayRule, Timeouts, VeniceProxyOptions } from './options.ts';
export type {
  Ask,
  GateStore,
  HoldReason,
  Reply,
  Report,
  ToldWindow,
} from './rate-gate/gate-store.ts';
export type { BucketState, WindowState } from './rate-gate/gate-state.ts';
export type { LastHeard, Phase, RequestState, VeniceProxy } from './proxy-state.ts';
export type { ReplayClass } from './replay-policy.ts';
