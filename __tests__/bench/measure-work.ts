import type { Bench, Effort, Running } from './bench.ts';
import type { LoadOrder } from './generator.ts';
import type { LoadResult } from './load.ts';
import { prove } from './prove.ts';
import type { Proof } from './prove.ts';
import type { Memory } from './subject.ts';
import type { Subject } from './subjects.ts';
import type { Work } from './work.ts';

/** One round of one subject. */
export interface Round {
  /** Processor time of the subject for a request, in microseconds. */
  readonly cpuUs: number;
  readonly saturated: LoadResult;
  readonly paced: LoadResult;
  /** Bytes resident after the round, and the most that ever were. */
  readonly memory: Memory;
}

/** What came of one subject with one work. */
export interface Measured {
  readonly work: Work;
  readonly subject: Subject;
  readonly proof: Proof;
  readonly rounds: readonly Round[];
}

/** All subjects with one work, and the way around them. */
export interface WorkResult {
  readonly work: Work;
  readonly measured: readonly Measured[];
  /** The same load without a subject, round by round. */
  readonly direct: readonly LoadResult[];
}

/** A subject, and what is known of it so far. */
interface Contestant {
  readonly running: Running;
  readonly rounds: Round[];
  proof: Proof;
}

/** Measures the subjects with one work, round by round in turns. */
export async function measureWork(
  bench: Bench,
  work: Work,
  subjects: readonly Running[],
  effort: Effort,
): Promise<WorkResult> {
  const all: Contestant[] = [];
  const direct: LoadResult[] = [];
  /* oxlint-disable no-await-in-loop -- in turns, that is the point */
  for (const running of subjects) {
    all.push({ running, proof: await prove(bench, running, work), rounds: [] });
  }
  for (let round = 0; round < effort.rounds; round += 1) {
    for (const each of all.filter(isAble)) {
      await attempt(each, () => makeReady(bench, each, work, effort, round));
    }
    direct.push(await measureDirect(bench, work, effort));
    const able = all.filter(isAble);
    // Who comes first in one round comes last in a later one.
    const turn = round % Math.max(1, able.length);
    for (const each of [...able.slice(turn), ...able.slice(0, turn)]) {
      await attempt(each, async () => {
        each.rounds.push(await measureRound(bench, each, work, effort));
      });
    }
  }
  /* oxlint-enable no-await-in-loop */
  const measured = all.map(({ running: { subject }, proof, rounds }) => ({
    work,
    subject,
    proof,
    rounds,
  }));
  return { work, measured, direct };
}

async function makeReady(
  bench: Bench,
  contestant: Contestant,
  work: Work,
  { renewsSubjects, warmUpSeconds }: Effort,
  round: number,
): Promise<void> {
  const isNew = round === 0 || renewsSubjects;
  if (round > 0 && renewsSubjects) await contestant.running.restart();
  if (isNew && warmUpSeconds > 0) await saturated(bench, contestant, work, warmUpSeconds);
}

function isAble({ proof: { kind }, running: { subject } }: Contestant): boolean {
  if (kind === 'carried') return subject.isReference === true;
  return kind === 'done' || kind === 'respelt';
}

/** Who fails is out, and the others go on. */
async function attempt(contestant: Contestant, measure: () => Promise<unknown>): Promise<void> {
  try {
    await measure();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    contestant.proof = { kind: 'cannot', reason };
  }
}

function orderOf({ running: { address }, proof }: Contestant, work: Work): LoadOrder {
  return { address, work: work.name, expects: proof.kind === 'carried' ? 'answer' : 'relayed' };
}

async function saturated(
  { generator }: Bench,
  contestant: Contestant,
  work: Work,
  seconds: number,
): Promise<LoadResult> {
  const order = orderOf(contestant, work);
  const how = { concurrency: work.concurrency, ms: 1_000 * seconds };
  return trusted(await generator.call('saturate', order, how));
}

async function paced(
  { generator }: Bench,
  order: LoadOrder,
  { concurrency, rate }: Work,
  seconds: number,
): Promise<LoadResult> {
  const connections = Math.min(concurrency, Math.ceil(rate / 2) + 1);
  const how = { connections, rate, ms: 1_000 * seconds };
  return trusted(await generator.call('pace', order, how));
}

/** Figures of answers that were wrong are worth nothing. */
function trusted(result: LoadResult): LoadResult {
  const { failures, requests, failure } = result;
  if (failures === 0) return result;
  throw new Error(`${failures} of ${requests} answers were wrong: ${failure}`);
}

async function measureRound(
  bench: Bench,
  contestant: Contestant,
  work: Work,
  { seconds }: Effort,
): Promise<Round> {
  const { part } = contestant.running;
  const order = orderOf(contestant, work);
  const cpuBefore = await part.call('cpuUs');
  const atSaturation = await saturated(bench, contestant, work, seconds);
  const cpuBetween = await part.call('cpuUs');
  const atModerate = await paced(bench, order, work, seconds);
  const cpuAfter = await part.call('cpuUs');
  const memory = await part.call('memory');
  const cpuUs =
    work.costAt === 'saturation'
      ? (cpuBetween - cpuBefore) / atSaturation.requests
      : (cpuAfter - cpuBetween) / atModerate.requests;
  return { cpuUs, saturated: atSaturation, paced: atModerate, memory };
}

function measureDirect(bench: Bench, work: Work, { seconds }: Effort): Promise<LoadResult> {
  const address = { port: bench.upstreamPort, prefix: '/api/v1', headers: {} };
  const order: LoadOrder = { address, work: work.name, expects: 'answer' };
  return paced(bench, order, work, seconds);
}
