import { seeded } from './seeded.ts';

interface Due {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** A clock that jumps to what happens next. Milliseconds since 1970. */
export class VirtualTime {
  now: number;
  readonly startedAt: number;
  #count = 0;
  /** A binary heap: the next one first. */
  readonly #heap: Due[] = [];

  constructor(now: number) {
    this.now = now;
    this.startedAt = now;
  }

  /** What is due at the same time happens in the order in which it was asked for. */
  after(delayMs: number, run: () => void): void {
    this.#count += 1;
    const heap = this.#heap;
    const due: Due = { at: this.now + Math.max(0, delayMs), order: this.#count, run };
    let index = heap.length;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || isBefore(above, due)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = due;
  }

  /** Until nothing is left to happen, `untilMs` have passed since the start, or `isDone`. */
  run(untilMs: number, isDone: () => boolean): void {
    const end = this.startedAt + untilMs;
    while (!isDone()) {
      const next = this.#heap[0];
      if (next === undefined || next.at > end) return;
      this.#shift();
      this.now = next.at;
      next.run();
    }
  }

  #shift(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      let least = heap[child];
      if (least === undefined) break;
      const right = heap[child + 1];
      if (right !== undefined && isBefore(right, least)) {
        least = right;
        child += 1;
      }
      if (isBefore(last, least)) break;
      heap[index] = least;
      index = child;
    }
    heap[index] = last;
  }
}

function isBefore(one: Due, other: Due): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}

/** From the least to the most that something takes. */
export type Range = readonly [least: number, most: number];

/** Numbers that look random, and are the same for the same seed. */
export class Dice {
  /** From 0 up to, but not, 1. */
  readonly next: () => number;

  constructor(seed: number) {
    this.next = seeded(seed);
  }

  within([least, most]: Range): number {
    return least + (most - least) * this.next();
  }
}
