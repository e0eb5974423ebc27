import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { Exchange } from './exchange.ts';
import type { House } from './exchange.ts';
import type { Fault } from './fault.ts';
import { playFault } from './play-fault.ts';
import { RateLimits } from './rate-limits.ts';
import { settingsFrom } from './settings.ts';
import type { RecordedCall, StandInChanges, StandInOptions, StandInVenice } from './types.ts';

/** A stand-in for the Venice API: it listens when told to. */
export function createStandInVenice(options: StandInOptions = {}): StandInVenice {
  return new StandIn(options);
}

/** One connection, and the calls on it that are not over. */
interface Line {
  readonly number: number;
  readonly open: Set<Exchange>;
}

class StandIn implements StandInVenice {
  readonly calls: RecordedCall[] = [];
  readonly server: Server;
  connections = 0;
  #arrivals = 0;
  readonly #house: House;
  readonly #secure: boolean;
  readonly #sockets = new Set<Socket>();
  readonly #lines = new Map<Socket, Line>();
  #lineCount = 0;
  readonly #script: Fault[] = [];
  #awaited: { count: number; resolve: (call: RecordedCall) => void }[] = [];
  #reopening: NodeJS.Timeout | undefined;

  constructor(options: StandInOptions) {
    const settings = settingsFrom(options);
    const limits = new RateLimits(settings);
    const stopAccepting = (forMs: number): void => this.#stopAccepting(forMs);
    this.#house = { settings, limits, jobs: new Map(), closing: false, stopAccepting };
    this.#secure = options.tls !== undefined;
    this.server = options.tls === undefined ? createServer() : createTlsServer(options.tls);
    // A kept connection must not go away by itself while a test thinks.
    this.server.keepAliveTimeout = 75_000;
    this.server.requestTimeout = 0;
    this.server.on('error', () => {});
    this.server.on('connection', (socket: Socket) => this.#accept(socket));
    this.server.on('request', (request, response) => this.#meet(request, response));
  }

  get openSockets(): number {
    return this.#sockets.size;
  }

  get scripted(): number {
    return this.#script.length;
  }

  async listen(port = 0, host = '127.0.0.1'): Promise<string> {
    this.#house.closing = false;
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(port, host, () => {
        this.server.off('error', reject);
        resolve();
      });
    });
    const scheme = this.#secure ? 'https' : 'http';
    return `${scheme}://${nameOf(host)}:${this.#address().port}${this.#house.settings.basePath}`;
  }

  async close(): Promise<void> {
    this.#house.closing = true;
    clearTimeout(this.#reopening);
    const closed = new Promise<void>((resolve) => {
      this.server.close(() => resolve());
    });
    const open = [...this.#lines.values()].flatMap((line) => Array.from(line.open));
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all([closed, ...open.map(({ record }) => record.over)]);
  }

  script(...faults: Fault[]): void {
    this.#script.push(...faults);
  }

  arrived(count: number): Promise<RecordedCall> {
    const call = this.calls[count - 1 - (this.#arrivals - this.calls.length)];
    if (call !== undefined) return Promise.resolve(call);
    return new Promise((resolve) => {
      this.#awaited.push({ count, resolve });
    });
  }

  configure(changes: StandInChanges): void {
    Object.assign(this.#house.settings, changes);
  }

  block(key: string): void {
    this.#house.limits.block(key);
  }

  #accept(socket: Socket): void {
    this.connections += 1;
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
  }

  #meet(request: IncomingMessage, response: ServerResponse): void {
    const line = this.#lineOf(request.socket);
    const x = new Exchange(request, response, this.#house, line.number);
    line.open.add(x);
    this.calls.push(x.record);
    if (this.calls.length > this.#house.settings.keptCalls) this.calls.shift();
    this.#arrivals += 1;
    const due = this.#awaited.filter(({ count }) => count === this.#arrivals);
    this.#awaited = this.#awaited.filter((waiter) => !due.includes(waiter));
    for (const { resolve } of due) resolve(x.record);
    void this.#play(x);
    void x.record.over.then(() => line.open.delete(x));
  }

  // Begun by the first request: behind TLS its socket is not the one that was accepted.
  #lineOf(socket: Socket): Line {
    const known = this.#lines.get(socket);
    if (known !== undefined) return known;
    this.#lineCount += 1;
    const line: Line = { number: this.#lineCount, open: new Set() };
    this.#lines.set(socket, line);
    socket.on('close', () => {
      this.#lines.delete(socket);
      // The answers to pipelined requests never hear by themselves that their socket is gone.
      for (const x of line.open) x.gone();
    });
    return line;
  }

  async #play(x: Exchange): Promise<void> {
    try {
      const { onCall } = this.#house.settings;
      await playFault(x, this.#script.shift() ?? onCall?.(x.record) ?? { kind: 'ok' });
    } catch (error) {
      // A fault that Node refuses to write (a status of 99, say) shows up where it was scripted.
      if (x.response.headersSent) return x.hangUp('reset');
      for (const name of x.response.getHeaderNames()) x.response.removeHeader(name);
      x.head(500, {});
      x.response.end(`The stand-in failed: ${String(error)}`);
    }
  }

  #stopAccepting(forMs: number): void {
    const { address, port } = this.#address();
    this.#house.closing = true;
    this.server.close();
    for (const socket of this.#sockets) {
      if (socket.writableEnded) socket.destroy();
      else socket.resetAndDestroy();
    }
    this.#reopening = setTimeout(() => {
      this.#house.closing = false;
      this.server.listen(port, address);
    }, forMs);
  }

  #address(): AddressInfo {
    const address = this.server.address();
    if (address === null || typeof address === 'string') throw new Error('It does not listen.');
    return address;
  }
}

/** How a client on this machine reaches what listens there. */
function nameOf(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}
