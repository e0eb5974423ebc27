/**
 * A refusal comes at once, an answer when the model has thought: who has heard nothing for so long
 * is not refused.
 */
export const REFUSED_WITHIN_MS = 1_000;
const REMEMBERED_MS = 3_600_000;
/** Beyond these, what was taken longest ago is tried again. */
const MOST_KINDS = 1_000;

/** Whoever has it tries for the others, and must tell how it went: at least that it is over. */
export interface FirstTry {
  end(wasTaken: boolean): void;
}

/**
 * Lets one request find out whether the upstream takes what many may be about to send: were they
 * all refused at once, the upstream would block their key.
 */
export class FirstTries {
  readonly #running = new Map<string, Promise<void>>();
  /** In the order of their ends, by `performance.now()`. */
  readonly #taken = new Map<string, number>();

  /**
   * @param kind - what such requests have in common
   * @returns the try, which is the caller's to make; a promise that somebody else's is over;
   * `undefined` when it is known that such requests are taken
   */
  begin(kind: string): FirstTry | Promise<void> | undefined {
    const until = this.#taken.get(kind);
    if (until !== undefined && until > performance.now()) return undefined;
    return this.#running.get(kind) ?? this.#start(kind);
  }

  #start(kind: string): FirstTry {
    let release: () => void;
    const over = new Promise<void>((resolve) => {
      release = resolve;
    });
    const end = (wasTaken: boolean): void => {
      // Only once: afterwards it may be somebody else's.
      if (this.#running.get(kind) !== over) return;
      this.#running.delete(kind);
      clearTimeout(timer);
      if (wasTaken) this.#remember(kind);
      release();
    };
    const timer = setTimeout(end, REFUSED_WITHIN_MS, true);
    this.#running.set(kind, over);
    return { end };
  }

  #remember(kind: string): void {
    this.#taken.delete(kind);
    if (this.#taken.size >= MOST_KINDS) {
      for (const oldest of this.#taken.keys()) {
        this.#taken.delete(oldest);
        break;
      }
    }
    this.#taken.set(kind, performance.now() + REMEMBERED_MS);
  }
}
