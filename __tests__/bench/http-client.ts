import { connect } from 'node:net';
import type { Socket } from 'node:net';

/** What becomes of one request. */
export interface Exchange {
  /** The head is there. */
  onHead(status: number): void;
  /** A piece of the body, without what HTTP puts around it; valid during the call. */
  onBody(piece: Buffer): void;
  /** Over: in order, or with what went wrong. */
  onEnd(failure?: string): void;
}

const HEAD_END = Buffer.from('\r\n\r\n');
const LINE_END = Buffer.from('\r\n');

/** Where in an answer the connection is. */
type Phase =
  | 'idle'
  | 'head'
  | 'length'
  | 'size'
  | 'chunk'
  | 'chunk-end'
  | 'trailer'
  | 'until-close';

/**
 * A connection for one request at a time, and little more than that, so that the generator takes
 * far less of its core than any subject of its own.
 */
export class Connection {
  readonly #socket: Socket;
  #exchange: Exchange | undefined;
  #phase: Phase = 'idle';
  /** Bytes that are still to come, of the body or of this chunk. */
  #left = 0;
  /** A head, or a line of one, of which the end has not come yet. */
  #rest: Buffer | undefined;
  isUsable = true;
  /** Resolves when it stands, or never will. */
  readonly connected: Promise<void>;

  constructor(port: number) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.connected = new Promise((resolve) => {
      this.#socket.once('connect', resolve).once('close', resolve);
    });
    this.#socket.on('data', (data) => this.#read(data));
    this.#socket.on('error', (error) => this.#finish(error.message));
    this.#socket.on('close', () => {
      this.isUsable = false;
      this.#finish(this.#phase === 'until-close' ? undefined : 'The connection closed');
    });
  }

  send(bytes: Buffer, exchange: Exchange): void {
    this.#exchange = exchange;
    this.#phase = 'head';
    this.#socket.write(bytes);
  }

  destroy(): void {
    this.#exchange = undefined;
    this.isUsable = false;
    this.#socket.destroy();
  }

  #finish(failure?: string): void {
    const exchange = this.#exchange;
    if (failure !== undefined) this.isUsable = false;
    this.#phase = 'idle';
    this.#exchange = undefined;
    exchange?.onEnd(failure);
  }

  #read(data: Buffer): void {
    let bytes = this.#rest === undefined ? data : Buffer.concat([this.#rest, data]);
    this.#rest = undefined;
    while (bytes.length > 0 && this.#exchange !== undefined) {
      const taken = this.#take(bytes, this.#exchange);
      if (taken === 0) {
        this.#rest = bytes;
        return;
      }
      bytes = bytes.subarray(taken);
    }
  }

  /** How many of the bytes were of use; 0 when more are needed. */
  #take(bytes: Buffer, exchange: Exchange): number {
    switch (this.#phase) {
      case 'head':
        return this.#takeHead(bytes, exchange);
      case 'length':
      case 'chunk':
        return this.#takeBody(bytes, exchange);
      case 'until-close':
        exchange.onBody(bytes);
        return bytes.length;
      default:
        return this.#takeLine(bytes);
    }
  }

  #takeHead(bytes: Buffer, exchange: Exchange): number {
    const end = bytes.indexOf(HEAD_END);
    if (end === -1) return 0;
    const head = bytes.toString('latin1', 0, end);
    const status = Number(head.slice(9, 12));
    if (/\r\nconnection:\s*close/i.test(head)) this.isUsable = false;
    const length = /\r\ncontent-length:\s*(\d+)/i.exec(head)?.[1];
    if (length !== undefined) {
      this.#phase = 'length';
      this.#left = Number(length);
    } else {
      this.#phase = /\r\ntransfer-encoding:\s*chunked/i.test(head) ? 'size' : 'until-close';
    }
    exchange.onHead(status);
    if (this.#phase === 'length' && this.#left === 0) this.#finish();
    return end + HEAD_END.length;
  }

  #takeBody(bytes: Buffer, exchange: Exchange): number {
    const taken = Math.min(bytes.length, this.#left);
    this.#left -= taken;
    exchange.onBody(taken === bytes.length ? bytes : bytes.subarray(0, taken));
    if (this.#left > 0) return taken;
    if (this.#phase === 'length') this.#finish();
    else this.#phase = 'chunk-end';
    return taken;
  }

  #takeLine(bytes: Buffer): number {
    const end = bytes.indexOf(LINE_END);
    if (end === -1) return 0;
    if (this.#phase === 'size') {
      this.#left = Number.parseInt(bytes.toString('latin1', 0, end), 16);
      this.#phase = this.#left === 0 ? 'trailer' : 'chunk';
    } else if (this.#phase === 'chunk-end') this.#phase = 'size';
    else if (end === 0) this.#finish();
    return end + LINE_END.length;
  }
}

/** How the requests for one subject look. */
export interface Address {
  readonly port: number;
  /** What stands before the path of the API. */
  readonly prefix: string;
  /** Headers that the subject needs to find its upstream. */
  readonly headers: Readonly<Record<string, string>>;
}

/** A whole request, with the headers that OpenAI's SDK sends. */
export function requestBytes(
  { port, prefix, headers }: Address,
  { path, contentType, body }: { path: string; contentType: string; body: Buffer },
  key: string,
): Buffer {
  const lines = [
    `POST ${prefix}${path} HTTP/1.1`,
    `Host: 127.0.0.1:${port}`,
    'Connection: keep-alive',
    `Content-Length: ${body.length}`,
    'Accept: application/json',
    `Content-Type: ${contentType}`,
    'User-Agent: OpenAI/JS 7.57.0',
    'X-Stainless-Retry-Count: 0',
    'X-Stainless-Lang: js',
    'X-Stainless-Package-Version: 7.57.0',
    'X-Stainless-OS: Linux',
    'X-Stainless-Arch: x64',
    'X-Stainless-Runtime: node',
    'X-Stainless-Runtime-Version: v24.0.0',
    `Authorization: Bearer ${key}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ];
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), body]);
}
