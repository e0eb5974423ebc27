import type { Router } from 'express';

/** The last answer, of whatever status, that came from the target. */
export interface LastHeard {
  readonly at: Date;
  readonly status: number;
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
  /** Refuses new requests from now on; resolves when those in flight have ended. Cannot be undone. */
  drain(): Promise<void>;
}

/** What the requests of one router share. */
export class ProxyState {
  inFlight = 0;
  lastHeard: LastHeard | undefined;
  draining = false;
  #requests = 0;
  #drained: (() => void)[] = [];

  nextRequestId(): string {
    this.#requests += 1;
    return this.#requests.toString(36);
  }

  enter(): void {
    this.inFlight += 1;
  }

  leave(): void {
    this.inFlight -= 1;
    if (this.inFlight === 0) for (const resolve of this.#drained.splice(0)) resolve();
  }

  hear(status: number): void {
    this.lastHeard = { at: new Date(), status };
  }

  drain(): Promise<void> {
    this.draining = true;
    return new Promise((resolve) => {
      if (this.inFlight === 0) resolve();
      else this.#drained.push(resolve);
    });
  }
}
