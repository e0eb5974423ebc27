export { createVeniceProxy } from './create-venice-proxy.ts';
export { createHealthCheck } from './health.ts';
export { optionsFromEnv } from './options-from-env.ts';
export type {
  AnswerEvent,
  AttemptEndEvent,
  AttemptEvent,
  DropEvent,
  HoldEvent,
  Outcome,
  ProxyHooks,
  RequestEvent,
  RequestInfo,
  RetryEvent,
  UsageEvent,
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
export type { FailureCause, ReplayClass } from './replay-policy.ts';
export type { Usage } from './read-usage.ts';
