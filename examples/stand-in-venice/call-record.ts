import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { RecordedCall } from './types.ts';

const KEPT_BYTES = 1_000_000;

/** The writable side of a `RecordedCall`. */
export class CallRecord implements RecordedCall {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: string[];
  readonly at = Date.now();
  readonly connection: number;
  readonly over: Promise<void>;
  aborted = false;
  status: number | undefined;
  finished = false;
  refusedBy: RecordedCall['refusedBy'];
  bodyBytes = 0;
  #kept = Buffer.alloc(0);
  #settle: () => void = () => {};

  constructor(request: IncomingMessage, connection: number) {
    this.method = request.method ?? '';
    this.url = request.url ?? '';
    this.headers = request.headers;
    this.rawHeaders = request.rawHeaders;
    this.connection = connection;
    this.over = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  get body(): Buffer {
    return this.#kept.subarray(0, Math.min(this.bodyBytes, KEPT_BYTES));
  }

  get bodyCut(): boolean {
    return this.bodyBytes > KEPT_BYTES;
  }

  // Copied, as a piece kept as it is would keep alive the whole buffer that it was read into;
  // into a buffer that doubles, as a million tiny pieces must not be joined a million times.
  take(piece: Buffer): void {
    const end = Math.min(this.bodyBytes + piece.length, KEPT_BYTES);
    if (end > this.#kept.length) {
      const grown = Buffer.alloc(Math.min(Math.max(end, 2 * this.#kept.length), KEPT_BYTES));
      this.#kept.copy(grown);
      this.#kept = grown;
    }
    if (this.bodyBytes < KEPT_BYTES) piece.copy(this.#kept, this.bodyBytes);
    this.bodyBytes += piece.length;
  }

  settle(): void {
    this.#settle();
  }
}
