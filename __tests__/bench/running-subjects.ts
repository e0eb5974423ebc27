import type { Order } from './arguments.ts';
import { Running, stopSubjects } from './bench.ts';
import type { Bench } from './bench.ts';
import type { Section } from './sections.ts';

type SubjectOrder = Pick<Order, 'subjectsOf' | 'effort'>;

/** Starts subjects when they are needed: anew for each section, unless they are shared. */
export class RunningSubjects {
  readonly #bench: Bench;
  readonly #order: SubjectOrder;
  readonly #running = new Map<string, Running>();

  constructor(bench: Bench, order: SubjectOrder) {
    this.#bench = bench;
    this.#order = order;
  }

  async of(section: Section): Promise<Running[]> {
    return Promise.all(
      this.#order.subjectsOf(section).map(async (subject) => {
        const known = this.#running.get(subject.name);
        if (known !== undefined) return known;
        const running = new Running(this.#bench, subject, section.name);
        this.#running.set(subject.name, running);
        await running.start();
        return running;
      }),
    );
  }

  /** The section is over. */
  async release(): Promise<void> {
    if (this.#order.effort.renewsSubjects) await this.close();
  }

  async close(): Promise<void> {
    const running = [...this.#running.values()];
    this.#running.clear();
    await stopSubjects(running);
  }
}
