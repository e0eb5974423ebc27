import http from 'node:http';
import type { IncomingHttpHeaders, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express5 from 'express';
import type { Express } from 'express';
import { createRequire } from 'node:module';
import { createVeniceProxy } from '../../lib/index.ts';
import type { VeniceProxy, VeniceProxyOptions } from '../../lib/index.ts';

const express4 = createRequire(import.meta.url)('express4') as typeof express5;

/** Both Expresses that the package promises to work with. */
export const EXPRESSES = [
  ['Express 5', express5],
  ['Express 4', express4],
] as const;

export interface Running {
  /** `http://127.0.0.1:port`, without a slash at its end. */
  readonly origin: string;
  readonly server: Server;
  close(): Promise<void>;
}

export async function listen(handler: http.RequestListener): Promise<Running> {
  const server = http.createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    server,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export interface RunningProxy extends Running {
  readonly proxy: VeniceProxy;
  /** With the mount path: what a client takes for its base URL. */
  readonly baseUrl: string;
}

/** Quick retries, so that tests need no patience; everything else as users have it. */
export const QUICK = { baseRetryDelay: 1, rateLimitWait: 50 } as const;

export async function startProxy(
  options: VeniceProxyOptions,
  {
    express = express5,
    mount = '/api/v1',
    before = () => {},
  }: { express?: typeof express5; mount?: string; before?: (app: Express) => void } = {},
): Promise<RunningProxy> {
  const app = express();
  const proxy = createVeniceProxy({ ...QUICK, ...options });
  before(app);
  app.use(mount, proxy);
  const running = await listen(app);
  return { ...running, proxy, baseUrl: running.origin + mount };
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
  readonly text: string;
  /** Whether the answer ended as HTTP says that it must. */
  readonly complete: boolean;
}

export interface Sent {
  method?: string;
  headers?: http.OutgoingHttpHeaders;
  /** An object is sent as JSON. */
  body?: string | Buffer | object | undefined;
}

/** One request over a connection of its own; resolves with whatever came, also when it broke. */
export function send(url: string, { method, headers = {}, body }: Sent = {}): Promise<Reply> {
  const isJson = body !== undefined && typeof body !== 'string' && !Buffer.isBuffer(body);
  const bytes = isJson ? JSON.stringify(body) : body;
  return new Promise((resolve, reject) => {
    const request = http.request(
      url,
      {
        method: method ?? (body === undefined ? 'GET' : 'POST'),
        agent: false,
        headers: {
          authorization: 'Bearer test-key',
          ...(isJson ? { 'content-type': 'application/json' } : {}),
          ...headers,
        },
      },
      (response) => {
        const chunks: Buffer[] = [];
        const finish = (): void => {
          const whole = Buffer.concat(chunks);
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            rawHeaders: response.rawHeaders,
            body: whole,
            text: whole.toString(),
            complete: response.complete,
          });
        };
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', finish).on('close', finish);
      },
    );
    request.on('error', reject);
    request.end(bytes);
  });
}
