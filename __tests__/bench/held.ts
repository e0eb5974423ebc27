import { Connection, requestBytes } from './http-client.ts';
import type { Address } from './http-client.ts';
import { CHAT, CROWD_ANSWER, CROWD_BODY, SLOW_BODY } from './work.ts';

/** How the crowd got through. */
export interface CrowdResult {
  readonly failures: number;
  /** What the first failure was. */
  readonly failure: string | undefined;
  /** From the first answer to the last one. */
  readonly releasedWithinMs: number;
}

/** For all of them to bring something; nothing is measured meanwhile. */
const PATIENCE_MS = 30_000;

const EVENT = Buffer.from('data: ');

/** Streams that stay open, and count their events. */
export class OpenStreams {
  readonly #connections: Connection[] = [];
  events = 0;

  /** Opens so many; resolves when each has brought something, rejects when one fails. */
  open(address: Address, count: number): Promise<void> {
    const bytes = requestBytes(address, { ...CHAT, body: SLOW_BODY }, 'bench-key-0');
    let silent = count;
    return new Promise((resolve, reject) => {
      const patience = setTimeout(
        () => reject(new Error(`${silent} of ${count} streams bring nothing`)),
        PATIENCE_MS,
      );
      const fail = (reason: string): void => {
        clearTimeout(patience);
        reject(new Error(reason));
      };
      for (let index = 0; index < count; index += 1) {
        let isSilent = true;
        const connection = new Connection(address.port);
        this.#connections.push(connection);
        connection.send(bytes, {
          onHead: (status) => {
            if (status !== 200) fail(`answers ${status} to it`);
          },
          onBody: (piece) => {
            this.events += eventsIn(piece);
            if (!isSilent) return;
            isSilent = false;
            silent -= 1;
            if (silent > 0) return;
            clearTimeout(patience);
            resolve();
          },
          onEnd: (failure) => fail(failure ?? 'ends the stream'),
        });
      }
    });
  }

  close(): void {
    for (const each of this.#connections.splice(0)) each.destroy();
  }
}

function eventsIn(piece: Buffer): number {
  let count = 0;
  for (let at = piece.indexOf(EVENT); at !== -1; at = piece.indexOf(EVENT, at + 1)) count += 1;
  return count;
}

/** Requests that find their window used up. */
export class Crowd {
  #answered: Promise<CrowdResult> | undefined;
  #hasAnswer: (() => boolean) | undefined;

  /** One uses the window up, then the others come; resolves when all are sent. */
  async gather(address: Address, count: number, key: string): Promise<void> {
    const bytes = requestBytes(address, { ...CHAT, body: CROWD_BODY }, key);
    const first = await sendAll(address, bytes, 1).answered;
    if (first.failure !== undefined) throw new Error(first.failure);
    const { sent, answered, hasAnswer } = sendAll(address, bytes, count);
    this.#answered = answered;
    this.#hasAnswer = hasAnswer;
    await sent;
  }

  /** Whether nobody has an answer yet. */
  isWaiting(): boolean {
    return this.#hasAnswer?.() === false;
  }

  /** Resolves when each has its answer. */
  answered(): Promise<CrowdResult> {
    if (this.#answered === undefined) throw new Error('There is no crowd');
    return this.#answered;
  }
}

interface Sent {
  /** Resolves when all connections stand; what was written is then on its way. */
  readonly sent: Promise<unknown>;
  readonly answered: Promise<CrowdResult>;
  readonly hasAnswer: () => boolean;
}

function sendAll(address: Address, bytes: Buffer, count: number): Sent {
  const connections = Array.from({ length: count }, () => new Connection(address.port));
  const sent = Promise.all(connections.map(({ connected }) => connected));
  let firstAt: number | undefined;
  const answered = new Promise<CrowdResult>((resolve) => {
    let open = count;
    let failures = 0;
    let firstFailure: string | undefined;
    for (const connection of connections) {
      const pieces: Buffer[] = [];
      connection.send(bytes, {
        onHead: () => {
          firstAt ??= performance.now();
        },
        onBody: (piece) => pieces.push(Buffer.from(piece)),
        onEnd: (failure) => {
          const isRight = CROWD_ANSWER.equals(Buffer.concat(pieces));
          if (failure !== undefined || !isRight) {
            failures += 1;
            firstFailure ??= failure ?? 'other bytes than expected';
          }
          connection.destroy();
          open -= 1;
          if (open > 0) return;
          const releasedWithinMs = performance.now() - (firstAt ?? performance.now());
          resolve({ failures, failure: firstFailure, releasedWithinMs });
        },
      });
    }
  });
  return { sent, answered, hasAnswer: () => firstAt !== undefined };
}
