import type { RequestListener } from 'node:http';
import { pairsOf } from './documented.ts';
import type { Pair } from './documented.ts';

/** What an upstream is to answer, whatever it is asked. */
export interface PlannedAnswer {
  readonly status: number;
  readonly reason: string;
  readonly headers: readonly Pair[];
  readonly pieces: readonly Buffer[];
  readonly framing: 'length' | 'chunked' | 'close';
}

/** What arrived at an upstream. */
export interface Arrived {
  readonly method: string;
  readonly url: string;
  /** In the order and spelling of the wire. */
  readonly headers: readonly Pair[];
  readonly body: Buffer;
}

/** Writes down what arrives, and answers as it was told to. */
export class EchoUpstream {
  readonly arrived: Arrived[] = [];
  plan: PlannedAnswer = {
    status: 200,
    reason: 'OK',
    headers: [],
    pieces: [],
    framing: 'length',
  };

  readonly listener: RequestListener = (req, res) => {
    const pieces: Buffer[] = [];
    req.on('data', (piece: Buffer) => pieces.push(piece));
    req.on('error', () => {});
    req.on('end', () => {
      const { method = '', url = '', rawHeaders } = req;
      const headers = pairsOf(rawHeaders);
      this.arrived.push({ method, url, headers, body: Buffer.concat(pieces) });
      const { plan } = this;
      const raw = plan.headers.flat();
      const hasBody = plan.status !== 204 && plan.status !== 304 && method !== 'HEAD';
      const length = plan.pieces.reduce((sum, piece) => sum + piece.length, 0);
      if (plan.framing === 'length' && plan.status !== 204) {
        raw.push('Content-Length', String(length));
      }
      if (plan.framing === 'close') {
        res.shouldKeepAlive = false;
        res.useChunkedEncodingByDefault = false;
      }
      res.writeHead(plan.status, plan.reason, raw);
      if (hasBody) for (const piece of plan.pieces) res.write(piece);
      res.end();
    });
  };
}
