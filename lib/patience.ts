/** No timer is set for longer, so that hardly any wait is the shortest of all and needs another. */
const LOOK_EVERY_MS = 10_000;

/** Of every request that is open. */
const all: Patience[] = [];
let timer: NodeJS.Timeout | undefined;
let firesAt = Infinity;

/**
 * Ends a wait that has taken too long. A request waits for one thing after the other (its body, a
 * connection, a head, the next chunk), nearly always for a moment: so the waits of all requests share
 * one timer, and one that begins or goes on costs no more than a look at the clock.
 */
export class Patience {
  #endsAt = Infinity;
  #onEnd: (() => void) | undefined;
  /** Its place among all; -1 where it has none yet, or no more. */
  #place = -1;
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
    if (this.#place === -1) this.#place = all.push(this) - 1;
    if (this.#endsAt < firesAt) setTimer(now, this.#endsAt);
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
    if (this.#place === -1) return;
    const last = all.pop();
    if (last !== undefined && last !== this) {
      all[this.#place] = last;
      last.#place = this.#place;
    }
    this.#place = -1;
    if (all.length === 0) setTimer(0, Infinity);
  }

  /** By `performance.now()`; `Infinity` while nothing is waited for. */
  get endsAt(): number {
    return this.#endsAt;
  }

  /** The wait has taken too long. */
  lose(): void {
    const onEnd = this.#onEnd;
    this.stop();
    onEnd?.();
  }
}

function setTimer(now: number, endsAt: number): void {
  clearTimeout(timer);
  timer = undefined;
  firesAt = Infinity;
  if (endsAt === Infinity) return;
  const delayMs = Math.min(LOOK_EVERY_MS, Math.max(1, Math.ceil(endsAt - now)));
  firesAt = now + delayMs;
  timer = setTimeout(lookAtAll, delayMs);
}

function lookAtAll(): void {
  const now = performance.now();
  try {
    // Who loses patience may end that of others.
    for (const each of all.filter(({ endsAt }) => endsAt <= now)) {
      if (each.endsAt <= now) each.lose();
    }
  } finally {
    const earliest = all.reduce((least, { endsAt }) => Math.min(least, endsAt), Infinity);
    setTimer(performance.now(), earliest);
  }
}
