export { createVeniceProxy } from './create-venice-proxy.ts';
export { createHealthCheck } from './health.ts';
export { optionsFromEnv } from './options-from-env.ts';
export type {
  AnswerEvent,
  AttemptEvent,
  DropEvent,
  Outcome,
  ProxyHooks,
  RequestInfo,
  RetryEvent,
} from './hooks.ts';
export type { ApiKeySource, Timeouts, VeniceProxyOptions } from './options.ts';
export type { LastHeard, VeniceProxy } from './proxy-state.ts';
