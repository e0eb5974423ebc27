import type { AnswerEvent, ProxyHooks, RequestInfo } from 'venice-proxy';

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

/** What is kept of it, until somebody wants to see it. */
interface Ended extends Pick<
  EndedRequest,
  'at' | 'status' | 'outcome' | 'code' | 'attempts' | 'waitedMs' | 'totalMs'
> {
  readonly request: RequestInfo;
}

/** Remembers the last requests, and a quarter of an hour in figures. Its size has a bound. */
export class StatusHistory {
  readonly #now: () => number;
  /** The `n`th stands at `n % MOST_ENDED`. */
  readonly #ended: Ended[] = [];
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
    const shown: EndedRequest[] = [];
    for (let next = Math.max(n, this.#count - MOST_ENDED) + 1; next <= this.#count; next += 1) {
      const ended = this.#ended[next % MOST_ENDED];
      if (ended !== undefined) shown.push(show(next, ended));
    }
    return shown;
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
    const { status, outcome, code, attempts, waitedMs, totalMs } = event;
    const at = this.#now();
    const request = bounded(event.request);
    this.#count += 1;
    const ended = { at, request, status, outcome, code, attempts, waitedMs, totalMs };
    this.#ended[this.#count % MOST_ENDED] = ended;
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

function show(n: number, ended: Ended): EndedRequest {
  const { at, request, status, outcome, code, attempts, waitedMs, totalMs } = ended;
  const { id, method, path, model, stream } = request;
  return {
    n,
    at,
    id,
    method,
    path: brief(path),
    model: model === undefined ? undefined : brief(model),
    stream,
    status,
    outcome,
    code,
    attempts,
    waitedMs: Math.round(waitedMs),
    totalMs: Math.round(totalMs),
  };
}

/** Nearly all are short: only of the others something is left out at once. */
function bounded(request: RequestInfo): RequestInfo {
  const { path, model } = request;
  if (path.length <= MOST_CHARACTERS && (model?.length ?? 0) <= MOST_CHARACTERS) return request;
  return { ...request, path: brief(path), model: model === undefined ? undefined : brief(model) };
}

/** The beginning of a text, as a copy: a part of a string keeps the whole of it in memory. */
export function brief(text: string): string {
  return text.length <= MOST_CHARACTERS ? text : `${copy(text.slice(0, MOST_CHARACTERS - 1))}…`;
}

function copy(text: string): string {
  return Buffer.from(text, 'utf16le').toString('utf16le');
}
