import { setTimeout as sleep } from 'node:timers/promises';
import type { Bench, Effort, Running } from './bench.ts';
import type { Subject } from './subjects.ts';

/** One round of a subject that holds many requests at once. */
export interface HeldRound {
  /** Processor time of the subject, in microseconds: for an event, or to let one of them go. */
  readonly cpuUs: number;
  /** Bytes in use for each, after a collection. */
  readonly usedEach: number;
  /** Timers of the subject for each. */
  readonly timersEach: number;
  /** From the first answer to the last one; of streams nothing. */
  readonly releasedWithinMs: number | undefined;
}

/** What came of a subject that holds many requests at once. */
export interface Held {
  readonly subject: Subject;
  readonly rounds: readonly HeldRound[];
  /** Bytes that became resident for each, the first time. */
  readonly residentEach: number;
  /** Why it was not measured. */
  readonly reason: string | undefined;
}

interface Level {
  readonly used: number;
  readonly resident: number;
  readonly timers: number;
}

/** Measures one round; tells what is held, as soon as it is. `undefined`: it does not count. */
type Trial = (
  running: Running,
  round: number,
  onHeld: () => Promise<void>,
) => Promise<Pick<HeldRound, 'cpuUs' | 'releasedWithinMs'> | undefined>;

/** So many streams that stay open, each with an event every 100 ms. */
export function measureOpenStreams(
  { generator }: Bench,
  subjects: readonly Running[],
  effort: Effort,
): Promise<Held[]> {
  const { streams } = effort;
  return measureHeld(
    'open-streams',
    subjects,
    effort,
    streams,
    async ({ part, address }, _round, onHeld) => {
      try {
        await generator.call('openStreams', address, streams);
        await onHeld();
        const [cpuBefore, before] = [await part.call('cpuUs'), await generator.call('events')];
        await sleep(1_000 * effort.seconds);
        const [cpuAfter, after] = [await part.call('cpuUs'), await generator.call('events')];
        return { cpuUs: (cpuAfter - cpuBefore) / (after - before), releasedWithinMs: undefined };
      } finally {
        await generator.call('closeStreams');
      }
    },
  );
}

/** So many requests that wait until a window resets. */
export async function measureCrowd(
  { generator, upstream }: Bench,
  subjects: readonly Running[],
  effort: Effort,
): Promise<Held[]> {
  const { crowd, windowSeconds } = effort;
  await upstream.call('setWindow', 1_000 * windowSeconds);
  return measureHeld('crowd', subjects, effort, crowd, async ({ part, address }, round, onHeld) => {
    const key = `bench-crowd-${address.port}-${round}`;
    await generator.call('gatherCrowd', address, crowd, key);
    await onHeld();
    const cpuBefore = await part.call('cpuUs');
    const isWaiting = await generator.call('crowdIsWaiting');
    const { failures, failure, releasedWithinMs } = await generator.call('crowdAnswered');
    const cpuAfter = await part.call('cpuUs');
    if (failures > 0) throw new Error(`${failures} of ${crowd} answers were wrong: ${failure}`);
    // A machine that was busy elsewhere: the window was over before all had come.
    if (!isWaiting) return undefined;
    return { cpuUs: (cpuAfter - cpuBefore) / crowd, releasedWithinMs };
  });
}

/** What was just sent or closed has arrived. */
const SETTLE_MS = 400;

async function measureHeld(
  name: string,
  subjects: readonly Running[],
  { rounds }: Effort,
  count: number,
  trial: Trial,
): Promise<Held[]> {
  const all = subjects.map((running) => ({
    running,
    rounds: [] as HeldRound[],
    residentEach: Number.NaN,
    reason: running.subject.cannot?.[name],
  }));
  /* oxlint-disable no-await-in-loop -- in turns, that is the point */
  for (let round = 0; round < rounds; round += 1) {
    for (const each of all) {
      if (each.reason !== undefined) continue;
      const before = await levelOf(each.running);
      let held = before;
      try {
        const figures = await trial(each.running, round, async () => {
          await sleep(SETTLE_MS);
          held = await levelOf(each.running);
        });
        if (figures !== undefined) {
          each.rounds.push({
            ...figures,
            usedEach: (held.used - before.used) / count,
            timersEach: (held.timers - before.timers) / count,
          });
        }
        if (round === 0) each.residentEach = (held.resident - before.resident) / count;
      } catch (error) {
        each.reason = error instanceof Error ? error.message : String(error);
      }
      await sleep(SETTLE_MS);
    }
  }
  /* oxlint-enable no-await-in-loop */
  return all.map((each) => ({
    subject: each.running.subject,
    rounds: each.rounds,
    residentEach: each.residentEach,
    reason: each.reason,
  }));
}

async function levelOf({ part }: Running): Promise<Level> {
  const { resident } = await part.call('memory');
  return { used: await part.call('usedBytes'), resident, timers: await part.call('timers') };
}
