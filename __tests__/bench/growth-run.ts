import type { Bench, Effort, Running } from './bench.ts';
import { spreadOf } from './figures.ts';
import type { Spread } from './figures.ts';
import type { LoadResult } from './load.ts';
import type { Subject } from './subjects.ts';

/** What grows. */
export interface Growth {
  readonly title: string;
  readonly name: string;
  readonly points: readonly number[];
  /** Of each subject, point by point: processor time for a request, in microseconds. */
  readonly lines: readonly { readonly subject: Subject; readonly costs: readonly Spread[] }[];
}

const CONCURRENCY = 32;
/** A number of requests ends the load, not the time. */
const NO_LIMIT_MS = 3_600_000;

interface Amount {
  readonly concurrency?: number;
  readonly keys?: number;
  readonly ms?: number;
  readonly count?: number;
}

async function load(
  { generator }: Bench,
  { address }: Running,
  { concurrency = CONCURRENCY, keys = 1, ms = NO_LIMIT_MS, count = Infinity }: Amount,
): Promise<LoadResult> {
  const order = { address, work: 'chat', expects: 'relayed', keys } as const;
  const result = await generator.call('saturate', order, { concurrency, ms, count });
  const { failures, failure } = result;
  if (failures > 0) throw new Error(`${failures} answers were wrong: ${failure}`);
  return result;
}

/** Processor time for a request, in microseconds. */
async function costOf(
  bench: Bench,
  running: Running,
  { seconds }: Effort,
  amount: Amount,
): Promise<number> {
  const before = await running.part.call('cpuUs');
  const { requests } = await load(bench, running, { ...amount, ms: 1_000 * seconds });
  const after = await running.part.call('cpuUs');
  return (after - before) / requests;
}

type Measure = (running: Running, point: number, round: number) => Promise<number>;

interface Plan extends Pick<Growth, 'name' | 'title' | 'points'> {
  /** Which point is measured in which round, one after the other. */
  readonly steps: readonly (readonly [at: number, round: number])[];
}

/** Every point in every round: what disturbs the machine for a while disturbs all of them. */
function inRounds(points: readonly number[], rounds: number): Plan['steps'] {
  return Array.from({ length: rounds }, (_, round) =>
    points.map((_point, at) => [at, round] as const),
  ).flat();
}

/** A point in all rounds, then the next: where something grows and never shrinks. */
function pointByPoint(points: readonly number[], rounds: number): Plan['steps'] {
  return points.flatMap((_point, at) =>
    Array.from({ length: rounds }, (_, round) => [at, round] as const),
  );
}

async function grow(
  { name, title, points, steps }: Plan,
  subjects: readonly Running[],
  measure: Measure,
): Promise<Growth> {
  const lines = subjects.map((running) => ({
    running,
    values: points.map((): number[] => []),
  }));
  for (const [at, round] of steps) {
    for (const { running, values } of lines) {
      // oxlint-disable-next-line no-await-in-loop -- in turns, that is the point
      values[at]?.push(await measure(running, points[at] ?? 0, round));
    }
  }
  return {
    name,
    title,
    points,
    lines: lines.map(({ running: { subject }, values }) => ({
      subject,
      costs: values.map((each) => spreadOf(each) ?? { median: NaN, low: NaN, high: NaN }),
    })),
  };
}

/** Until all of it is compiled. */
async function warmUp(bench: Bench, subjects: readonly Running[], { warmUpSeconds }: Effort) {
  if (warmUpSeconds === 0) return;
  for (const running of subjects) {
    // oxlint-disable-next-line no-await-in-loop -- one at a time, as it is measured
    await load(bench, running, { concurrency: CONCURRENCY, ms: 1_000 * warmUpSeconds });
  }
}

/** From one request at a time to a thousand. */
export async function growConcurrency(
  bench: Bench,
  subjects: readonly Running[],
  effort: Effort,
): Promise<Growth> {
  const points = effort.growth.concurrency;
  const steps = inRounds(points, effort.rounds);
  const plan = { name: 'growth-concurrency', title: 'requests at once', points, steps };
  await warmUp(bench, subjects, effort);
  return grow(plan, subjects, (running, concurrency) =>
    costOf(bench, running, effort, { concurrency }),
  );
}

/** From one API key to ten thousand, each with a window of its own. */
export async function growBuckets(
  bench: Bench,
  subjects: readonly Running[],
  effort: Effort,
): Promise<Growth> {
  const points = effort.growth.buckets;
  const steps = pointByPoint(points, effort.rounds);
  const plan = { name: 'growth-buckets', title: 'buckets', points, steps };
  await warmUp(bench, subjects, effort);
  return grow(plan, subjects, async (running, keys, round) => {
    if (round === 0) await load(bench, running, { keys, count: keys });
    return costOf(bench, running, effort, { keys });
  });
}

/** From an hour's requests to a day's. */
export function growUptime(
  bench: Bench,
  subjects: readonly Running[],
  effort: Effort,
): Promise<Growth> {
  const points = effort.growth.requests;
  const steps = pointByPoint(points, effort.rounds);
  const plan = { name: 'growth-uptime', title: 'requests since the start', points, steps };
  const sent = new Map<Running, number>();
  return grow(plan, subjects, async (running, requests) => {
    const missing = requests - (sent.get(running) ?? 0);
    if (missing > 0) await load(bench, running, { count: missing });
    sent.set(running, requests);
    return costOf(bench, running, effort, {});
  });
}
