import { describe, expect, test } from '@jest/globals';
import { Counter, Histogram, Registry } from 'prom-client';
import { TalliedCounter, TalliedHistogram } from '../lib/metrics/tallies.ts';
import { seeded } from './helpers/seeded.ts';

const BOUNDS = [0.05, 0.1, 0.25, 1, 2.5, 300];
const MODELS = ['m', 'a "quoted" \\ name', 'ü\n', 'other'];
const ROUTES = ['/chat/completions', 'other'];
const labelNames = ['route', 'model'];

/** Ours, and prom-client's own that are told the same at once. */
function twoRegistries(kind: 'plain' | 'labelled') {
  const [ours, theirs] = [new Registry(), new Registry()] as const;
  const duration = { name: 'duration_seconds', help: 'How long.\n"It" \\ took.', labelNames };
  const count = { name: 'things_total', help: 'How many.', labelNames };
  const histogram = new TalliedHistogram({ ...duration, registers: [ours], collect() {} }, BOUNDS);
  const counter = new TalliedCounter({ ...count, registers: [ours], collect() {} });
  const plain = new Histogram({ ...duration, buckets: BOUNDS, registers: [theirs] });
  const plainCounter = new Counter({ ...count, registers: [theirs] });
  if (kind === 'labelled') {
    for (const each of [ours, theirs]) each.setDefaultLabels({ app: 'x', model: 'default' });
  }
  const series = ROUTES.flatMap((route) =>
    MODELS.map((model) => {
      const labels = { route, model };
      return {
        labels,
        observations: histogram.series(labels),
        count: counter.series(labels),
      };
    }),
  );
  const tell = (which: number, value: number, more: number): void => {
    const it = series[which];
    if (it === undefined) throw new Error(`no series ${which}`);
    it.observations.add(value);
    plain.observe(it.labels, value);
    it.count.add(more);
    plainCounter.inc(it.labels, more);
  };
  return { ours, theirs, series, tell };
}

describe.each(['plain', 'labelled'] as const)('what was tallied (%s)', (kind) => {
  test('reads byte for byte as what prom-client was told, after each reset, too', async () => {
    const random = seeded(7);
    const { ours, theirs, series, tell } = twoRegistries(kind);
    const value = (): number => {
      const bound = BOUNDS[Math.floor(random() * BOUNDS.length)] ?? 0;
      const values = [bound, Math.round(random() * 5_000) / 1_000, 400 * random(), 0];
      return values[Math.floor(random() * values.length)] ?? 0;
    };
    const readBoth = async (): Promise<void> => {
      expect(await ours.metrics()).toBe(await theirs.metrics());
      expect(await ours.getMetricsAsJSON()).toEqual(await theirs.getMetricsAsJSON());
    };
    /* oxlint-disable no-await-in-loop -- one step follows another */
    for (let round = 0; round < 40; round += 1) {
      const most = Math.floor(random() * 60);
      for (let i = 0; i < most; i += 1) {
        tell(Math.floor(random() * series.length), value(), 1 + Math.floor(random() * 3));
      }
      if (round % 3 > 0) await readBoth();
      if (round % 13 === 12) {
        ours.resetMetrics();
        theirs.resetMetrics();
        if (round % 2 === 0) await readBoth();
      }
    }
    /* oxlint-enable no-await-in-loop */
    await readBoth();
    const text = await ours.getSingleMetricAsString('duration_seconds');
    expect(text).toBe(await theirs.getSingleMetricAsString('duration_seconds'));
    expect(text).toContain('duration_seconds_bucket{le="+Inf",');
  });
});

test('nothing that was tallied before a reset comes up after it', async () => {
  const { ours, tell } = twoRegistries('plain');
  tell(0, 1, 5);
  ours.resetMetrics();
  expect((await ours.metrics()).split('\n').filter((line) => /^[^#]/.test(line))).toEqual([]);
});

test('what is tallied is summed up over processes as prom-client does', async () => {
  const { ours, theirs, tell } = twoRegistries('plain');
  tell(1, 0.1, 2);
  tell(5, 7, 1);
  const { AggregatorRegistry } = await import('prom-client');
  const sumOf = async (registry: Registry): Promise<string> => {
    const json = await registry.getMetricsAsJSON();
    return AggregatorRegistry.aggregate([json, json]).metrics();
  };
  expect(await sumOf(ours)).toBe(await sumOf(theirs));
});
