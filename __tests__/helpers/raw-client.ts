import { once } from 'node:events';
import net from 'node:net';
import type { Socket } from 'node:net';
import { closeAfterTest } from './scene.ts';

/** A client that writes what it likes when it likes, and sees what comes back meanwhile. */
export class RawClient {
  readonly #socket: Socket;
  #received = '';
  #isClosed = false;
  #waiting: (() => void)[] = [];

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (piece) => {
      this.#received += piece.toString('latin1');
      this.#wake();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#isClosed = true;
      this.#wake();
    });
  }

  /** Everything that has come, one character a byte. */
  get received(): string {
    return this.#received;
  }

  /** Settles when the system has taken the bytes, or the connection is gone. */
  write(bytes: string | Buffer): Promise<void> {
    return new Promise((resolve) => {
      this.#socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes, () =>
        resolve(),
      );
    });
  }

  /** Settles when `isEnough` says so of what has come, or nothing more will come. */
  async until(isEnough: (received: string) => boolean): Promise<string> {
    while (!this.#isClosed && !isEnough(this.#received)) {
      // oxlint-disable-next-line no-await-in-loop -- one piece after another
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
    return this.#received;
  }

  /** Stops reading; what comes waits in the system. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

export async function connectRaw(origin: string): Promise<RawClient> {
  const { hostname, port } = new URL(origin);
  const socket = net.connect(Number(port), hostname);
  closeAfterTest(() => socket.destroy());
  await once(socket, 'connect');
  return new RawClient(socket);
}

/** The body of an answer with a `Content-Length`; `undefined` while it is not whole. */
export function wholeBody(received: string): string | undefined {
  const end = received.indexOf('\r\n\r\n');
  const length = /\r\ncontent-length: (\d+)\r\n/i.exec(received.slice(0, end + 2))?.[1];
  if (end === -1 || length === undefined) return undefined;
  const body = received.slice(end + 4, end + 4 + Number(length));
  return body.length === Number(length) ? body : undefined;
}
