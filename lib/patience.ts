/** No timer is set for longer; whoever waits for longer looks again. */
const LOOK_EVERY_MS = 10_000;

/**
 * Ends a wait that has taken too long. A request waits for one thing after the other (its body, a
 * connection, a head, the next chunk), nearly always for a moment: so all its waits share one timer,
 * which is set once, and a wait that begins or goes on costs no more than a look at the clock.
 */
export class Patience {
  #endsAt = Infinity;
  #onEnd: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #firesAt = 0;
  #isOver = false;

  /** A wait for something else than before begins; `onEnd` is called when it takes longer. */
  begin(waitMs: number, onEnd: () => void): void {
    this.#onEnd = onEnd;
    this.prolong(waitMs);
  }

  /** The wait begins anew. */
  prolong(waitMs: number): void {
    if (this.#isOver) return;
    const now = performance.now();
    this.#endsAt = now + waitMs;
    if (this.#timer === undefined || this.#firesAt > this.#endsAt) this.#set(now);
  }

  /** What was waited for is there. */
  stop(): void {
    this.#endsAt = Infinity;
    this.#onEnd = undefined;
  }

  /** Nothing will be waited for any more. */
  end(): void {
    this.stop();
    this.#isOver = true;
    clearTimeout(this.#timer);
  }

  #set(now: number): void {
    clearTimeout(this.#timer);
    const delayMs = Math.min(LOOK_EVERY_MS, Math.max(1, Math.ceil(this.#endsAt - now)));
    this.#firesAt = now + delayMs;
    this.#timer = setTimeout(look, delayMs, this);
  }

  look(): void {
    this.#timer = undefined;
    const now = performance.now();
    if (now < this.#endsAt) {
      if (this.#endsAt !== Infinity) this.#set(now);
      return;
    }
    const onEnd = this.#onEnd;
    this.stop();
    onEnd?.();
  }
}

/** No closure for each request. */
function look(patience: Patience): void {
  patience.look();
}
