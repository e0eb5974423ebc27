import { randomBytes } from 'node:crypto';
import type {
  IncomingHttpHeaders,
  IncomingMessage,
  OutgoingHttpHeaders,
  ServerResponse,
} from 'node:http';
import { CallRecord } from './call-record.ts';
import type { RateLimits } from './rate-limits.ts';
import type { Settings } from './settings.ts';

/** What all calls of one stand-in share. */
export interface House {
  readonly settings: Settings;
  readonly limits: RateLimits;
  /** How often the result of each queued job was asked for. */
  readonly jobs: Map<string, number>;
  closing: boolean;
  stopAccepting(forMs: number): void;
}

/** One call while it lasts. Every wait in it ends when its connection does. */
export class Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly house: House;
  readonly record: CallRecord;
  /** Whose limits apply; `undefined` when the call brings no credentials. */
  readonly key: string | undefined;
  readonly #waiting = new Set<() => void>();
  #over = false;
  #brokenHere = false;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    house: House,
    connection: number,
  ) {
    this.request = request;
    this.response = response;
    this.house = house;
    this.record = new CallRecord(request, connection);
    this.key = keyFrom(request.headers);
    request.on('error', () => {});
    response.on('error', () => {});
    response.on('finish', () => {
      this.record.finished = true;
    });
    response.on('close', () => this.gone());
  }

  /** The answer is complete, or the connection is gone: every wait ends. */
  gone(): void {
    if (this.#over) return;
    this.#over = true;
    const { record, house } = this;
    record.aborted = !record.finished && !this.#brokenHere && !house.closing;
    for (const wake of this.#waiting) wake();
    record.settle();
  }

  /** Reads the request's body to its end; false: the client left before. */
  read(use: (piece: Buffer) => void = () => {}): Promise<boolean> {
    return this.#until((done) => {
      this.request.on('data', (piece: Buffer) => {
        this.record.take(piece);
        use(piece);
      });
      this.request.on('end', done);
    });
  }

  /** Waits; false: the connection ended first. */
  pause(ms: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const begin = (done: () => void): void => {
      if (ms > 0) timer = setTimeout(done, ms);
      else done();
    };
    return this.#until(begin, () => clearTimeout(timer));
  }

  /** Begins the answer; what it is, counts against the key. */
  head(status: number, headers: OutgoingHttpHeaders, reason?: string): void {
    const { house, response } = this;
    const now = Date.now() + house.settings.clockOffsetMs;
    response.setHeader('Date', new Date(now).toUTCString());
    response.setHeader('CF-RAY', `${randomBytes(8).toString('hex')}-FRA`);
    for (const [name, value] of Object.entries(headers)) {
      if (value === undefined) response.removeHeader(name);
      else response.setHeader(name, value);
    }
    if (reason === undefined) response.writeHead(status);
    else response.writeHead(status, reason);
    this.record.status = status;
    if (status >= 400 && this.key !== undefined) house.limits.fail(this.key);
  }

  /** Writes and waits until the system has taken it; false: the connection ended first. */
  write(piece: string | Uint8Array): Promise<boolean> {
    return this.#until((done) => this.response.write(piece, done));
  }

  /** Writes past HTTP, right on the connection. */
  writeRaw(bytes: string | Uint8Array): Promise<boolean> {
    return this.#until((done) => this.request.socket.write(bytes, done));
  }

  /** Settles when the answer is complete or the connection has ended. */
  end(): Promise<boolean> {
    return this.#until((done) => this.response.end(done));
  }

  /** Breaks the connection, once what was written has gone out. */
  async hangUp(how: 'close' | 'reset'): Promise<void> {
    this.#brokenHere = true;
    // A reset from within a write's callback would overtake the bytes of that write.
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    const { socket } = this.request;
    // A socket that is shutting down cannot be reset: Node then keeps its handle for ever.
    if (how === 'close' || socket.writableEnded) {
      socket.destroy();
      return;
    }
    try {
      socket.resetAndDestroy();
    } catch {
      // Only a plain TCP socket knows how to reset.
      socket.destroy();
    }
  }

  #until(start: (done: () => void) => void, cleanUp = (): void => {}): Promise<boolean> {
    if (this.#over) return Promise.resolve(false);
    return new Promise((resolve) => {
      const done = (): void => {
        this.#waiting.delete(done);
        cleanUp();
        resolve(!this.#over);
      };
      this.#waiting.add(done);
      start(done);
    });
  }
}

function keyFrom(headers: IncomingHttpHeaders): string | undefined {
  const bearer = headers.authorization?.replace(/^bearer(\s+|$)/i, '');
  const wallet = headers['sign-in-with-x'] ?? headers['x-sign-in-with-x'];
  return [bearer, wallet].flat().find((key) => key !== undefined && key !== '');
}
