import type { OutgoingHttpHeaders } from 'node:http';

/** What the propagators of OpenTelemetry, and of those whom it follows, read and write. */
const TRACE_HEADER =
  /^(traceparent|tracestate|baggage|b3|x-b3-[a-z]+|uber-trace-id|uberctx-[\w-]+|x-amzn-trace-id|x-cloud-trace-context|x-datadog-[\w-]+|sentry-trace)$/i;

const LONGEST_VALUE = 8_192;

/** Whether a header carries the context of a trace: nothing else is a hook's business. */
export function isTraceHeader(name: string): boolean {
  return TRACE_HEADER.test(name);
}

/** Sets a header that carries the context of a trace; any other, and what cannot be sent, is ignored. */
export function setTraceHeader(headers: OutgoingHttpHeaders, name: string, value: string): void {
  if (!isTraceHeader(name) || value.length > LONGEST_VALUE) return;
  if (/^[\x20-\x7e]+$/.test(value)) headers[name.toLowerCase()] = value;
}
