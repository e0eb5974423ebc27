import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { isPlain } from './decode-body.ts';
import { ProxyError, connectionError, seconds } from './errors.ts';
import { isJsonType } from './headers.ts';
import type { Patience } from './patience.ts';
import { Pieces } from './pieces.ts';

/** Takes an answer's body as it comes. */
export interface AnswerSink {
  data(chunk: Buffer): void;
  /** The body is complete. */
  end(): void;
  /** The body is not, and nothing more will come. */
  broken(error: ProxyError): void;
}

/** Looks on while a body passes, and changes nothing. */
export interface AnswerWatcher {
  push(chunk: Buffer): void;
  /** The body is complete, as the upstream sent it. */
  end(): void;
}

/** Of a body that is there already, so much is handed over at once. */
const SLICE_BYTES = 64 * 1024;

const NOBODY: AnswerSink = { data() {}, end() {}, broken() {} };

function noProgress(): void {}

/**
 * The upstream's answer: first a collector, so that an attempt can look at the beginning of the
 * body, then a source for whoever consumes it. Its listeners are attached in the same tick in
 * which the head arrives, since an answer can be dead a moment later.
 */
export class UpstreamAnswer implements AnswerSink {
  readonly status: number;
  readonly statusMessage: string;
  readonly rawHeaders: readonly string[];
  readonly headers: IncomingHttpHeaders;
  /** Whether its bytes are what they seem: no `Content-Encoding`. */
  readonly isPlain: boolean;
  #isEventStream = false;
  #isJson = false;

  readonly #response: IncomingMessage;
  readonly #patience: Patience;
  readonly #idleMs: number;
  readonly #onOver: () => void;
  #sink: AnswerSink = this;
  #isPaused = false;
  /** Set before anything of the body has come. */
  watcher: AnswerWatcher | undefined;

  readonly #collected = new Pieces();
  /** What a consumer is still to get of a body that has come whole. */
  #rest: Iterator<Buffer> | undefined;
  #isReplaced = false;
  #replacedType: string | undefined;
  #onProgress: (chunk?: Buffer) => void = noProgress;
  #state: 'open' | 'ended' | ProxyError = 'open';

  /**
   * @param patience - the request's
   * @param idleMs - the longest silence between two chunks
   * @param onOver - called once, when the last byte has come or none will
   */
  constructor(response: IncomingMessage, patience: Patience, idleMs: number, onOver: () => void) {
    this.status = response.statusCode ?? 0;
    this.statusMessage = response.statusMessage ?? '';
    this.rawHeaders = response.rawHeaders;
    this.headers = response.headers;
    this.isPlain = isPlain(this.headers['content-encoding']);
    this.#hasType(this.headers['content-type']);
    this.#response = response;
    this.#patience = patience;
    this.#idleMs = idleMs;
    this.#onOver = onOver;
    this.#watchSilence();
    response.on('data', (chunk: Buffer) => {
      if (!this.#isPaused) patience.prolong(idleMs);
      this.#sink.data(chunk);
      this.watcher?.push(chunk);
    });
    response.on('end', () => {
      // A body that is shorter than its `Content-Length` ends, too, in some versions of Node.
      if (response.complete) this.#finish('ended');
      else this.fail(new Error('the body ended early'));
    });
    response.on('error', (error) => this.fail(error));
    response.on('close', () => {
      // Every answer closes; only one that is not over yet has failed, and an error is not cheap.
      if (this.#state === 'open') this.fail(new Error('the connection was closed'));
    });
  }

  get isEventStream(): boolean {
    return this.#isEventStream;
  }

  get isJson(): boolean {
    return this.#isJson;
  }

  get hasEnded(): boolean {
    return this.#state === 'ended';
  }

  /** Why the body broke; `undefined` while it has not. */
  get breakReason(): ProxyError | undefined {
    return this.#state instanceof ProxyError ? this.#state : undefined;
  }

  get collectedBytes(): number {
    return this.#collected.bytes;
  }

  /** What has come so far and nobody has consumed. */
  get collected(): readonly Buffer[] {
    return this.#collected.list;
  }

  /** The same in one. */
  get joined(): Buffer {
    return this.#collected.join();
  }

  /**
   * Puts another body in the place of this one, of which no more is wanted.
   *
   * @param type - its media type, where that is another one, too
   */
  replaceBody(bytes: Buffer, type?: string): void {
    this.discard();
    this.#state = 'ended';
    this.#collected.push(bytes);
    this.#isReplaced = true;
    this.#replacedType = type;
    if (type !== undefined) this.#hasType(type);
  }

  /** Whether the body is another than the upstream's headers describe. */
  get isReplaced(): boolean {
    return this.#isReplaced;
  }

  /** The media type of the body in its place; `undefined` where the upstream's holds. */
  get replacedType(): string | undefined {
    return this.#replacedType;
  }

  /** Resolves when `enough` says so after a chunk, when the body is over, or after `limitMs`. */
  collectUntil(enough: (chunk: Buffer) => boolean, limitMs?: number): Promise<void> {
    return new Promise((resolve) => {
      let timer: NodeJS.Timeout | undefined;
      const done = (): void => {
        clearTimeout(timer);
        this.#onProgress = noProgress;
        resolve();
      };
      const check = (chunk?: Buffer): void => {
        if (this.#state !== 'open' || (chunk !== undefined && enough(chunk))) done();
      };
      if (limitMs !== undefined) timer = setTimeout(done, limitMs);
      this.#onProgress = check;
      if (this.collected.some(enough)) done();
      else check();
    });
  }

  /** Hands over what was collected, then everything else as it comes. */
  consume(sink: AnswerSink): void {
    this.#sink = sink;
    this.resume();
    if (this.#state === 'ended' && this.#collected.bytes > SLICE_BYTES) {
      this.#isPaused = false;
      this.#rest = slicesOf(this.#collected.take());
      this.#handOver();
      return;
    }
    for (const chunk of this.#collected.take()) sink.data(chunk);
    if (this.#state === 'ended') sink.end();
    else if (this.#state !== 'open') sink.broken(this.#state);
  }

  /** Stops reading: time in which the client does not read is no silence of the upstream's. */
  pause(): void {
    if (this.#rest !== undefined) this.#isPaused = true;
    if (this.#state !== 'open') return;
    this.#isPaused = true;
    this.#patience.stop();
    this.#response.pause();
  }

  resume(): void {
    if (this.#rest !== undefined && this.#isPaused) {
      this.#isPaused = false;
      this.#handOver();
    }
    if (this.#state !== 'open') return;
    if (this.#isPaused) this.#watchSilence();
    this.#isPaused = false;
    this.#response.resume();
  }

  /** Nobody wants the rest. A body that has come whole leaves its connection usable. */
  discard(): void {
    this.#sink = NOBODY;
    this.#rest = undefined;
    this.#collected.take();
    if (this.#state !== 'open') return;
    this.#finish(new ProxyError('upstream_disconnected', 'Nobody wanted the rest of the answer.'));
    // Who waits for its beginning waits in vain.
    this.#onProgress();
    this.#response.destroy();
  }

  /** Ends it from this side, for whoever consumes it to tell. */
  interrupt(error: ProxyError): void {
    this.#finish(error);
    this.#response.destroy();
  }

  /** The connection has failed; without effect when the body is over already. */
  fail(cause: Error): void {
    if (this.#state !== 'open') return;
    // Bytes behind a whole message (the body of a 204, say) make an error of the parser's that
    // overtakes the end: what was paid for is there, and only the connection is useless.
    if (this.#response.complete && !this.#response.destroyed) return;
    const message = 'The connection to the upstream broke in the middle of its answer.';
    this.#finish(connectionError(cause, message));
  }

  #hasType(type = ''): void {
    this.#isJson = isJsonType(type);
    this.#isEventStream = !this.#isJson && /^\s*text\/event-stream\s*(;|$)/i.test(type);
  }

  // As its own sink it collects.
  data(chunk: Buffer): void {
    this.#collected.push(chunk);
    this.#onProgress(chunk);
  }

  end(): void {
    this.#onProgress();
  }

  broken(): void {
    this.#onProgress();
  }

  /**
   * Under back-pressure, too: written at once, a large body would be one write, of which nobody
   * could tell how much its client has read, and which would count as sent when that leaves.
   */
  #handOver(): void {
    while (this.#rest !== undefined && !this.#isPaused) {
      const next = this.#rest.next();
      if (next.done === true) {
        this.#rest = undefined;
        this.#sink.end();
      } else {
        this.#sink.data(next.value);
      }
    }
  }

  #watchSilence(): void {
    this.#patience.begin(this.#idleMs, () => {
      this.#finish(
        new ProxyError(
          'upstream_timeout',
          `The upstream fell silent for ${seconds(this.#idleMs)} in the middle of its answer.`,
        ),
      );
      this.#response.destroy();
    });
  }

  #finish(how: 'ended' | ProxyError): void {
    if (this.#state !== 'open') return;
    this.#state = how;
    this.#patience.stop();
    this.#onOver();
    if (how === 'ended') {
      this.#sink.end();
      this.watcher?.end();
    } else this.#sink.broken(how);
  }
}

function* slicesOf(chunks: readonly Buffer[]): Generator<Buffer, undefined> {
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += SLICE_BYTES) {
      yield chunk.subarray(at, at + SLICE_BYTES);
    }
  }
  return undefined;
}
