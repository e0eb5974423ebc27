import type { ClientRequest, IncomingMessage } from 'node:http';

export interface UploadEvents {
  onSent(): void;
  /** Nothing has moved for too long, because this side does not do its part. */
  onStalled(side: 'client' | 'upstream'): void;
}

/**
 * Streams a client's body to the upstream under back-pressure, held nowhere. A timer of its own:
 * while nobody reads from the client, its departure is not noticed either.
 */
export class Upload {
  readonly #source: IncomingMessage;
  readonly #destination: ClientRequest;
  readonly #events: UploadEvents;
  readonly #timer: NodeJS.Timeout;

  constructor(
    source: IncomingMessage,
    destination: ClientRequest,
    idleMs: number,
    events: UploadEvents,
  ) {
    this.#source = source;
    this.#destination = destination;
    this.#events = events;
    this.#timer = setTimeout(() => {
      events.onStalled(destination.writableNeedDrain ? 'upstream' : 'client');
    }, idleMs);
    source.on('data', this.#onData).on('end', this.#onEnd);
    destination.on('drain', this.#onDrain);
  }

  /** Leaves the rest of the body to whoever answers the client. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#source.off('data', this.#onData).off('end', this.#onEnd);
    this.#destination.off('drain', this.#onDrain);
  }

  #onData = (chunk: Buffer): void => {
    this.#timer.refresh();
    if (!this.#destination.write(chunk)) this.#source.pause();
  };

  #onDrain = (): void => {
    this.#timer.refresh();
    this.#source.resume();
  };

  #onEnd = (): void => {
    this.stop();
    this.#destination.end();
    this.#events.onSent();
  };
}
