export { createTracing } from './create-tracing.ts';
export type { Tracing, TracingOptions } from './create-tracing.ts';
