import { afterEach } from '@jest/globals';
import net from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { createStandInVenice } from '../../examples/stand-in-venice.ts';
import type { StandInOptions, StandInVenice } from '../../examples/stand-in-venice.ts';
import type {
  AnswerEvent,
  AttemptEvent,
  DropEvent,
  HoldEvent,
  ProxyHooks,
  RetryEvent,
  VeniceProxyOptions,
} from '../../lib/index.ts';
import { send, startProxy } from './serve.ts';
import type { Reply, RunningProxy } from './serve.ts';

const toClose: (() => unknown)[] = [];

afterEach(async () => {
  // Front to back: a proxy that outlives its upstream would go on trying.
  await Promise.all(toClose.splice(0).map((close) => close()));
});

/** Whatever a test opens, it leaves to this at once, so that a failure leaves nothing open. */
export function closeAfterTest(close: () => unknown): void {
  toClose.push(close);
}

export type Seen =
  | ({ hook: 'attempt' } & Pick<AttemptEvent, 'request' | 'attempt'>)
  | ({ hook: 'retry' } & RetryEvent)
  | ({ hook: 'hold' } & HoldEvent)
  | ({ hook: 'drop' } & DropEvent)
  | ({ hook: 'answer' } & AnswerEvent);

/** Everything that the hooks of a proxy were told, in order. */
export class Recorder {
  readonly seen: Seen[] = [];
  #waiting: (() => void)[] = [];

  readonly hooks = {
    attempt: ({ request, attempt }) => this.#add({ hook: 'attempt', request, attempt }),
    retry: (event) => this.#add({ hook: 'retry', ...event }),
    hold: (event) => this.#add({ hook: 'hold', ...event }),
    drop: (event) => this.#add({ hook: 'drop', ...event }),
    answer: (event) => this.#add({ hook: 'answer', ...event }),
  } satisfies ProxyHooks;

  get attempts(): number {
    return this.seen.filter(({ hook }) => hook === 'attempt').length;
  }

  get retries(): RetryEvent[] {
    return this.seen.filter((event) => event.hook === 'retry');
  }

  get holds(): HoldEvent[] {
    return this.seen.filter((event) => event.hook === 'hold');
  }

  get delays(): number[] {
    return this.retries.map(({ delayMs }) => delayMs);
  }

  get answers(): AnswerEvent[] {
    return this.seen.filter((event) => event.hook === 'answer');
  }

  /** Settles with the answer event of the `count`th request that ends. */
  async ended(count = 1): Promise<AnswerEvent> {
    await this.#until(() => this.answers.length >= count);
    const event = this.answers[count - 1];
    if (event === undefined) throw new Error(`no request number ${count} has ended`);
    return event;
  }

  async retried(count: number): Promise<void> {
    await this.#until(() => this.retries.length >= count);
  }

  async held(count: number): Promise<void> {
    await this.#until(() => this.holds.length >= count);
  }

  async #until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      // oxlint-disable-next-line no-await-in-loop -- one event after another
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
  }

  #add(event: Seen): void {
    this.seen.push(event);
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

export interface Front extends RunningProxy {
  readonly recorder: Recorder;
}

type FrontOptions = Omit<VeniceProxyOptions, 'on'>;
type Surroundings = Parameters<typeof startProxy>[1];

/** A proxy whose hooks are recorded. */
export async function startFront(
  options: FrontOptions,
  surroundings?: Surroundings,
): Promise<Front> {
  const recorder = new Recorder();
  const running = await startProxy({ ...options, on: recorder.hooks }, surroundings);
  closeAfterTest(() => running.close());
  return { ...running, recorder };
}

export interface Scene extends Front {
  readonly venice: StandInVenice;
  /** What a client of Venice's own would take for its base URL. */
  readonly target: string;
}

/** A recorded proxy in front of a stand-in. */
export async function startScene(
  options: Omit<FrontOptions, 'target'> = {},
  standInOptions: StandInOptions = {},
  surroundings?: Surroundings,
): Promise<Scene> {
  const venice = createStandInVenice({ tokenDelayMs: 1, ...standInOptions });
  const target = await venice.listen();
  const front = await startFront({ target, ...options }, surroundings);
  closeAfterTest(() => venice.close());
  return { ...front, venice, target };
}

export const CHAT = {
  model: 'llama-3.3-70b',
  messages: [{ role: 'user', content: 'Tell me of the sea.' }],
};

/** One chat request; `changes` are further members of its body. */
export function chat({ baseUrl }: { baseUrl: string }, changes: object = {}): Promise<Reply> {
  return send(`${baseUrl}/chat/completions`, { body: { ...CHAT, ...changes } });
}

export interface RawUpstream {
  readonly origin: string;
  /** Connections that were accepted since the beginning. */
  connections(): number;
}

/** An upstream that is nothing but a TCP server: `onRequest` hears of each piece that arrives. */
export async function listenRaw(
  onRequest: (socket: Socket, piece: Buffer) => void,
): Promise<RawUpstream> {
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = net.createServer((socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (piece) => onRequest(socket, piece));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  closeAfterTest(
    () =>
      new Promise((resolve) => {
        server.close(resolve);
        for (const socket of sockets) socket.destroy();
      }),
  );
  const { port } = server.address() as AddressInfo;
  return { origin: `http://127.0.0.1:${port}`, connections: () => connections };
}

/**
 * An origin on which nobody listens. A port of the system's choice that was given back would not
 * do: it may be given to another test's server at any moment.
 */
export function deserted(): string {
  return 'http://127.0.0.1:1';
}

export interface RawAnswer {
  readonly statusLine: string;
  /** Header lines as they came. */
  readonly headerLines: readonly string[];
  readonly body: Buffer;
}

/** One request, byte for byte, on a connection of its own; the answer, byte for byte. */
export function exchangeRaw(origin: string, request: string | Buffer): Promise<RawAnswer> {
  const { hostname, port } = new URL(origin);
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    const socket = net.connect(Number(port), hostname, () => socket.write(request));
    socket.on('data', (piece) => pieces.push(piece));
    socket.on('error', reject);
    socket.on('close', () => {
      const whole = Buffer.concat(pieces);
      const end = whole.indexOf('\r\n\r\n');
      const [statusLine = '', ...headerLines] = whole.toString('latin1', 0, end).split('\r\n');
      resolve({ statusLine, headerLines, body: whole.subarray(end + 4) });
    });
  });
}
