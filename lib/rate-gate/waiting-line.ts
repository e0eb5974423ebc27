/** Somebody who waits for a place in the window. */
export interface Waiting {
  /** By `performance.now()`: from then on waiting is in vain. */
  readonly deadline: number;
}

/**
 * Who waits for one bucket, in order of arrival: those who had been let through once before stand
 * in front. Joining, leaving and being let through cost the same however many wait.
 */
export class WaitingLine<W extends Waiting> {
  readonly #returned = new Set<W>();
  readonly #arrived = new Set<W>();
  #earliest = Infinity;

  get length(): number {
    return this.#returned.size + this.#arrived.size;
  }

  /** How many stand before whoever joins now. */
  ahead(hasReturned: boolean): number {
    return hasReturned ? this.#returned.size : this.length;
  }

  join(waiting: W, hasReturned: boolean): void {
    (hasReturned ? this.#returned : this.#arrived).add(waiting);
    this.#earliest = Math.min(this.#earliest, waiting.deadline);
  }

  leave(waiting: W): void {
    if (!this.#returned.delete(waiting)) this.#arrived.delete(waiting);
  }

  get first(): W | undefined {
    for (const first of this) return first;
    return undefined;
  }

  /** Takes the first one out. */
  shift(): W | undefined {
    const { first } = this;
    if (first !== undefined) this.leave(first);
    return first;
  }

  *[Symbol.iterator](): Iterator<W> {
    yield* this.#returned;
    yield* this.#arrived;
  }

  /** No deadline is earlier; by `performance.now()`. */
  get earliestDeadline(): number {
    return this.length === 0 ? Infinity : this.#earliest;
  }

  /**
   * Takes out those who would wait in vain.
   *
   * @param servedAt - when somebody with so many others ahead will be let through, at best; those
   * who are taken out are not ahead of anybody
   */
  takeHopeless(servedAt: (ahead: number) => number): readonly W[] {
    const hopeless: W[] = [];
    let ahead = 0;
    this.#earliest = Infinity;
    for (const line of [this.#returned, this.#arrived]) {
      for (const each of line) {
        if (each.deadline < servedAt(ahead)) {
          hopeless.push(each);
          line.delete(each);
        } else {
          ahead += 1;
          this.#earliest = Math.min(this.#earliest, each.deadline);
        }
      }
    }
    return hopeless;
  }
}
