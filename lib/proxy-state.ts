import type { Router } from 'express';
import { ProxyError } from './errors.ts';
import type { RequestInfo } from './hooks.ts';
import type { BucketState } from './rate-gate/gate-state.ts';

/** The last answer, of whatever status, that came from the target. */
export interface LastHeard {
  readonly at: Date;
  readonly status: number;
}

/** What a request is busy with. */
export type Phase =
  /** Its body is coming. */
  | 'receiving'
  /** It waits in the gate, or for another request that tries what would be refused. */
  | 'held'
  /** An upstream call is under way, and has not brought an answer yet. */
  | 'attempt'
  /** It waits for its next attempt. */
  | 'backoff'
  /** The client gets its answer. */
  | 'relaying';

/** A request that has not ended. */
export interface RequestState extends RequestInfo {
  readonly phase: Phase;
  /** Attempts begun; a request that is answered by the proxy itself may have none. */
  readonly attempts: number;
  /** Milliseconds spent waiting so far, held or between attempts. */
  readonly waitedMs: number;
  /** Milliseconds since it came. */
  readonly ageMs: number;
}

/** The router that `createVeniceProxy` returns, and what it tells about itself. */
export interface VeniceProxy extends Router {
  /** The upstream's base URL. */
  readonly target: string;
  /** Requests whose clients have not got the whole of their answer. */
  readonly inFlight: number;
  /** `undefined` until the target has answered for the first time. */
  readonly lastHeard: LastHeard | undefined;
  /** Whether `drain()` was called: new requests get a 503. */
  readonly draining: boolean;
  /** The requests in flight, as they are at this moment, in no order. */
  requests(): readonly RequestState[];
  /**
   * The windows as this process knows them at this moment, in no order: none with `rateLimit: false`.
   * With a `store`, what the answers to this process told.
   */
  buckets(): readonly BucketState[];
  /**
   * Refuses new requests from now on; resolves when those in flight have ended. Cannot be undone.
   * @param graceMs - milliseconds after which those that are left are broken off: a stream with an
   * error event, a request that has no answer yet with a 503; by default they may take their time
   */
  drain(graceMs?: number): Promise<void>;
}

/**
 * A request in flight, which the proxy may have to end by itself.
 * @internal
 */
export interface Open {
  /** Where it stands among those that are open. */
  place: number;
  interrupt(error: ProxyError): void;
  /** @param now - by `performance.now()` */
  state(now: number): RequestState;
}

/**
 * What the requests of one router share.
 * @internal
 */
export class ProxyState {
  draining = false;
  #heardAt = 0;
  #heardStatus = 0;
  #requests = 0;
  // No `Set`: a table that it has outgrown points to its successor, so that in V8 one dead table
  // with a long life keeps all that came after it from the quick garbage collector.
  readonly #open: Open[] = [];
  readonly #onDrained: (() => void)[] = [];

  nextRequestId(): string {
    this.#requests += 1;
    return this.#requests.toString(36);
  }

  get inFlight(): number {
    return this.#open.length;
  }

  requests(): readonly RequestState[] {
    const now = performance.now();
    return this.#open.map((request) => request.state(now));
  }

  enter(request: Open): void {
    request.place = this.#open.push(request) - 1;
  }

  leave(request: Open): void {
    const { place } = request;
    const last = this.#open.pop();
    if (last !== undefined && last !== request) {
      this.#open[place] = last;
      last.place = place;
    }
    if (this.#open.length === 0) for (const each of this.#onDrained.splice(0)) each();
  }

  hear(status: number): void {
    this.#heardAt = Date.now();
    this.#heardStatus = status;
  }

  get lastHeard(): LastHeard | undefined {
    if (this.#heardStatus === 0) return undefined;
    return { at: new Date(this.#heardAt), status: this.#heardStatus };
  }

  drain(graceMs?: number): Promise<void> {
    this.draining = true;
    if (this.#open.length === 0) return Promise.resolve();
    const breakOff = (): void => {
      const error = new ProxyError('draining', 'This server is shutting down.');
      for (const request of this.#open.slice()) request.interrupt(error);
    };
    const grace = graceMs === undefined ? undefined : setTimeout(breakOff, graceMs);
    return new Promise((resolve) => {
      this.#onDrained.push(() => {
        clearTimeout(grace);
        resolve();
      });
    });
  }
}
