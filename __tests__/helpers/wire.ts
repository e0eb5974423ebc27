import net from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { closeAfterTest, startFront } from './scene.ts';
import type { Front } from './scene.ts';
import { listen } from './serve.ts';
import { until } from './until.ts';

/** One connection, driven byte by byte from either end. */
export class Line {
  readonly socket: Socket;
  /** How the other side ended it: in order (FIN), or by a reset. */
  readonly ended: Promise<'fin' | 'reset'>;
  #received: Buffer[] = [];
  #bytes = 0;
  #isOver = false;
  #onNews: () => void = () => {};

  constructor(socket: Socket) {
    this.socket = socket;
    this.ended = new Promise((resolve) => {
      const over = (how: 'fin' | 'reset'): void => {
        this.#isOver = true;
        resolve(how);
        this.#onNews();
      };
      socket.on('end', () => over('fin')).on('error', () => over('reset'));
      // Closed from this side: nothing more comes, either.
      socket.on('close', () => over('fin'));
    });
    socket.on('data', (piece: Buffer) => {
      this.#received.push(piece);
      this.#bytes += piece.length;
      this.#onNews();
    });
  }

  get received(): Buffer {
    if (this.#received.length > 1) this.#received = [Buffer.concat(this.#received)];
    return this.#received[0] ?? Buffer.alloc(0);
  }

  get bytesReceived(): number {
    return this.#bytes;
  }

  /** How many bytes the system has taken. */
  get bytesSent(): number {
    return this.socket.bytesWritten - this.socket.writableLength;
  }

  get text(): string {
    return this.received.toString('latin1');
  }

  /** Resolves when the system has taken the bytes. */
  write(bytes: string | Buffer): Promise<void> {
    return new Promise((resolve) => {
      this.socket.write(bytes, () => resolve());
    });
  }

  /** An HTTP chunk: as long as the text, so that it arrives as one piece. */
  chunk(bytes: string | Buffer): Promise<void> {
    return this.write(chunk(bytes));
  }

  /** Resolves with all that has come as soon as `text` is in it. */
  async until(text: string): Promise<string> {
    await this.when(() => this.text.includes(text));
    if (!this.text.includes(text)) {
      throw new Error(`The connection ended before ${JSON.stringify(text)} came: ${this.text}`);
    }
    return this.text;
  }

  /** Resolves when `isTrue`, asked after each piece that comes, or when the connection is over. */
  when(isTrue: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#onNews = () => {
        if (!isTrue() && !this.#isOver) return;
        this.#onNews = () => {};
        resolve();
      };
      this.#onNews();
    });
  }

  fin(): void {
    this.socket.end();
  }

  reset(): void {
    // A socket that is shutting down cannot be reset: Node then keeps its handle for ever.
    if (this.socket.writableEnded) this.socket.destroy();
    else this.socket.resetAndDestroy();
  }
}

export function chunk(bytes: string | Buffer): Buffer {
  const body = Buffer.from(bytes);
  return Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n')]);
}

/** The content type of server-sent events. */
export const EVENTS = 'text/event-stream';

/** An event, to be told from others by its number. */
export function event(number: number): string {
  return `data: {"n":${number}}\n\n`;
}

/** The event with which a stream of chat says that it is complete. */
export const DONE = 'data: [DONE]\n\n';

export const LAST_CHUNK = '0\r\n\r\n';

/** A head that announces chunks. */
export function chunkedHead(contentType: string, ...headers: string[]): string {
  return head(`Content-Type: ${contentType}`, 'Transfer-Encoding: chunked', ...headers);
}

export function head(...headers: string[]): string {
  return ['HTTP/1.1 200 OK', ...headers, '', ''].join('\r\n');
}

/** Connects to `http://127.0.0.1:port`; closed after the test. */
export function dial(origin: string): Promise<Line> {
  const { hostname, port } = new URL(origin);
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: hostname, port: Number(port), noDelay: true });
    closeAfterTest(() => socket.destroy());
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(new Line(socket));
    });
  });
}

export interface WireServer {
  readonly origin: string;
  /** The connections so far, in order. */
  readonly lines: readonly Line[];
  /** The next connection that nobody has asked for yet, when it comes. */
  next(): Promise<Line>;
}

/** A server that does nothing by itself: each connection waits to be driven. Closed after the test. */
export async function listenOnWire(): Promise<WireServer> {
  const lines: Line[] = [];
  let asked = 0;
  let waiting: (() => void)[] = [];
  const server = net.createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    lines.push(new Line(socket));
    const awake = waiting;
    waiting = [];
    for (const resolve of awake) resolve();
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  closeAfterTest(
    () =>
      new Promise((resolve) => {
        server.close(resolve);
        for (const { socket } of lines) socket.destroy();
      }),
  );
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    lines,
    async next() {
      const place = asked;
      asked += 1;
      for (;;) {
        const line = lines[place];
        if (line !== undefined) return line;
        // oxlint-disable-next-line no-await-in-loop -- each waits for one more connection
        await new Promise<void>((resolve) => {
          waiting.push(resolve);
        });
      }
    },
  };
}

export interface WireAnswer {
  readonly status: number;
  /** Names as they were spelt, in their order. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer;
  /** Whether the body ended as its framing says; `undefined` where only the connection shows it. */
  readonly complete: boolean | undefined;
  /** What came behind it. */
  readonly rest: Buffer;
}

/** Reads the first answer in some bytes, however far they go; interim answers are skipped. */
export function parseAnswer(bytes: Buffer): WireAnswer {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd === -1) throw new Error(`There is no whole head: ${bytes.toString('latin1')}`);
  const [statusLine = '', ...lines] = bytes.toString('latin1', 0, headEnd).split('\r\n');
  const status = Number(statusLine.split(' ')[1]);
  const after = bytes.subarray(headEnd + 4);
  if (status < 200) return parseAnswer(after);
  const headers = lines.map((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()] as const;
  });
  const valueOf = (name: string): string | undefined =>
    headers.find(([each]) => each.toLowerCase() === name)?.[1];
  if (valueOf('transfer-encoding') === 'chunked') return { status, headers, ...dechunk(after) };
  const length = valueOf('content-length');
  if (length === undefined) {
    return { status, headers, body: after, complete: undefined, rest: Buffer.alloc(0) };
  }
  const body = after.subarray(0, Number(length));
  const complete = body.length === Number(length);
  return { status, headers, body, complete, rest: after.subarray(body.length) };
}

/** Whether all of an answer has come; one that only its connection ends never has. */
export function isWhole(received: Buffer): boolean {
  // Of nothing but interim answers, the head is still to come.
  const text = received.toString('latin1').replace(/^(HTTP\/1\.1 1\d\d [^]*?\r\n\r\n)+/, '');
  return text.includes('\r\n\r\n') && parseAnswer(received).complete === true;
}

function dechunk(bytes: Buffer): Pick<WireAnswer, 'body' | 'complete' | 'rest'> {
  const pieces: Buffer[] = [];
  for (let at = 0; ;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    const size =
      lineEnd === -1 ? Number.NaN : Number.parseInt(bytes.toString('latin1', at, lineEnd), 16);
    const start = lineEnd + 2;
    if (size === 0 && bytes.length >= start + 2) {
      return { body: Buffer.concat(pieces), complete: true, rest: bytes.subarray(start + 2) };
    }
    if (!(size > 0)) {
      return { body: Buffer.concat(pieces), complete: false, rest: Buffer.alloc(0) };
    }
    pieces.push(bytes.subarray(start, start + size));
    at = start + size + 2;
  }
}

/** Header values of one name in an answer, as far as it has come. */
export function valuesOf(client: Line, name: string): string[] {
  return parseAnswer(client.received)
    .headers.filter(([each]) => each.toLowerCase() === name)
    .map(([, value]) => value);
}

/** What a client has of an answer that is over, however it ended. */
export async function wholeOf(
  client: Line,
): Promise<{ ended: 'fin' | 'reset'; answer: WireAnswer }> {
  const ended = await client.ended;
  return { ended, answer: parseAnswer(client.received) };
}

/** A request through the proxy, without a body, on a connection that is kept. */
export function get(path: string, { version = '1.1', headers = [] as string[] } = {}): string {
  const lines = [`GET /api/v1${path} HTTP/${version}`, 'Host: proxy', ...headers];
  return [...lines, '', ''].join('\r\n');
}

export interface Meeting {
  readonly client: Line;
  readonly upstream: Line;
  readonly wire: WireServer;
  readonly front: Front;
}

/** A client and an upstream with a request's head on its way between them, both driven by hand. */
export async function meet(
  options: Parameters<typeof startFront>[0] = {},
  request = get('/models'),
  surroundings?: Parameters<typeof startFront>[1],
): Promise<Meeting> {
  const wire = await listenOnWire();
  const front = await startFront({ target: `${wire.origin}/up`, ...options }, surroundings);
  const client = await dial(front.origin);
  await client.write(request);
  const upstream = await wire.next();
  await upstream.until('\r\n\r\n');
  return { client, upstream, wire, front };
}

/** An HTTP server in the upstream's place, closed after the test. */
export async function startUpstream(handler: Parameters<typeof listen>[0]): Promise<string> {
  const running = await listen(handler);
  closeAfterTest(() => running.close());
  return running.origin;
}

/** Resolves when a number has not grown for so long: a busy machine makes it later, not wrong. */
export async function standsStill(count: () => number, forMs = 300): Promise<void> {
  let before = -1;
  let since = performance.now();
  await until(() => {
    if (count() !== before) since = performance.now();
    before = count();
    return before > 0 && performance.now() - since > forMs;
  }, 20_000);
}
