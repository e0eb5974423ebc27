import type { Transform } from 'node:stream';
import { ProxyError } from './errors.ts';
import type { AnswerSink, UpstreamAnswer } from './upstream-answer.ts';

/** Where a body comes from, as far as back-pressure is concerned. */
export interface BodySource {
  pause(): void;
  resume(): void;
}

const NOTHING = Buffer.alloc(0);

/** An answer whose `Content-Encoding` is undone as its body comes, under back-pressure. */
export class DecodedAnswer implements AnswerSink, BodySource {
  readonly #answer: UpstreamAnswer;
  readonly #decoder: Transform;
  #sink: AnswerSink | undefined;
  /** What is to happen when all that has come is decoded and has left. */
  #whenThrough: (() => void) | undefined;

  constructor(answer: UpstreamAnswer, decoder: Transform) {
    this.#answer = answer;
    this.#decoder = decoder;
  }

  consume(sink: AnswerSink): void {
    this.#sink = sink;
    this.#decoder
      .on('data', (chunk: Buffer) => {
        sink.data(chunk);
        this.#checkThrough();
      })
      .on('drain', () => this.#answer.resume())
      .on('end', () => sink.end())
      .on('error', (error) => {
        this.#answer.discard();
        sink.broken(undecodable(error));
      });
    this.#answer.consume(this);
  }

  pause(): void {
    this.#decoder.pause();
  }

  resume(): void {
    this.#decoder.resume();
  }

  /** Nobody wants the rest. */
  discard(): void {
    this.#decoder.destroy();
  }

  data(chunk: Buffer): void {
    if (!this.#decoder.write(chunk)) this.#answer.pause();
  }

  end(): void {
    this.#through(() => this.#decoder.end());
  }

  broken(error: ProxyError): void {
    this.#through(() => {
      this.#decoder.destroy();
      this.#sink?.broken(error);
    });
  }

  /**
   * Ended at once, the decoder would take the last chunk and its end in one go, and would keep
   * back what it has decoded of it when it then finds the end missing.
   */
  #through(then: () => void): void {
    this.#decoder.write(NOTHING, (error) => {
      // Its error is told by its event; when the client has left, nobody waits for this.
      if (error) return;
      this.#whenThrough = then;
      this.#checkThrough();
    });
  }

  #checkThrough(): void {
    if (this.#decoder.readableLength > 0) return;
    const then = this.#whenThrough;
    this.#whenThrough = undefined;
    then?.();
  }
}

function undecodable(cause: Error): ProxyError {
  return new ProxyError('upstream_invalid', 'The upstream sent a body that cannot be read.', cause);
}
