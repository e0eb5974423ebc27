import { SpanKind, context, propagation, trace } from '@opentelemetry/api';
import type { TextMapGetter, Tracer } from '@opentelemetry/api';
import type { ProxyHooks, RequestEvent } from '../hooks.ts';
import { VERSION } from '../version.ts';
import { RequestTrace } from './request-trace.ts';

/** What `createTracing` takes. */
export interface TracingOptions {
  /**
   * Makes the spans.
   * @defaultValue the one that OpenTelemetry's global provider has for `venice-proxy`
   */
  tracer?: Tracer | undefined;
}

/** Traces of one proxy: another one needs its own. */
export interface Tracing {
  /** For the option `on`, alone or in a list. */
  readonly hooks: ProxyHooks;
}

const FROM_REQUEST: TextMapGetter<RequestEvent> = {
  // What there is nobody asks for by this: propagators know the names of their headers.
  keys: () => [],
  get: ({ getTraceHeader }, name) => getTraceHeader(name),
};

/**
 * Spans, by OpenTelemetry, of each request, of the time that it is held, and of each attempt, whose
 * trace context goes upstream in place of the client's. A request's span is a child of the active
 * one or, where there is none, of what the client's headers name. Needs `@opentelemetry/api`.
 *
 * @example
 * ```ts
 * const proxy = createVeniceProxy({ on: createTracing().hooks });
 * ```
 */
export function createTracing({
  tracer = trace.getTracer('venice-proxy', VERSION),
}: TracingOptions = {}): Tracing {
  const traces = new Map<string, RequestTrace>();
  const hooks: ProxyHooks = {
    request(event) {
      const active = context.active();
      const isInside = trace.getSpan(active) !== undefined;
      const parent = isInside ? active : propagation.extract(active, event, FROM_REQUEST);
      const kind = isInside ? SpanKind.INTERNAL : SpanKind.SERVER;
      traces.set(event.request.id, new RequestTrace(tracer, event.request, parent, kind));
    },
    hold: (event) => traces.get(event.request.id)?.hold(event),
    attempt: (event) => traces.get(event.request.id)?.begin(event),
    attemptEnd: (event) => traces.get(event.request.id)?.end(event),
    retry: (event) => traces.get(event.request.id)?.retry(event),
    usage: (event) => traces.get(event.request.id)?.usage(event),
    answer(event) {
      const { id } = event.request;
      const ended = traces.get(id);
      // First: whoever gets the span may throw.
      traces.delete(id);
      ended?.finish(event);
    },
  };
  return { hooks };
}
