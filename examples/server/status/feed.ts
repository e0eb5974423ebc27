import type { ServerResponse } from 'node:http';
import { steadyClock } from './history.ts';
import type { StatusHistory } from './history.ts';
import { bucketsToShow, requestsToShow } from './live-state.ts';
import type { Live } from './live-state.ts';

/** How soon is looked for changes again, and after how much silence a comment goes out; milliseconds. */
export interface FeedTimes {
  readonly lookAgainMs: number;
  readonly heartbeatMs: number;
}

const TIMES: FeedTimes = { lookAgainMs: 250, heartbeatMs: 15_000 };
/** With thousands of windows a look takes a while: so many times as long is the rest after it. */
const REST_PER_LOOK = 20;
/** So long a browser waits before it connects again. */
const RECONNECT_MS = 1_000;

export const MOST_WATCHERS = 20;
/** Who has not read so many bytes is let go; the browser comes back by itself. */
const MOST_UNREAD = 256 * 1024;

/** Parts of the state that are told as a whole, when they have changed. */
type Part = 'requests' | 'buckets' | 'plot' | 'draining';

/**
 * Tells those who watch what there is to see, as server-sent events: everything at once when they
 * come, then what has changed. Without a watcher it does nothing.
 */
export class StatusFeed {
  readonly #live: Live;
  readonly #history: StatusHistory;
  readonly #hasLimits: boolean;
  readonly #times: FeedTimes;
  readonly #watchers = new Set<ServerResponse>();
  /** Each part as JSON, as it was last told to all. */
  readonly #told = new Map<Part, string>();
  #toldCount = 0;
  #toldAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** @param hasLimits - whether the proxy keeps track of windows */
  constructor(live: Live, history: StatusHistory, hasLimits: boolean, times: FeedTimes = TIMES) {
    this.#live = live;
    this.#history = history;
    this.#hasLimits = hasLimits;
    this.#times = times;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get isFull(): boolean {
    return this.#watchers.size >= MOST_WATCHERS;
  }

  /** Answers with the events; only while it is neither full nor closed. */
  watch(res: ServerResponse): void {
    res.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      // For nginx, which would collect what should be seen at once.
      'x-accel-buffering': 'no',
    });
    // The others first: from here on all have been told the same.
    this.#look();
    const ended = `"ended":${JSON.stringify(this.#history.endedAfter(0))}`;
    const whole = ['"whole":true', `"limits":${this.#hasLimits}`, ...members(this.#told), ended];
    res.write(`retry: ${RECONNECT_MS}\n${eventOf(steadyClock(), whole)}`);
    this.#watchers.add(res);
    res.on('error', () => {});
    res.once('close', () => this.#leave(res));
    this.#timer ??= this.#lookAgain(this.#times.lookAgainMs);
  }

  /** Tells how things stand, ends all streams, and lets nobody watch any more. */
  close(): void {
    this.#isClosed = true;
    this.#look();
    for (const watcher of this.#watchers) watcher.end();
  }

  #leave(watcher: ServerResponse): void {
    this.#watchers.delete(watcher);
    if (this.#watchers.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #lookAgain(afterMs: number): NodeJS.Timeout {
    return setTimeout(() => {
      const begunAt = performance.now();
      this.#look();
      const tookMs = performance.now() - begunAt;
      const restMs = Math.max(this.#times.lookAgainMs, tookMs * REST_PER_LOOK);
      if (this.#watchers.size > 0) this.#timer = this.#lookAgain(restMs);
    }, afterMs);
  }

  #look(): void {
    const now = steadyClock();
    const changed = this.#parts(now).filter(([part, json]) => this.#told.get(part) !== json);
    for (const [part, json] of changed) this.#told.set(part, json);
    const told = members(changed);
    const ended = this.#history.endedAfter(this.#toldCount);
    this.#toldCount = this.#history.count;
    if (ended.length > 0) told.push(`"ended":${JSON.stringify(ended)}`);
    if (told.length > 0) this.#tell(eventOf(now, told), now);
    else if (now - this.#toldAt >= this.#times.heartbeatMs) this.#tell(':\n\n', now);
  }

  #tell(text: string, now: number): void {
    this.#toldAt = now;
    for (const watcher of this.#watchers) {
      if (watcher.writableLength > MOST_UNREAD) watcher.destroy();
      else if (!watcher.writableEnded) watcher.write(text);
    }
  }

  #parts(now: number): [Part, string][] {
    const live = this.#live;
    const plot = this.#history
      .steps()
      .map(({ at, answers, retries, refusals }) => [at, answers, retries, refusals]);
    return [
      ['requests', JSON.stringify(requestsToShow(live.requests(), now))],
      ['buckets', JSON.stringify(bucketsToShow(live.buckets(), now))],
      ['plot', JSON.stringify(plot)],
      ['draining', JSON.stringify(live.draining)],
    ];
  }
}

function members(parts: Iterable<readonly [Part, string]>): string[] {
  return Array.from(parts, ([part, json]) => `"${part}":${json}`);
}

/** JSON has no line ends of its own: one event, one line. */
function eventOf(now: number, told: readonly string[]): string {
  return `data: {"now":${now},${told.join(',')}}\n\n`;
}
