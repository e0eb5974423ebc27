import type { AnswerEvent, ProxyHooks } from 'venice-proxy';

/** How many requests that have ended are remembered. */
export const MOST_ENDED = 50;
/** The plot reaches back so far, in steps of so long; milliseconds. */
export const PLOT_MS = 15 * 60_000;
export const STEP_MS = 15_000;

/** Models and paths are as long as clients like. */
const MOST_CHARACTERS = 120;

/** A request that has ended; times are milliseconds, `at` since 1970. */
export interface EndedRequest {
  /** The first that ended is 1. */
  readonly n: number;
  readonly at: number;
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly model: string | undefined;
  readonly stream: boolean;
  readonly status: number | undefined;
  readonly outcome: AnswerEvent['outcome'];
  readonly code: string | undefined;
  readonly attempts: number;
  readonly waitedMs: number;
  readonly totalMs: number;
}

/** What happened within one step of the plot. */
export interface Step {
  /** Where it begins: milliseconds since 1970. */
  readonly at: number;
  /** Requests that ended well. */
  answers: number;
  /** Attempts that failed and were made again. */
  retries: number;
  /** Requests that ended with an error, or broke. Clients that left count nowhere. */
  refusals: number;
}

/** Never goes back, as the clock on the wall may; milliseconds since 1970, nearly. */
export function steadyClock(): number {
  return Math.round(performance.timeOrigin + performance.now());
}

/** Remembers the last requests, and a quarter of an hour in figures. Its size has a bound. */
export class StatusHistory {
  readonly #now: () => number;
  readonly #ended: EndedRequest[] = [];
  readonly #steps: Step[] = [];
  #count = 0;

  constructor(now: () => number = steadyClock) {
    this.#now = now;
  }

  readonly hooks: ProxyHooks = {
    retry: () => {
      this.#step(this.#now()).retries += 1;
    },
    answer: (event) => this.#end(event),
  };

  /** Those that ended after the `n`th (0: all that are remembered), the oldest first. */
  endedAfter(n: number): readonly EndedRequest[] {
    const fresh = Math.min(this.#count - n, this.#ended.length);
    return fresh <= 0 ? [] : this.#ended.slice(-fresh);
  }

  /** How many have ended since the start. */
  get count(): number {
    return this.#count;
  }

  /** The steps in which something happened, the oldest first. */
  steps(): readonly Step[] {
    this.#forget(this.#now());
    return this.#steps;
  }

  #end(event: AnswerEvent): void {
    const { request, status, outcome, code, attempts } = event;
    const at = this.#now();
    this.#count += 1;
    this.#ended.push({
      n: this.#count,
      at,
      id: request.id,
      method: brief(request.method),
      path: brief(request.path),
      model: request.model === undefined ? undefined : brief(request.model),
      stream: request.stream,
      status,
      outcome,
      code,
      attempts,
      waitedMs: Math.round(event.waitedMs),
      totalMs: Math.round(event.totalMs),
    });
    if (this.#ended.length > MOST_ENDED) this.#ended.shift();
    if (outcome === 'client_left') return;
    // Behind an early head the status says nothing: the code does.
    const isRefusal = code !== undefined || status === undefined || status >= 400;
    this.#step(at)[isRefusal ? 'refusals' : 'answers'] += 1;
  }

  #step(now: number): Step {
    const at = now - (now % STEP_MS);
    const last = this.#steps.at(-1);
    if (last?.at === at) return last;
    this.#forget(now);
    const step: Step = { at, answers: 0, retries: 0, refusals: 0 };
    this.#steps.push(step);
    return step;
  }

  #forget(now: number): void {
    const from = now - (now % STEP_MS) - PLOT_MS;
    while ((this.#steps[0]?.at ?? Number.POSITIVE_INFINITY) <= from) this.#steps.shift();
  }
}

/**
 * The beginning of a text, as a copy: a part of a string keeps the whole of it in memory, and the
 * model may be a part of a large body.
 */
export function brief(text: string): string {
  if (text.length <= MOST_CHARACTERS) return copy(text);
  return `${copy(text.slice(0, MOST_CHARACTERS - 1))}…`;
}

function copy(text: string): string {
  return Buffer.from(text, 'utf16le').toString('utf16le');
}
