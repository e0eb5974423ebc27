import { Connection, requestBytes } from './http-client.ts';
import type { Address, Exchange } from './http-client.ts';
import { percentiles } from './figures.ts';
import type { Percentiles } from './figures.ts';
import { STAMP, STAMP_PATTERN, clockUs } from './work.ts';

/** What is sent, and what has to come back. */
export interface Load {
  readonly address: Address;
  readonly path: string;
  readonly contentType: string;
  readonly body: Buffer;
  readonly expected: Buffer;
  /** So many API keys take turns. */
  readonly keys: number;
  /** Whether events tell when they were written, and are to be asked. */
  readonly readsStamps: boolean;
}

/** What came of a load; times in milliseconds. */
export interface LoadResult {
  readonly requests: number;
  readonly failures: number;
  /** What the first failure was. */
  readonly failure: string | undefined;
  readonly elapsedMs: number;
  readonly latency: Percentiles;
  readonly firstByte: Percentiles;
  /** From the writing of an event upstream to its arrival; of nothing where there are no events. */
  readonly chunk: Percentiles;
}

/** Every so many answers, one is compared byte for byte; of the others only the length. */
const COMPARE_EVERY = 61;

/** The bytes of an answer without what is different in each one. */
export function withoutStamps(answer: Buffer): string {
  return answer.toString('latin1').replace(STAMP_PATTERN, STAMP);
}

/** Counts and times the requests of one load. */
class Tally {
  readonly latencies: number[] = [];
  readonly firstBytes: number[] = [];
  readonly chunks: number[] = [];
  readonly load: Load;
  readonly #expected: string;
  readonly startedAt = performance.now();
  requests = 0;
  failures = 0;
  failure: string | undefined;
  isRecording = true;

  constructor(load: Load) {
    this.load = load;
    this.#expected = withoutStamps(load.expected);
  }

  fail(failure: string): void {
    this.failures += 1;
    this.failure ??= failure;
  }

  check(status: number, length: number, kept: readonly Buffer[] | undefined): void {
    if (status !== 200) this.fail(`status ${status}`);
    else if (length !== this.load.expected.length) {
      this.fail(`${length} bytes instead of ${this.load.expected.length}`);
    } else if (kept !== undefined && withoutStamps(Buffer.concat(kept)) !== this.#expected) {
      this.fail('other bytes than expected');
    }
  }

  result(): LoadResult {
    return {
      requests: this.requests,
      failures: this.failures,
      failure: this.failure,
      elapsedMs: performance.now() - this.startedAt,
      latency: percentiles(this.latencies),
      firstByte: percentiles(this.firstBytes),
      chunk: percentiles(this.chunks),
    };
  }
}

/** A request under way; used again for the next one. */
class Trial implements Exchange {
  readonly #tally: Tally;
  readonly #onOver: (trial: Trial) => void;
  #sentAt = 0;
  #status = 0;
  #length = 0;
  #kept: Buffer[] | undefined;
  connection: Connection;

  constructor(tally: Tally, connection: Connection, onOver: (trial: Trial) => void) {
    this.#tally = tally;
    this.connection = connection;
    this.#onOver = onOver;
  }

  send(bytes: Buffer): void {
    this.#tally.requests += 1;
    this.#status = 0;
    this.#length = 0;
    this.#kept = this.#tally.requests % COMPARE_EVERY === 1 ? [] : undefined;
    this.#sentAt = performance.now();
    this.connection.send(bytes, this);
  }

  onHead(status: number): void {
    this.#status = status;
  }

  onBody(piece: Buffer): void {
    const tally = this.#tally;
    if (this.#length === 0 && tally.isRecording) {
      tally.firstBytes.push(performance.now() - this.#sentAt);
    }
    this.#length += piece.length;
    this.#kept?.push(Buffer.from(piece));
    if (tally.load.readsStamps && tally.isRecording) readStamps(piece, tally.chunks);
  }

  onEnd(failure?: string): void {
    const tally = this.#tally;
    if (failure === undefined) tally.check(this.#status, this.#length, this.#kept);
    else tally.fail(failure);
    if (tally.isRecording) tally.latencies.push(performance.now() - this.#sentAt);
    this.#onOver(this);
  }
}

function readStamps(piece: Buffer, delays: number[]): void {
  const nowUs = clockUs();
  for (const [stamp] of piece.toString('latin1').matchAll(STAMP_PATTERN)) {
    delays.push((nowUs - Number(stamp.slice(6, -1))) / 1_000);
  }
}

/** The bytes of the requests: one after the other for as many keys as there are. */
function* requestsOf(load: Load): Generator<Buffer, never> {
  const requests = Array.from({ length: load.keys }, (_, index) =>
    requestBytes(load.address, load, `bench-key-${index}`),
  );
  for (;;) yield* requests;
}

/** Keeps so many requests under way for so long, or until there were so many. */
export function saturate(
  load: Load,
  { concurrency, ms, count = Infinity }: { concurrency: number; ms: number; count?: number },
): Promise<LoadResult> {
  const tally = new Tally(load);
  const requests = requestsOf(load);
  const endsAt = tally.startedAt + ms;
  let open = concurrency;
  return new Promise((resolve) => {
    const next = (trial: Trial): void => {
      if (tally.requests < count && performance.now() < endsAt) {
        if (!trial.connection.isUsable) trial.connection = new Connection(load.address.port);
        trial.send(requests.next().value);
        return;
      }
      trial.connection.destroy();
      open -= 1;
      if (open === 0) resolve(tally.result());
    };
    for (let index = 0; index < concurrency; index += 1) {
      next(new Trial(tally, new Connection(load.address.port), next));
    }
  });
}

/** Connections are made, and have been used, before anything is timed. */
function warmUp(tally: Tally, requests: Generator<Buffer, never>, count: number): Promise<Trial[]> {
  tally.isRecording = false;
  let open = count;
  return new Promise((resolve) => {
    const idle: Trial[] = [];
    for (let index = 0; index < count; index += 1) {
      const onOver = (): void => {
        idle.push(trial);
        open -= 1;
        if (open > 0) return;
        tally.isRecording = true;
        resolve(idle);
      };
      const trial = new Trial(tally, new Connection(tally.load.address.port), onOver);
      trial.send(requests.next().value);
    }
  });
}

/** Sends so many requests a second for so long, whatever becomes of those before. */
export async function pace(
  load: Load,
  { connections, rate, ms }: { connections: number; rate: number; ms: number },
): Promise<LoadResult> {
  const tally = new Tally(load);
  const requests = requestsOf(load);
  const warm = await warmUp(tally, requests, connections);
  const idle = warm.map(({ connection }) => connection);
  const startedAt = performance.now();
  const total = Math.max(1, Math.round((rate * ms) / 1_000));
  let sent = 0;
  let open = 0;
  return new Promise((resolve) => {
    const onOver = ({ connection }: Trial): void => {
      open -= 1;
      idle.push(connection);
      if (sent < total || open > 0) return;
      for (const each of idle) each.destroy();
      resolve(tally.result());
    };
    const timer = setInterval(() => {
      const due = Math.min(total, ((performance.now() - startedAt) * rate) / 1_000);
      while (sent < due) {
        sent += 1;
        open += 1;
        let connection = idle.pop();
        while (connection?.isUsable === false) connection = idle.pop();
        connection ??= new Connection(load.address.port);
        new Trial(tally, connection, onOver).send(requests.next().value);
      }
      if (sent === total) clearInterval(timer);
    }, 1);
  });
}
