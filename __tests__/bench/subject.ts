// A subject of the benchmark, in a process of its own: `node subject.js NAME`.
import { becomePart } from './part.ts';
import { STARTS } from './subject-servers.ts';
import type { SubjectName } from './subjects.ts';

/** What a subject can be asked. */
export interface SubjectCalls {
  /** Starts it in front of the upstream at this port; resolves with its own port. */
  start(upstreamPort: number): Promise<number>;
  /** User and system time of all its threads so far, in microseconds. */
  cpuUs(): number;
  memory(): Memory;
  /** What is in use of the heap and outside of it, in bytes, after a collection. */
  usedBytes(): number;
  /** Timers that it waits for. */
  timers(): number;
}

/** In bytes. */
export interface Memory {
  readonly resident: number;
  /** The most that was ever resident. */
  readonly peak: number;
}

const name = process.argv[2] as SubjectName;

becomePart<SubjectCalls>({
  start: (upstreamPort) => STARTS[name](upstreamPort),
  cpuUs: () => {
    const { user, system } = process.cpuUsage();
    return user + system;
  },
  memory: () => ({
    resident: process.memoryUsage.rss(),
    peak: process.resourceUsage().maxRSS * 1_024,
  }),
  usedBytes: () => {
    globalThis.gc?.();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  },
  timers: () => process.getActiveResourcesInfo().filter((each) => each === 'Timeout').length,
});
