import { Agent, request } from 'node:http';
import express from 'express';
import type { Express, Request, Response } from 'express';

/** A request that waits, and its body. */
interface Waiter {
  readonly req: Request;
  readonly res: Response;
  readonly body: Buffer;
}

/**
 * The least that a gate has to keep of those who wait: the connection with its request and answer,
 * and the body. What a gate takes beyond that is its own. One window for everybody, one timer.
 */
export function createWaitingRoom(upstreamPort: number): Express {
  const agent = new Agent({ keepAlive: true, maxSockets: Infinity });
  const waiting: Waiter[] = [];
  let resetAtMs = 0;

  function send({ req, res, body }: Waiter): void {
    const { method, originalUrl: path, headers } = req;
    const call = request({ host: '127.0.0.1', port: upstreamPort, method, path, headers, agent });
    call.on('response', (answer) => {
      if (answer.headers['x-ratelimit-remaining-requests'] === '0') {
        resetAtMs = 1_000 * Number(answer.headers['x-ratelimit-reset-requests']);
        setTimeout(release, resetAtMs - Date.now() + 1);
      }
      res.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(res);
    });
    call.on('error', () => res.destroy());
    call.end(body);
  }

  function release(): void {
    for (const waiter of waiting.splice(0)) send(waiter);
  }

  const app = express();
  app.use((req, res) => {
    const pieces: Buffer[] = [];
    req.on('data', (piece: Buffer) => pieces.push(piece));
    req.on('end', () => {
      const waiter = { req, res, body: Buffer.concat(pieces) };
      if (Date.now() < resetAtMs) waiting.push(waiter);
      else send(waiter);
    });
  });
  return app;
}
