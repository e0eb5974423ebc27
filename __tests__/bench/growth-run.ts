import type { Bench, Effort, Running } from './bench.ts';
import { spreadOf } from './figures.ts';
import type { Spread } from './figures.ts';
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
/** Between the measurements of many keys each of them is used. */
const NO_LIMIT_MS = 3_600_000;

/** Costs a request at each of these points, in microseconds. */
async function costOf(
  { generator }: Bench,
  { part, address }: Running,
  { seconds }: Effort,
  { concurrency = CONCURRENCY, keys = 1 }: { concurrency?: number; keys?: number },
): Promise<number> {
  const before = await part.call('cpuUs');
  const order = { address, work: 'chat', expects: 'relayed', keys } as const;
  const result = await generator.call('saturate', order, { concurrency, ms: 1_000 * seconds });
  const after = await part.call('cpuUs');
  if (result.failures > 0) {
    throw new Error(`${result.failures} answers were wrong: ${result.failure}`);
  }
  return (after - before) / result.requests;
}

/** Sends so many requests, unmeasured. */
async function use({ generator }: Bench, { address }: Running, count: number, keys = 1) {
  const order = { address, work: 'chat', expects: 'relayed', keys } as const;
  const how = { concurrency: CONCURRENCY, ms: NO_LIMIT_MS, count };
  await generator.call('saturate', order, how);
}

type Measure = (running: Running, point: number, round: number) => Promise<number>;

/** Point by point, in turns, each of them in every round. */
async function grow(
  { name, title, points }: Pick<Growth, 'name' | 'title' | 'points'>,
  subjects: readonly Running[],
  rounds: number,
  measure: Measure,
): Promise<Growth> {
  const lines = subjects.map(({ subject }) => ({
    subject,
    values: points.map((): number[] => []),
  }));
  for (let round = 0; round < rounds; round += 1) {
    for (const [at, point] of points.entries()) {
      for (const [which, running] of subjects.entries()) {
        // oxlint-disable-next-line no-await-in-loop -- in turns, that is the point
        lines[which]?.values[at]?.push(await measure(running, point, round));
      }
    }
  }
  return {
    name,
    title,
    points,
    lines: lines.map(({ subject, values }) => ({
      subject,
      costs: values.map((each) => spreadOf(each) ?? { median: NaN, low: NaN, high: NaN }),
    })),
  };
}

/** From one request at a time to a thousand. */
export function growConcurrency(
  bench: Bench,
  subjects: readonly Running[],
  effort: Effort,
): Promise<Growth> {
  const what = {
    name: 'growth-concurrency',
    title: 'requests at once',
    points: effort.growth.concurrency,
  };
  return grow(what, subjects, effort.rounds, (running, concurrency) =>
    costOf(bench, running, effort, { concurrency }),
  );
}

/** From one API key to ten thousand, each with a window of its own. */
export function growBuckets(
  bench: Bench,
  subjects: readonly Running[],
  effort: Effort,
): Promise<Growth> {
  const what = { name: 'growth-buckets', title: 'buckets', points: effort.growth.buckets };
  return grow(what, subjects, effort.rounds, async (running, keys, round) => {
    if (round === 0) await use(bench, running, keys, keys);
    return costOf(bench, running, effort, { keys });
  });
}

/** From an hour's requests to a day's. */
export function growUptime(
  bench: Bench,
  subjects: readonly Running[],
  effort: Effort,
): Promise<Growth> {
  const what = {
    name: 'growth-uptime',
    title: 'requests since the start',
    points: effort.growth.requests,
  };
  const sent = new Map<Running, number>();
  // Once: nobody gets any younger.
  return grow(what, subjects, 1, async (running, requests) => {
    const missing = requests - (sent.get(running) ?? 0);
    if (missing > 0) await use(bench, running, missing);
    sent.set(running, requests);
    return costOf(bench, running, effort, {});
  });
}
