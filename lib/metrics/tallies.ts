import { Counter, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';

// prom-client looks a series up by a text of its labels for each number that it is told, which takes
// microseconds of each request. Here a request adds to plain numbers, and prom-client has them when
// somebody reads.

type Labels = Readonly<Record<string, string>>;

/** What a metric of prom-client's is made of. */
export interface MetricConfig {
  readonly name: string;
  readonly help: string;
  readonly labelNames: string[];
  readonly registers: Registry[];
  /** Before somebody reads: what waits is counted. */
  readonly collect: () => void;
}

/** What was added up in one series. */
export class Tally {
  readonly labels: Labels;
  readonly #bounds: readonly number[];
  readonly #begun: Tally[];
  /** By bound, how many were not above it, but above the one before; the last: above all. */
  #counts: number[] = [];
  count = 0;
  sum = 0;

  /** @param begun - the tallies in which there is something, in the order in which they got it */
  constructor(labels: Labels, begun: Tally[], bounds: readonly number[] = []) {
    this.labels = labels;
    this.#begun = begun;
    this.#bounds = bounds;
  }

  add(value: number): void {
    if (this.count === 0) this.#begun.push(this);
    this.count += 1;
    this.sum += value;
    let i = 0;
    for (const bound of this.#bounds) {
      if (value <= bound) break;
      i += 1;
    }
    this.#counts[i] = (this.#counts[i] ?? 0) + 1;
  }

  /** As prom-client reads them. */
  get bucketValues(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#bounds.map((bound, i) => [bound, this.#counts[i] ?? 0]));
  }

  clear(): void {
    this.#counts = [];
    this.count = 0;
    this.sum = 0;
  }
}

/** A counter that is told what was added up when somebody reads it. */
export class TalliedCounter extends Counter {
  readonly #begun: Tally[] = [];
  readonly #settle: () => void;

  constructor({ collect, ...config }: MetricConfig) {
    super(config);
    this.#settle = collect;
  }

  series(labels: Labels): Tally {
    return new Tally(labels, this.#begun);
  }

  override get(): ReturnType<Counter['get']> {
    this.#settle();
    for (const tally of this.#begun.splice(0)) {
      this.inc(tally.labels, tally.sum);
      tally.clear();
    }
    return super.get();
  }

  override reset(): void {
    super.reset();
    // prom-client's constructor calls it, too.
    if (!(#settle in this)) return;
    this.#settle();
    for (const tally of this.#begun.splice(0)) tally.clear();
  }
}

/** A histogram that is made of tallies. */
export class TalliedHistogram extends Histogram {
  /** What prom-client makes its lines of; its types do not tell. */
  declare hashMap: object;
  readonly #bounds: readonly number[];
  readonly #begun: Tally[] = [];
  readonly #settle: () => void;

  constructor(config: MetricConfig, buckets: readonly number[]) {
    // They are frozen there, and to walk through a frozen array takes longer.
    super({ ...config, buckets: [...buckets] });
    this.#bounds = buckets;
    this.#settle = config.collect;
    this.hashMap = this.#begun;
  }

  series(labels: Labels): Tally {
    return new Tally(labels, this.#begun, this.#bounds);
  }

  override reset(): void {
    super.reset();
    if (!(#settle in this)) return;
    this.#settle();
    for (const tally of this.#begun.splice(0)) tally.clear();
    this.hashMap = this.#begun;
  }
}
