// The load generator of the benchmark, in a process of its own.
import { Crowd, OpenStreams } from './held.ts';
import type { CrowdResult } from './held.ts';
import { Connection, requestBytes } from './http-client.ts';
import type { Address } from './http-client.ts';
import { pace, saturate } from './load.ts';
import type { Load, LoadResult } from './load.ts';
import { becomePart } from './part.ts';
import { createWork } from './work.ts';
import type { Work } from './work.ts';

/** Which load. */
export interface LoadOrder {
  readonly address: Address;
  readonly work: string;
  /** What has to come back: the answer as it is, or what the work asks to be made of it. */
  readonly expects: 'answer' | 'relayed';
  readonly keys?: number;
}

/** A whole answer. */
export interface WholeAnswer {
  readonly status: number;
  readonly body: Buffer;
  readonly failure: string | undefined;
}

/** What the generator can be asked. */
export interface GeneratorCalls {
  /** Sends one request and gives back all of the answer. */
  once(address: Address, work: string): Promise<WholeAnswer>;
  saturate(
    order: LoadOrder,
    how: { concurrency: number; ms: number; count?: number },
  ): Promise<LoadResult>;
  pace(
    order: LoadOrder,
    how: { connections: number; rate: number; ms: number },
  ): Promise<LoadResult>;
  /** Opens streams that stay; resolves when each has brought an event. */
  openStreams(address: Address, count: number): Promise<void>;
  /** Events of open streams so far. */
  events(): number;
  closeStreams(): void;
  /** Sends a crowd whose window is used up; resolves when all of it is on its way. */
  gatherCrowd(address: Address, count: number, key: string): Promise<void>;
  /** Whether nobody of the crowd has an answer yet. */
  crowdIsWaiting(): boolean;
  /** Resolves when the crowd has its answers. */
  crowdAnswered(): Promise<CrowdResult>;
}

const works = new Map(createWork().map((work) => [work.name, work]));

function workCalled(name: string): Work {
  const work = works.get(name);
  if (work === undefined) throw new Error(`There is no work called ${name}`);
  return work;
}

function loadOf({ address, work: name, expects, keys = 1 }: LoadOrder, isPaced: boolean): Load {
  const { path, contentType, body, [expects]: expected } = workCalled(name);
  return {
    address,
    path,
    contentType,
    body,
    expected,
    keys,
    readsStamps: isPaced && name === 'stream',
  };
}

function once(address: Address, name: string): Promise<WholeAnswer> {
  const pieces: Buffer[] = [];
  let status = 0;
  const connection = new Connection(address.port);
  return new Promise((resolve) => {
    connection.send(requestBytes(address, workCalled(name), 'bench-key-0'), {
      onHead: (received) => {
        status = received;
      },
      onBody: (piece) => pieces.push(Buffer.from(piece)),
      onEnd: (failure) => {
        connection.destroy();
        resolve({ status, body: Buffer.concat(pieces), failure });
      },
    });
  });
}

const openStreams = new OpenStreams();
const crowd = new Crowd();

becomePart<GeneratorCalls>({
  once,
  saturate: (order, how) => saturate(loadOf(order, false), how),
  pace: (order, how) => pace(loadOf(order, true), how),
  openStreams: (address, count) => openStreams.open(address, count),
  events: () => openStreams.events,
  closeStreams: () => openStreams.close(),
  gatherCrowd: (address, count, key) => crowd.gather(address, count, key),
  crowdIsWaiting: () => crowd.isWaiting(),
  crowdAnswered: () => crowd.answered(),
});
