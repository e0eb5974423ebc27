import type { Bench, Effort, Running } from './bench.ts';
import { measureColdStart } from './cold-start.ts';
import type { ColdStart } from './cold-start.ts';
import { growBuckets, growConcurrency, growUptime } from './growth-run.ts';
import type { Growth } from './growth-run.ts';
import { measureCrowd, measureOpenStreams } from './held-run.ts';
import type { Held } from './held-run.ts';
import { measureWork } from './measure-work.ts';
import type { WorkResult } from './measure-work.ts';
import { createWork } from './work.ts';

/** What a section brings. */
export type SectionResult =
  | { readonly kind: 'work'; readonly result: WorkResult }
  | { readonly kind: 'held'; readonly what: 'streams' | 'crowd'; readonly held: readonly Held[] }
  | { readonly kind: 'growth'; readonly growth: Growth }
  | { readonly kind: 'cold-start'; readonly starts: readonly ColdStart[] };

/** A part of the report, with a table of its own. */
export interface Section {
  readonly name: string;
  title(effort: Effort): string;
  measure(bench: Bench, subjects: readonly Running[], effort: Effort): Promise<SectionResult>;
}

/** All that can be measured, in the order of the report. */
export const SECTIONS: readonly Section[] = [
  ...createWork().map((work): Section => ({
    name: work.name,
    title: () => work.title,
    measure: async (bench, subjects, effort) => ({
      kind: 'work',
      result: await measureWork(bench, work, subjects, effort),
    }),
  })),
  {
    name: 'open-streams',
    title: ({ streams }) => `${streams} open streams, 10 events a second each`,
    measure: async (...all) => ({
      kind: 'held',
      what: 'streams',
      held: await measureOpenStreams(...all),
    }),
  },
  {
    name: 'crowd',
    title: ({ crowd }) => `${crowd} requests that wait in the gate`,
    measure: async (...all) => ({ kind: 'held', what: 'crowd', held: await measureCrowd(...all) }),
  },
  growth('growth-concurrency', 'more requests at once', growConcurrency),
  growth('growth-buckets', 'more buckets', growBuckets),
  growth('growth-uptime', 'more requests in sequence', growUptime),
  {
    name: 'cold-start',
    title: () => 'from the start of the program until it listens',
    measure: async (_bench, _subjects, effort) => ({
      kind: 'cold-start',
      starts: await measureColdStart(effort),
    }),
  },
];

function growth(
  name: string,
  title: string,
  measure: (...all: Parameters<Section['measure']>) => Promise<Growth>,
): Section {
  return {
    name,
    title: () => `growth: ${title}`,
    measure: async (...all) => ({ kind: 'growth', growth: await measure(...all) }),
  };
}
