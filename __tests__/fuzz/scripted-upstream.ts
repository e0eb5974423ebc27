import type { IncomingHttpHeaders } from 'node:http';
import { closeAfterTest } from '../helpers/scene.ts';
import { listen } from '../helpers/serve.ts';

/** What arrived at the upstream. */
export interface Arrived {
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** An upstream that reads requests well and answers with any bytes at all. */
export interface ScriptedUpstream {
  readonly origin: string;
  /** Since it was last emptied. */
  readonly arrived: Arrived[];
  /** The next answers, byte for byte; the connection is closed behind them. */
  answer: Buffer;
}

const OK = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok');

/** Closed after the test. */
export async function startScriptedUpstream(): Promise<ScriptedUpstream> {
  const upstream = { origin: '', arrived: [] as Arrived[], answer: OK };
  const running = await listen((req) => {
    const pieces: Buffer[] = [];
    req.on('error', () => {});
    req.on('data', (piece: Buffer) => pieces.push(piece));
    req.on('end', () => {
      const { url = '', headers } = req;
      upstream.arrived.push({ url, headers, body: Buffer.concat(pieces) });
      req.socket.end(upstream.answer);
    });
  });
  closeAfterTest(() => running.close());
  upstream.origin = running.origin;
  return upstream;
}
