import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { Server as NetServer } from 'node:net';
import type { Socket } from 'node:net';
import { logServer } from './logs.ts';

/** An attack is told of once in so long, not at each of its connections. */
const TELL_EVERY_MS = 60_000;

/**
 * Keeps the connections of an http server to a number, and closes the server without cutting an
 * answer short.
 *
 * `server.maxConnections` would keep out whoever comes last, which is everybody once an attacker
 * holds them all. Here the connection makes room that has been without a request for longest: one
 * that is kept, or one whose request does not come.
 *
 * `server.close()` takes a connection for idle as soon as `res.end()` was called, and destroys it
 * with what a slow reader has not got yet. So we count the answers that are under way.
 */
export class Connections {
  readonly #server: Server;
  readonly #most: number;
  /** The connections, with the number of requests on each that are not wholly answered. */
  readonly #open = new Map<Socket, number>();
  /** Those without a request, the one first that has been so for longest. */
  readonly #idle = new Set<Socket>();
  #isClosing = false;
  #toldAt = Number.NEGATIVE_INFINITY;

  /** @param most - how many may be open at once */
  constructor(server: Server, most: number = Number.POSITIVE_INFINITY) {
    this.#server = server;
    this.#most = most;
    // No functions for each: thousands of requests may wait at once.
    const add = this.#add.bind(this);
    const forget = this.#forget.bind(this);
    function onAnswerClosed(this: ServerResponse): void {
      add(this.req.socket, -1);
    }
    function onSocketClosed(this: Socket): void {
      forget(this);
    }
    server.on('connection', (socket: Socket) => {
      if (!this.#makeRoom()) {
        socket.destroy();
        return;
      }
      this.#open.set(socket, 0);
      this.#idle.add(socket);
      socket.on('close', onSocketClosed);
    });
    server.prependListener('request', (req: IncomingMessage, res: ServerResponse) => {
      const { socket } = req;
      if (this.#isClosing) res.setHeader('connection', 'close');
      this.#add(socket, 1);
      res.on('close', onAnswerClosed);
    });
  }

  /**
   * Takes no more connections, closes those that are idle and each other one when its answers have
   * gone out; after `graceMs` it destroys what is left.
   */
  async close(graceMs: number): Promise<void> {
    this.#isClosing = true;
    const closed = new Promise<void>((resolve) => {
      // The close of net, without what the one of http adds.
      NetServer.prototype.close.call(this.#server, () => resolve());
    });
    for (const socket of this.#idle) socket.destroySoon();
    const grace = setTimeout(() => {
      for (const socket of this.#open.keys()) socket.destroy();
    }, graceMs);
    await closed;
    clearTimeout(grace);
    // With no connection left it only stops the timer that looks after them.
    this.#server.close();
  }

  #makeRoom(): boolean {
    if (this.#open.size < this.#most) return true;
    this.#tell();
    const [longest] = this.#idle;
    if (longest === undefined) return false;
    // At once: its `close` comes later, and others may want in until then.
    this.#forget(longest);
    longest.destroy();
    return true;
  }

  #tell(): void {
    const now = performance.now();
    if (now - this.#toldAt < TELL_EVERY_MS) return;
    this.#toldAt = now;
    const idle = this.#idle.size;
    logServer('MAX_CONNECTIONS are open: new ones take the place of idle ones', { idle });
  }

  #forget(socket: Socket): void {
    this.#open.delete(socket);
    this.#idle.delete(socket);
  }

  #add(socket: Socket, change: 1 | -1): void {
    const before = this.#open.get(socket);
    if (before === undefined) return;
    const now = before + change;
    this.#open.set(socket, now);
    if (now > 0) this.#idle.delete(socket);
    else if (this.#isClosing) socket.destroySoon();
    else this.#idle.add(socket);
  }
}
