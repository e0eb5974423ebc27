import { describe, expect, test } from '@jest/globals';
import { Registry } from 'prom-client';
import { createMetrics } from '../lib/metrics/index.ts';
import { CHAT_INFO as REQUEST, answeredEvent } from './helpers/answer-event.ts';

const ANSWER = answeredEvent(REQUEST);

/** So many requests, one after the other, each with all of its events. */
function metricsAfter(requests: number) {
  const register = new Registry();
  const { hooks } = createMetrics({ register });
  for (let i = 0; i < requests; i += 1) {
    const failure = undefined;
    hooks.attemptEnd?.({ request: REQUEST, attempt: 1, status: 200, failure, durationMs: 1 });
    hooks.usage?.({ request: REQUEST, inputTokens: 2, outputTokens: 3, totalTokens: 5 });
    hooks.answer?.(i % 2 === 0 ? ANSWER : { ...ANSWER, outcome: 'refused', code: 'draining' });
  }
  return register;
}

describe('events that are counted many at a time', () => {
  test.each([1, 63, 64, 65, 200])('are all counted when somebody reads: %d', async (count) => {
    const text = await metricsAfter(count).metrics();
    const half = Math.ceil(count / 2);
    for (const line of [
      `attempts_total{model="m",result="200"} ${count}`,
      `tokens_total{model="m",direction="output"} ${3 * count}`,
      `wait_seconds_count{model="m"} ${count}`,
      `requests_total{route="/chat/completions",model="m",status="200",outcome="answered"} ${half}`,
    ]) {
      expect(text).toContain(`\nvenice_proxy_${line}\n`);
    }
  });

  test.each([
    ['venice_proxy_errors_total', 5],
    ['venice_proxy_attempts_total', 10],
    ['venice_proxy_duration_seconds', 10],
  ])('are counted when only %s is read', async (name, count) => {
    const metric = await metricsAfter(10).getSingleMetric(name)?.get();
    const values = metric?.values.map(({ value }) => value) ?? [];
    expect(values).toContain(count);
  });

  test('that wait are forgotten by a reset', async () => {
    const register = metricsAfter(10);
    register.resetMetrics();
    expect(await register.metrics()).not.toMatch(/\{.*\} [1-9]/);
  });
});
