import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { SpanKind, SpanStatusCode, context, propagation, trace } from '@opentelemetry/api';
import type { SpanContext, TextMapPropagator } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base';
import { createStandInVenice } from '../examples/stand-in-venice.ts';
import type { StandInOptions, StandInVenice } from '../examples/stand-in-venice.ts';
import type { VeniceProxyOptions } from '../lib/index.ts';
import { createTracing } from '../lib/tracing/index.ts';
import { answeredEvent } from './helpers/answer-event.ts';
import { CHAT, chat, closeAfterTest } from './helpers/scene.ts';
import { send, startProxy } from './helpers/serve.ts';
import type { RunningProxy } from './helpers/serve.ts';
import { until } from './helpers/until.ts';

/** As the W3C writes it (Trace Context §3.2). */
const TRACE_CONTEXT: TextMapPropagator = {
  fields: () => ['traceparent'],
  inject(from, carrier, setter) {
    const span = trace.getSpanContext(from);
    if (span !== undefined) setter.set(carrier, 'traceparent', written(span));
  },
  extract(from, carrier, getter) {
    const value = getter.get(carrier, 'traceparent');
    const [, traceId, spanId] = /^00-(\w{32})-(\w{16})-01$/.exec(String(value)) ?? [];
    if (traceId === undefined || spanId === undefined) return from;
    return trace.setSpanContext(from, { traceId, spanId, traceFlags: 1, isRemote: true });
  },
};

function written({ traceId, spanId }: Pick<SpanContext, 'traceId' | 'spanId'>): string {
  return `00-${traceId}-${spanId}-01`;
}

let exporter: InMemorySpanExporter;
let provider: BasicTracerProvider;

beforeEach(() => {
  exporter = new InMemorySpanExporter();
  provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  propagation.setGlobalPropagator(TRACE_CONTEXT);
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
});

afterEach(() => {
  propagation.disable();
  context.disable();
});

interface Traced extends RunningProxy {
  readonly venice: StandInVenice;
}

async function traced(
  options: VeniceProxyOptions = {},
  standIn: StandInOptions = {},
  surroundings: Parameters<typeof startProxy>[1] = {},
): Promise<Traced> {
  const venice = createStandInVenice({ tokenDelayMs: 0, ...standIn });
  const target = await venice.listen();
  const { hooks } = createTracing({ tracer: provider.getTracer('test') });
  const running = await startProxy({ target, on: hooks, ...options }, surroundings);
  closeAfterTest(async () => {
    await running.close();
    await venice.close();
  });
  return { ...running, venice };
}

function isRequest({ kind, name }: ReadableSpan): boolean {
  return kind !== SpanKind.CLIENT && name !== 'hold' && name !== 'outer';
}

/** The spans of requests that have ended, the request's own last. */
async function spansOf(count = 1): Promise<ReadableSpan[]> {
  await until(() => exporter.getFinishedSpans().filter(isRequest).length === count);
  return exporter.getFinishedSpans();
}

describe('tracing', () => {
  test('makes a span of the request, and one of its attempt, whose context goes upstream', async () => {
    const scene = await traced();
    expect((await chat(scene)).status).toBe(200);
    const [attempt, request] = await spansOf();
    expect(request).toMatchObject({ name: 'POST /chat/completions', kind: SpanKind.SERVER });
    expect(request?.attributes).toMatchObject({
      'http.request.method': 'POST',
      'http.route': '/chat/completions',
      'http.response.status_code': 200,
      'gen_ai.request.model': CHAT.model,
      'venice_proxy.outcome': 'answered',
      'venice_proxy.attempts': 1,
    });
    expect(attempt).toMatchObject({ name: `chat ${CHAT.model}`, kind: SpanKind.CLIENT });
    expect(attempt?.attributes).toMatchObject({
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': 'venice',
      'gen_ai.request.model': CHAT.model,
      'gen_ai.usage.input_tokens': expect.any(Number),
      'gen_ai.usage.output_tokens': expect.any(Number),
      'http.response.status_code': 200,
    });
    expect(attempt?.parentSpanContext?.spanId).toBe(request?.spanContext().spanId);
    const sent = scene.venice.calls[0]?.headers['traceparent'];
    expect(sent).toBe(attempt && written(attempt.spanContext()));
    expect(attempt?.status.code).toBe(SpanStatusCode.UNSET);
  });

  test('knows no route of a path that a client made up', async () => {
    const scene = await traced();
    await send(`${scene.baseUrl}/made-up`);
    const request = (await spansOf()).at(-1);
    expect(request?.name).toBe('GET');
    expect(request?.attributes).not.toHaveProperty(['http.route']);
    expect(request?.attributes['url.path']).toBe('/made-up');
  });

  test("goes on with the client's trace", async () => {
    const scene = await traced();
    const client = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16) };
    await send(`${scene.baseUrl}/models`, { headers: { traceparent: written(client) } });
    const request = (await spansOf()).at(-1);
    expect(request?.spanContext().traceId).toBe(client.traceId);
    expect(request?.parentSpanContext?.spanId).toBe(client.spanId);
    expect(scene.venice.calls[0]?.headers['traceparent']).toMatch(/^00-a{32}-(?!b{16})/);
  });

  test('is a part of the span that is active', async () => {
    const outer = provider.getTracer('app').startSpan('outer');
    const scene = await traced(
      {},
      {},
      {
        before: (app) =>
          app.use((_req, _res, next) => {
            context.with(trace.setSpan(context.active(), outer), next);
          }),
      },
    );
    const headers = { traceparent: written({ traceId: 'a'.repeat(32), spanId: 'b'.repeat(16) }) };
    await send(`${scene.baseUrl}/models`, { headers });
    const request = (await spansOf()).at(-1);
    expect(request?.kind).toBe(SpanKind.INTERNAL);
    expect(request?.parentSpanContext?.spanId).toBe(outer.spanContext().spanId);
  });

  test('has a span for each attempt, and says why it was made again', async () => {
    const scene = await traced();
    scene.venice.script({ kind: 'reset', after: 'body' }, { kind: 'answer', status: 503 });
    expect((await chat(scene)).status).toBe(200);
    const [lost, refused, last, request] = await spansOf();
    expect(lost?.attributes['error.type']).toBe('lost');
    expect(refused?.attributes).toMatchObject({
      'error.type': '503',
      'http.request.resend_count': 1,
      'http.response.status_code': 503,
    });
    for (const span of [lost, refused]) expect(span?.status.code).toBe(SpanStatusCode.ERROR);
    expect(last?.attributes['http.request.resend_count']).toBe(2);
    expect(request?.events.map(({ attributes }) => attributes)).toMatchObject([
      { 'venice_proxy.retry.reason': 'no answer' },
      { 'venice_proxy.retry.reason': 'status 503' },
    ]);
    const parents = new Set(scene.venice.calls.map(({ headers }) => headers['traceparent']));
    expect(parents.size).toBe(3);
  });

  test('has a span for the time that a request is held', async () => {
    const limits = { requests: { limit: 1, windowMs: 200 }, resetFormat: 'milliseconds' } as const;
    const scene = await traced({}, limits);
    await chat(scene);
    await chat(scene);
    const hold = (await spansOf(2)).find(({ name }) => name === 'hold');
    expect(hold?.attributes).toMatchObject({
      'venice_proxy.hold.reason': 'request limit',
      'venice_proxy.hold.ahead': 0,
    });
    expect(hold?.ended).toBe(true);
  });

  test('tells of a stream that breaks, of an error of its own, of a client that leaves', async () => {
    const scene = await traced({ bodyLimit: 500 });
    scene.venice.script({ kind: 'cut-stream', afterEvents: 2 });
    await chat(scene, { stream: true });
    const [attempt, broken] = await spansOf(1);
    for (const span of [attempt, broken]) expect(span?.status.code).toBe(SpanStatusCode.ERROR);
    expect(broken?.attributes['error.type']).toBe('upstream_disconnected');
    await chat(scene, { x: 'x'.repeat(500) });
    const refused = (await spansOf(2)).at(-1);
    expect(refused?.attributes).toMatchObject({
      'error.type': 'body_too_large',
      'http.response.status_code': 413,
    });
    expect(refused?.status.code).toBe(SpanStatusCode.UNSET);
    scene.venice.script({ kind: 'silent' });
    const leaving = new AbortController();
    const left = fetch(`${scene.baseUrl}/models`, { signal: leaving.signal });
    await scene.venice.arrived(2);
    leaving.abort();
    await expect(left).rejects.toThrow('abort');
    expect((await spansOf(3)).at(-1)?.attributes['venice_proxy.outcome']).toBe('client_left');
    expect((await spansOf(3)).every(({ ended }) => ended)).toBe(true);
  });

  test('keeps nothing of a request whose span cannot be ended', () => {
    let ends = 0;
    const span = trace.wrapSpanContext({
      traceId: 'a'.repeat(32),
      spanId: 'b'.repeat(16),
      traceFlags: 1,
    });
    span.end = () => {
      ends += 1;
      throw new Error('no exporter');
    };
    const tracer = Object.assign(provider.getTracer('test'), { startSpan: () => span });
    const { hooks } = createTracing({ tracer });
    const request = { id: '1', method: 'GET', path: '/models', model: undefined, stream: false };
    hooks.request?.({ request, getTraceHeader: () => undefined });
    const answer = answeredEvent(request);
    expect(() => hooks.answer?.(answer)).toThrow('no exporter');
    hooks.answer?.(answer);
    expect(ends).toBe(1);
  });

  test('costs nobody an error where there is no provider', async () => {
    const { hooks } = createTracing();
    const venice = createStandInVenice();
    const target = await venice.listen();
    const running = await startProxy({ target, on: hooks });
    closeAfterTest(async () => {
      await running.close();
      await venice.close();
    });
    const traceparent = written({ traceId: 'a'.repeat(32), spanId: 'b'.repeat(16) });
    await send(`${running.baseUrl}/models`, { headers: { traceparent } });
    expect(venice.calls[0]?.headers['traceparent']).toBe(traceparent);
  });
});
