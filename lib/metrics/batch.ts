/** So many events wait to be counted, at most. */
const MOST_KEPT = 64;

/**
 * Counts events many at a time: one right after the other takes a fraction of what each takes between
 * all that a request needs.
 */
export class Batch<Event> {
  readonly #count: (event: Event) => void;
  readonly #onFull: () => void;
  readonly #kept: Event[] = [];

  /** @param onFull - must settle it, and whatever is to be counted before */
  constructor(count: (event: Event) => void, onFull: () => void) {
    this.#count = count;
    this.#onFull = onFull;
  }

  add(event: Event): void {
    if (this.#kept.push(event) >= MOST_KEPT) this.#onFull();
  }

  /** Counts those that wait. */
  settle(): void {
    for (const event of this.#kept) this.#count(event);
    this.#kept.length = 0;
  }
}
