import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { Server as NetServer } from 'node:net';
import type { Socket } from 'node:net';

/**
 * Closes an http server without cutting an answer short.
 *
 * `server.close()` cannot: it takes a connection for idle as soon as `res.end()` was called, and
 * destroys it with what a slow reader has not got yet. So we count the answers that are under way.
 */
export class Connections {
  readonly #server: Server;
  /** The connections, with the number of requests on each that are not wholly answered. */
  readonly #open = new Map<Socket, number>();
  #isClosing = false;

  constructor(server: Server) {
    this.#server = server;
    server.on('connection', (socket: Socket) => {
      this.#open.set(socket, 0);
      socket.once('close', () => this.#open.delete(socket));
    });
    server.prependListener('request', (req: IncomingMessage, res: ServerResponse) => {
      const { socket } = req;
      if (this.#isClosing) res.setHeader('connection', 'close');
      this.#add(socket, 1);
      res.once('close', () => this.#add(socket, -1));
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
    for (const [socket, requests] of this.#open) if (requests === 0) socket.destroySoon();
    const grace = setTimeout(() => {
      for (const socket of this.#open.keys()) socket.destroy();
    }, graceMs);
    await closed;
    clearTimeout(grace);
    // With no connection left it only stops the timer that looks after them.
    this.#server.close();
  }

  #add(socket: Socket, change: 1 | -1): void {
    const before = this.#open.get(socket);
    if (before === undefined) return;
    this.#open.set(socket, before + change);
    if (this.#isClosing && before + change === 0) socket.destroySoon();
  }
}
