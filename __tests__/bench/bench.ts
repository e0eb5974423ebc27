import { mkdtempSync, openSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { GeneratorCalls, LoadOrder } from './generator.ts';
import { Part, chooseCores } from './part.ts';
import type { Cores } from './part.ts';
import type { SubjectCalls } from './subject.ts';
import type { Subject } from './subjects.ts';
import type { UpstreamCalls } from './upstream.ts';

/** The parts that every measurement needs, and what they were given. */
export interface Bench {
  readonly upstream: Part<UpstreamCalls>;
  readonly generator: Part<GeneratorCalls>;
  readonly upstreamPort: number;
  readonly cores: Cores;
  /** Where the parts write what they print, and profiles go. */
  readonly folder: string;
  /** Subjects write a CPU profile when they end. */
  readonly profiles: boolean;
}

/** Starts upstream and generator. */
export async function openBench(profiles: boolean): Promise<Bench> {
  const cores = chooseCores();
  const folder = mkdtempSync(path.join(tmpdir(), 'venice-proxy-bench-'));
  const upstream = new Part<UpstreamCalls>({
    file: 'upstream',
    core: cores.upstream,
    logFd: openSync(path.join(folder, 'upstream.log'), 'a'),
  });
  const generator = new Part<GeneratorCalls>({
    file: 'generator',
    core: cores.generator,
    logFd: openSync(path.join(folder, 'generator.log'), 'a'),
  });
  const upstreamPort = await upstream.call('listen');
  return { upstream, generator, upstreamPort, cores, folder, profiles };
}

export async function closeBench({ upstream, generator }: Bench): Promise<void> {
  await Promise.all([upstream.stop(), generator.stop()]);
}

/** A subject that runs. */
export class Running {
  readonly subject: Subject;
  readonly #bench: Bench;
  readonly #name: string;
  #part: Part<SubjectCalls>;
  #port = 0;

  /** @param label - tells its log and its profile from those of its other runs */
  constructor(bench: Bench, subject: Subject, label: string) {
    this.subject = subject;
    this.#bench = bench;
    this.#name = `${label}-${subject.name}`;
    this.#part = this.#newPart();
  }

  get part(): Part<SubjectCalls> {
    return this.#part;
  }

  get address(): LoadOrder['address'] {
    return { port: this.#port, ...this.subject.address(this.#bench.upstreamPort) };
  }

  async start(): Promise<void> {
    this.#port = await this.#part.call('start', this.#bench.upstreamPort);
  }

  /** Goes on in a new process. */
  async restart(): Promise<void> {
    await this.#part.stop();
    this.#part = this.#newPart();
    await this.start();
  }

  #newPart(): Part<SubjectCalls> {
    const { folder, profiles, cores } = this.#bench;
    const profile = ['--cpu-prof', '--cpu-prof-dir', folder, '--cpu-prof-name'];
    return new Part<SubjectCalls>({
      file: 'subject',
      args: [this.subject.name],
      execArgv: ['--expose-gc', ...(profiles ? [...profile, `${this.#name}.cpuprofile`] : [])],
      core: cores.subject,
      logFd: openSync(path.join(folder, `${this.#name}.log`), 'a'),
    });
  }
}

/** Ends subjects; with profiles, they write them now. */
export async function stopSubjects(subjects: readonly Running[]): Promise<void> {
  await Promise.all(subjects.map(({ part }) => part.stop()));
}

/** How much is measured. */
export interface Effort {
  readonly rounds: number;
  /** Seconds for each load. */
  readonly seconds: number;
  /** For each subject before it is measured: who does more takes longer until it is compiled. */
  readonly warmUpSeconds: number;
  /**
   * Each section in processes of its own, and each round of a work: what V8 makes of one and the
   * same program differs from process to process by more than a feature costs. Otherwise one of each
   * subject serves for everything: sooner done, and never as exact.
   */
  readonly renewsSubjects: boolean;
  /** Streams that are open at once. */
  readonly streams: number;
  /** Requests that wait at once. */
  readonly crowd: number;
  /** How long they wait, at least; long enough for all of them to arrive. */
  readonly windowSeconds: number;
  /** Each of these lists ascends. */
  readonly growth: {
    readonly concurrency: readonly number[];
    readonly buckets: readonly number[];
    readonly requests: readonly number[];
  };
}
