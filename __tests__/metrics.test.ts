import { describe, expect, test } from '@jest/globals';
import { Registry } from 'prom-client';
import { createStandInVenice } from '../examples/stand-in-venice.ts';
import type { StandInOptions, StandInVenice } from '../examples/stand-in-venice.ts';
import { createVeniceProxy } from '../lib/index.ts';
import type {
  AnswerEvent,
  BucketState,
  ProxyHooks,
  RequestInfo,
  VeniceProxyOptions,
} from '../lib/index.ts';
import { createMetrics } from '../lib/metrics/index.ts';
import type { MetricsOptions } from '../lib/metrics/index.ts';
import { answeredEvent } from './helpers/answer-event.ts';
import { chatBytes } from './helpers/held.ts';
import { CHAT, chat, closeAfterTest } from './helpers/scene.ts';
import { send, startProxy } from './helpers/serve.ts';
import type { RunningProxy } from './helpers/serve.ts';
import { until } from './helpers/until.ts';
import { dial } from './helpers/wire.ts';

interface Measured extends RunningProxy {
  readonly venice: StandInVenice;
  /** The lines that are no comments. */
  read(): Promise<string[]>;
}

async function measure(
  options: VeniceProxyOptions = {},
  standIn: StandInOptions = {},
  metricsOptions: MetricsOptions = {},
): Promise<Measured> {
  const venice = createStandInVenice({ tokenDelayMs: 0, ...standIn });
  const target = await venice.listen();
  const metrics = createMetrics(metricsOptions);
  const running = await startProxy(
    { target, on: metrics.hooks, ...options },
    { before: (app) => app.get('/metrics', metrics.handler) },
  );
  metrics.observe(running.proxy);
  closeAfterTest(async () => {
    await running.close();
    await venice.close();
  });
  const read = async (): Promise<string[]> => {
    const { text } = await send(`${running.origin}/metrics`);
    return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  };
  return { ...running, venice, read };
}

/** Reads until so many requests have ended. */
async function ended(scene: Measured, count = 1): Promise<string[]> {
  let lines: string[] = [];
  for (let found = 0; found < count;) {
    // oxlint-disable-next-line no-await-in-loop -- until they are counted
    lines = await scene.read();
    found = lines
      .filter((line) => line.startsWith('venice_proxy_requests_total{'))
      .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  }
  return lines;
}

const REQUEST: RequestInfo = { id: '1', method: 'POST', path: '/', model: 'm', stream: false };

function answer(changes: Partial<AnswerEvent> & { request?: RequestInfo }): AnswerEvent {
  return { ...answeredEvent(REQUEST), ...changes };
}

describe('metrics', () => {
  test('tell of a request that went well', async () => {
    const scene = await measure();
    await chat(scene, { logprobs: true, model: 'm:enable_web_search=on' });
    const lines = await ended(scene);
    const labels = 'route="/chat/completions",model="m"';
    expect(lines).toEqual(
      expect.arrayContaining([
        `venice_proxy_requests_total{${labels},status="200",outcome="answered"} 1`,
        'venice_proxy_attempts_total{model="m",result="200"} 1',
        'venice_proxy_dropped_parameters_total{parameter="logprobs"} 1',
        `venice_proxy_duration_seconds_count{${labels}} 1`,
        `venice_proxy_first_byte_seconds_count{${labels}} 1`,
        'venice_proxy_wait_seconds_sum{model="m"} 0',
      ]),
    );
    expect(lines.join('\n')).toMatch(/tokens_total\{model="m",direction="input"\} [1-9]/);
    expect(lines.join('\n')).toMatch(/tokens_total\{model="m",direction="output"\} [1-9]/);
  });

  test('tell what is known of the windows, by a hash of the key', async () => {
    const scene = await measure({}, { requests: { limit: 7, windowMs: 60_000 } });
    await chat(scene);
    const text = (await ended(scene)).join('\n');
    const labels = /\{model="llama-3\.3-70b",key="[\da-f]{8}",unit="requests"\}/.source;
    expect(text).toMatch(new RegExp(`^venice_proxy_window_limit${labels} 7$`, 'm'));
    expect(text).toMatch(new RegExp(`^venice_proxy_window_remaining${labels} 6$`, 'm'));
    expect(text).not.toContain('test-key');
  });

  test('tell why attempts were made again, and of errors', async () => {
    const scene = await measure({ retries: 1 });
    const reset = { kind: 'reset', after: 'body' } as const;
    scene.venice.script({ kind: 'ok', afterwards: 'close' }, reset, reset);
    await chat(scene);
    expect((await chat(scene)).status).toBe(502);
    scene.venice.script({ kind: 'answer', status: 503 });
    expect((await chat(scene)).status).toBe(200);
    const lines = await ended(scene, 3);
    const model = 'model="llama-3.3-70b"';
    expect(lines).toEqual(
      expect.arrayContaining([
        `venice_proxy_attempts_total{${model},result="503"} 1`,
        `venice_proxy_attempts_total{${model},result="lost"} 2`,
        `venice_proxy_retries_total{${model},reason="status_503"} 1`,
        'venice_proxy_errors_total{code="upstream_disconnected"} 1',
      ]),
    );
  });

  test('tell of a stream that breaks', async () => {
    const scene = await measure();
    scene.venice.script({ kind: 'cut-stream', afterEvents: 2 });
    await chat(scene, { stream: true });
    const lines = await ended(scene);
    expect(lines).toContain(
      'venice_proxy_stream_breaks_total{model="llama-3.3-70b",code="upstream_disconnected"} 1',
    );
  });

  test('tell who is in flight and who waits', async () => {
    const scene = await measure({}, { requests: { limit: 1, windowMs: 60_000 } });
    await chat(scene);
    await (await dial(scene.origin)).write(chatBytes());
    await until(() => scene.proxy.requests().some(({ phase }) => phase === 'held'));
    const text = (await scene.read()).join('\n');
    expect(text).toContain('venice_proxy_requests_in_flight{phase="held"} 1');
    expect(text).toContain('venice_proxy_requests_in_flight{phase="relaying"} 0');
    expect(text).toMatch(/^venice_proxy_holds_total\{model="[^"]+",reason="request_limit"\} 1$/m);
    expect(text).toMatch(/^venice_proxy_queue_length\{model="llama[^}]+\} 1$/m);
    expect(text).toMatch(/^venice_proxy_queue_oldest_seconds\{model="llama[^}]+\} 0\.\d+$/m);
  });

  test('are in the text form of Prometheus, with a help for each', async () => {
    const scene = await measure();
    const reply = await send(`${scene.origin}/metrics`);
    expect(reply.headers).toMatchObject({
      'content-type': 'text/plain; version=0.0.4; charset=utf-8',
      'cache-control': 'no-store',
    });
    const names = [...reply.text.matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name);
    expect(names.length).toBeGreaterThan(12);
    for (const name of names) expect(reply.text).toMatch(new RegExp(`^# HELP ${name} .+\\.$`, 'm'));
  });

  test('may have another prefix and registry, and a registry that fails tells Express', async () => {
    const register = new Registry();
    const { hooks } = createMetrics({ register, prefix: 'mine_' });
    hooks.answer?.(answer({}));
    expect(await register.metrics()).toContain('mine_requests_total{');
    expect(() => createMetrics({ register, prefix: 'mine_' })).toThrow('mine_');
    register.metrics = () => Promise.reject(new Error('no metrics'));
    const other = createMetrics({ register, prefix: 'other_' });
    const failures: unknown[] = [];
    await other.handler(Object.create(null), Object.create(null), (error) => failures.push(error));
    expect(String(failures)).toContain('no metrics');
  });
});

/** The series of requests after something has been told. */
async function countSeries(play: (hooks: ProxyHooks) => void): Promise<string[]> {
  const register = new Registry();
  const { hooks } = createMetrics({ register });
  play(hooks);
  const text = await register.metrics();
  return text.split('\n').filter((line) => line.startsWith('venice_proxy_requests_total{'));
}

describe('series', () => {
  test('are not made of models that have never answered', async () => {
    const lines = await countSeries(({ answer: tell }) => {
      for (let i = 0; i < 1_000; i += 1)
        tell?.(answer({ status: 404, request: { ...REQUEST, model: `junk-${i}` } }));
    });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('model="other"');
  });

  test('are bounded whatever models, paths and parameters there are', async () => {
    const lines = await countSeries((hooks) => {
      for (let i = 0; i < 1_000; i += 1) {
        const request = { ...REQUEST, model: `model-${i}`, path: '/chat/completions' };
        hooks.attemptEnd?.({ request, attempt: 1, status: 200, failure: undefined, durationMs: 1 });
        hooks.drop?.({ request, params: [`param-${i}`] });
        hooks.answer?.(answer({ request: { ...request, path: `/path-${i}` } }));
      }
    });
    expect(lines).toHaveLength(201);
  });

  test('are not made of models that nobody has looked at', async () => {
    const scene = await measure({ ollama: true });
    const made = { body: { model: 'junk' } };
    await send(`${scene.origin}/api/v1/api/show`, made);
    await send(`${scene.baseUrl}/models`, { ...made, method: 'GET' });
    const lines = await ended(scene, 2);
    expect(lines.join('\n')).toContain('model="other"');
    expect(lines.join('\n')).not.toContain('junk');
  });

  test('are not made of keys that are none', async () => {
    const scene = await measure();
    await chat(scene);
    for (let i = 0; i < 3; i += 1) {
      const headers = { authorization: `Bearer made-up-${i}` };
      scene.venice.script({ kind: 'answer', status: 401, body: { error: 'No.' } });
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await send(`${scene.baseUrl}/chat/completions`, { body: CHAT, headers });
    }
    const lines = (await ended(scene, 4)).join('\n');
    expect(scene.proxy.buckets()).toHaveLength(4);
    const keys = [...lines.matchAll(/key="(\w+)"/g)].map(([, key]) => key);
    const known = scene.proxy.buckets().find(({ requests }) => requests !== undefined)?.key;
    expect(new Set(keys)).toEqual(new Set([known, 'other']));
  });

  test('of queues that are told as one tell the sum and the oldest', async () => {
    const register = new Registry();
    const { hooks, observe } = createMetrics({ register });
    const request = { ...REQUEST, path: '/embeddings' };
    hooks.attemptEnd?.({ request, attempt: 1, status: 200, failure: undefined, durationMs: 1 });
    const state = { requests: undefined, tokens: undefined, opensInMs: undefined };
    const buckets: readonly BucketState[] = [
      { model: 'm', key: 'a', waiting: 2, oldestWaitMs: 3_000, ...state },
      { model: 'm', key: 'b', waiting: 1, oldestWaitMs: 1_000, ...state },
    ];
    observe(Object.create(createVeniceProxy(), { buckets: { value: () => buckets } }));
    const text = await register.metrics();
    expect(text).toContain('venice_proxy_queue_length{model="m",key="other"} 3');
    expect(text).toContain('venice_proxy_queue_oldest_seconds{model="m",key="other"} 3');
  });

  test('have words that nobody knows as `other`', async () => {
    const register = new Registry();
    const { hooks } = createMetrics({ register });
    hooks.retry?.({ request: REQUEST, attempt: 1, status: 1, reason: 'new words', delayMs: 1 });
    hooks.retry?.({ request: REQUEST, attempt: 1, status: 1, reason: 'rate limit', delayMs: 1 });
    const text = await register.metrics();
    expect(text).toContain('reason="other"');
    expect(text).toContain('reason="rate_limit"');
  });

  test('of routes without a model are told as such', async () => {
    const scene = await measure();
    await send(`${scene.baseUrl}/models`);
    const lines = await ended(scene);
    expect(lines).toContain(
      'venice_proxy_requests_total{route="/models",model="none",status="200",outcome="answered"} 1',
    );
  });
});
