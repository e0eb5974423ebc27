import { describe, expect, test } from '@jest/globals';
import type { AttemptEndEvent, ProxyHooks, UsageEvent, VeniceProxyOptions } from '../lib/index.ts';
import { createStandInVenice } from '../examples/stand-in-venice.ts';
import type { StandInOptions, StandInVenice } from '../examples/stand-in-venice.ts';
import { CHAT, chat, closeAfterTest } from './helpers/scene.ts';
import { send, startProxy } from './helpers/serve.ts';
import type { RunningProxy } from './helpers/serve.ts';
import { until } from './helpers/until.ts';

interface Watched extends RunningProxy {
  readonly venice: StandInVenice;
}

/** A proxy with hooks of the test's own. */
async function watch(
  on: ProxyHooks | readonly ProxyHooks[],
  options: VeniceProxyOptions = {},
  standIn: StandInOptions = {},
): Promise<Watched> {
  const venice = createStandInVenice(standIn);
  const target = await venice.listen();
  const running = await startProxy({ target, on, ...options });
  closeAfterTest(async () => {
    await running.close();
    await venice.close();
  });
  return { ...running, venice };
}

describe('a list of hooks', () => {
  test('is told each event, in its order, whatever one of them throws', async () => {
    const told: string[] = [];
    const proxy = await watch([
      {
        attempt: () => {
          told.push('first');
          throw new Error('mine');
        },
      },
      {},
      { attempt: () => told.push('second'), answer: () => told.push('answer') },
    ]);
    expect((await chat(proxy)).status).toBe(200);
    await until(() => told.length === 3);
    expect(told).toEqual(['first', 'second', 'answer']);
  });
});

describe('request', () => {
  test('is the first event of each request, also of one that is refused', async () => {
    const told: string[] = [];
    const proxy = await watch({
      request: ({ request }) => told.push(`request ${request.path} ${request.model}`),
      answer: ({ request }) => told.push(`answer ${request.path}`),
    });
    await chat(proxy);
    await send(`${proxy.baseUrl}/a%2fb`);
    await until(() => told.length === 4);
    expect(told.map((line) => line.split(' ')[0])).toEqual([
      'request',
      'answer',
      'request',
      'answer',
    ]);
    expect(told[0]).toBe('request /chat/completions undefined');
  });

  test("gives the client's trace headers, and no other one", async () => {
    const seen: unknown[] = [];
    const proxy = await watch({
      request: ({ getTraceHeader }) =>
        seen.push(...['TraceParent', 'authorization', 'cookie', 'baggage'].map(getTraceHeader)),
    });
    await send(`${proxy.baseUrl}/models`, { headers: { traceparent: '00-a-b-01', cookie: 'c' } });
    expect(seen).toEqual(['00-a-b-01', undefined, undefined, undefined]);
  });
});

describe('attempt', () => {
  test('may set trace headers of the attempt, and no other one', async () => {
    const proxy = await watch({
      attempt: ({ attempt, setTraceHeader }) => {
        setTraceHeader('traceparent', `00-attempt-${attempt}`);
        setTraceHeader('tracestate', 'not\nsendable');
        setTraceHeader('authorization', 'Bearer stolen');
        setTraceHeader('content-length', '1');
      },
    });
    proxy.venice.script({ kind: 'answer', status: 503 });
    const headers = { traceparent: '00-client', tracestate: 'mine' };
    const reply = await send(`${proxy.baseUrl}/chat/completions`, { headers, body: CHAT });
    expect(reply.status).toBe(200);
    const sent = proxy.venice.calls.map((call) => call.headers);
    expect(sent.map(({ traceparent }) => traceparent)).toEqual(['00-attempt-1', '00-attempt-2']);
    expect(sent[0]).toMatchObject({ tracestate: 'mine', authorization: 'Bearer test-key' });
  });

  test("leaves the client's trace headers in place where nobody sets any", async () => {
    const proxy = await watch({});
    await send(`${proxy.baseUrl}/models`, { headers: { traceparent: '00-client' } });
    expect(proxy.venice.calls[0]?.headers['traceparent']).toBe('00-client');
  });
});

describe('attemptEnd', () => {
  test('tells of each attempt how it ended', async () => {
    const ends: AttemptEndEvent[] = [];
    const proxy = await watch({ attemptEnd: (event) => ends.push(event) });
    proxy.venice.script({ kind: 'reset', after: 'body' }, { kind: 'answer', status: 503 });
    expect((await chat(proxy)).status).toBe(200);
    const shape = ends.map(({ attempt, status, failure }) => [attempt, status, failure]);
    expect(shape).toEqual([
      [1, undefined, 'lost'],
      [2, 503, 'refused'],
      [3, 200, undefined],
    ]);
    expect(ends[0]?.request).toMatchObject({ path: '/chat/completions', model: CHAT.model });
    for (const { durationMs } of ends) expect(durationMs).toBeGreaterThanOrEqual(0);
  });

  test('tells of an attempt that is given up with its client', async () => {
    const ends: AttemptEndEvent[] = [];
    const proxy = await watch({ attemptEnd: (event) => ends.push(event) });
    proxy.venice.script({ kind: 'silent' });
    const leaving = new AbortController();
    const left = fetch(`${proxy.baseUrl}/models`, { signal: leaving.signal });
    await proxy.venice.arrived(1);
    leaving.abort();
    await expect(left).rejects.toThrow('abort');
    await until(() => ends.length === 1);
    expect(ends[0]).toMatchObject({ attempt: 1, status: undefined, failure: 'final' });
  });
});

async function usageOf(
  path: string,
  body: object,
  standIn: StandInOptions = {},
): Promise<{ usages: UsageEvent[]; order: string[]; text: string }> {
  const usages: UsageEvent[] = [];
  const order: string[] = [];
  const proxy = await watch(
    {
      usage: (event) => {
        usages.push(event);
        order.push('usage');
      },
      answer: () => order.push('answer'),
    },
    {},
    { tokenDelayMs: 0, ...standIn },
  );
  const reply = await send(`${proxy.baseUrl}${path}`, { body });
  expect(reply.status).toBe(200);
  await until(() => order.includes('answer'));
  return { usages, order, text: reply.text };
}

describe('usage', () => {
  test('tells what chat tells, before the request is over', async () => {
    const { usages, order, text } = await usageOf('/chat/completions', CHAT);
    const said: { usage: Record<string, number> } = JSON.parse(text);
    expect(order).toEqual(['usage', 'answer']);
    expect(usages[0]).toMatchObject({
      request: { path: '/chat/completions', model: CHAT.model },
      inputTokens: said.usage['prompt_tokens'],
      outputTokens: said.usage['completion_tokens'],
      totalTokens: said.usage['total_tokens'],
    });
  });

  test('tells what a stream tells that was asked for it, and of another one nothing', async () => {
    const asked = { ...CHAT, stream: true, stream_options: { include_usage: true } };
    const { usages } = await usageOf('/chat/completions', asked);
    expect(usages).toHaveLength(1);
    expect(usages[0]?.totalTokens).toBeGreaterThan(0);
    const { order } = await usageOf('/chat/completions', { ...CHAT, stream: true });
    expect(order).toEqual(['answer']);
  });

  test.each(['/responses', '/embeddings'])('tells what %s tell', async (path) => {
    const { usages } = await usageOf(path, { ...CHAT, input: 'Some words.' });
    expect(usages[0]?.inputTokens).toBeGreaterThan(0);
  });

  test('tells it of embeddings that are converted, and of a stream of responses', async () => {
    const base64 = { model: 'm', input: 'Some words.', encoding_format: 'base64' };
    expect((await usageOf('/embeddings', base64)).usages).toHaveLength(1);
    const stream = { model: 'm', input: 'Some words.', stream: true };
    expect((await usageOf('/responses', stream)).usages).toHaveLength(1);
  });
});
