import { SpanKind, SpanStatusCode, propagation, trace } from '@opentelemetry/api';
import type { Attributes, Context, Span, TextMapSetter, Tracer } from '@opentelemetry/api';
import type {
  AnswerEvent,
  AttemptEndEvent,
  AttemptEvent,
  HoldEvent,
  RequestInfo,
  RetryEvent,
  UsageEvent,
} from '../hooks.ts';
import { attemptName, modelAttributes, requestAttributes, requestName } from './attributes.ts';

const INTO_ATTEMPT: TextMapSetter<AttemptEvent> = {
  set: ({ setTraceHeader }, name, value) => setTraceHeader(name, value),
};

/** The spans of one request. */
export class RequestTrace {
  readonly #tracer: Tracer;
  readonly #span: Span;
  readonly #context: Context;
  #hold: Span | undefined;
  #attempt: Span | undefined;

  /** @param kind - `SERVER` unless somebody has a span for this request already */
  constructor(tracer: Tracer, request: RequestInfo, parent: Context, kind: SpanKind) {
    this.#tracer = tracer;
    const options = { kind, attributes: requestAttributes(request) };
    this.#span = tracer.startSpan(requestName(request), options, parent);
    this.#context = trace.setSpan(parent, this.#span);
  }

  hold({ attempt, reason, ahead }: HoldEvent): void {
    this.#endHold();
    const attributes = {
      'venice_proxy.attempt': attempt,
      'venice_proxy.hold.reason': reason,
      'venice_proxy.hold.ahead': ahead,
    };
    this.#hold = this.#tracer.startSpan('hold', { attributes }, this.#context);
  }

  begin(event: AttemptEvent): void {
    this.#endHold();
    this.#attempt?.end();
    const { request, attempt } = event;
    const attributes: Attributes = {
      ...modelAttributes(request),
      'http.request.method': request.method,
      'venice_proxy.attempt': attempt,
    };
    if (attempt > 1) attributes['http.request.resend_count'] = attempt - 1;
    const options = { kind: SpanKind.CLIENT, attributes };
    this.#attempt = this.#tracer.startSpan(attemptName(request), options, this.#context);
    propagation.inject(trace.setSpan(this.#context, this.#attempt), event, INTO_ATTEMPT);
  }

  /** One whose answer goes to the client goes on until that has ended. */
  end({ status, failure }: AttemptEndEvent): void {
    const span = this.#attempt;
    if (span === undefined) return;
    if (status !== undefined) span.setAttribute('http.response.status_code', status);
    if (failure === undefined && status !== undefined && status < 400) return;
    span.setAttribute('error.type', status === undefined ? (failure ?? 'unknown') : String(status));
    span.setStatus({ code: SpanStatusCode.ERROR });
    this.#endAttempt();
  }

  retry({ reason, delayMs }: RetryEvent): void {
    this.#span.addEvent('retry', {
      'venice_proxy.retry.reason': reason,
      'venice_proxy.retry.delay_ms': delayMs,
    });
  }

  usage({ inputTokens, outputTokens }: UsageEvent): void {
    if (inputTokens !== undefined) {
      this.#attempt?.setAttribute('gen_ai.usage.input_tokens', inputTokens);
    }
    if (outputTokens !== undefined) {
      this.#attempt?.setAttribute('gen_ai.usage.output_tokens', outputTokens);
    }
  }

  finish({ request, status, outcome, code, attempts, waitedMs, dropped }: AnswerEvent): void {
    this.#endHold();
    const span = this.#span;
    if (outcome === 'broken') this.#attempt?.setStatus({ code: SpanStatusCode.ERROR });
    this.#endAttempt();
    span.setAttributes({
      ...modelAttributes(request),
      'venice_proxy.outcome': outcome,
      'venice_proxy.attempts': attempts,
      'venice_proxy.waited_ms': waitedMs,
    });
    if (dropped.length > 0) span.setAttribute('venice_proxy.dropped', [...dropped]);
    if (status !== undefined) span.setAttribute('http.response.status_code', status);
    // A server's span has failed when the server has: 4xx are the client's (semantic conventions).
    const isFailure = outcome === 'broken' || (status ?? 0) >= 500;
    if (code !== undefined) span.setAttribute('error.type', code);
    else if (isFailure) span.setAttribute('error.type', String(status));
    if (isFailure) span.setStatus({ code: SpanStatusCode.ERROR });
    span.end();
  }

  #endHold(): void {
    this.#hold?.end();
    this.#hold = undefined;
  }

  #endAttempt(): void {
    this.#attempt?.end();
    this.#attempt = undefined;
  }
}
