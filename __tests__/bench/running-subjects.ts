import type { Order } from './arguments.ts';
import { startSubject, stopSubjects } from './bench.ts';
import type { Bench, Running } from './bench.ts';
import type { Section } from './sections.ts';

/** Starts subjects when they are needed: anew for each section, unless they are shared. */
export class RunningSubjects {
  readonly #bench: Bench;
  readonly #order: Order;
  readonly #running = new Map<string, Running>();

  constructor(bench: Bench, order: Order) {
    this.#bench = bench;
    this.#order = order;
  }

  async of(section: Section): Promise<Running[]> {
    return Promise.all(
      this.#order.subjectsOf(section).map(async (subject) => {
        const known = this.#running.get(subject.name);
        if (known !== undefined) return known;
        const running = await startSubject(this.#bench, subject, section.name);
        this.#running.set(subject.name, running);
        return running;
      }),
    );
  }

  async release(running: readonly Running[]): Promise<void> {
    if (this.#order.sharesSubjects) return;
    for (const { subject } of running) this.#running.delete(subject.name);
    await stopSubjects(running);
  }

  close(): Promise<void> {
    return stopSubjects([...this.#running.values()]);
  }
}
