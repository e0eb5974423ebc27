import http from 'node:http';
import type { FuzzedRequest } from './arbitrary-requests.ts';

export interface Got {
  readonly status: number;
  readonly reason: string;
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
  readonly complete: boolean;
}

/** Sends a request with its headers as they are, several of one name, too. */
export function exchange(baseUrl: string, request: FuzzedRequest): Promise<Got> {
  const { hostname, port, pathname } = new URL(baseUrl);
  const { method, path, headers, body, isChunked } = request;
  const raw = [['Host', 'client.example'] as const, ...headers].flat();
  if (body !== undefined && isChunked) raw.push('Transfer-Encoding', 'chunked');
  else if (body !== undefined) raw.push('Content-Length', String(body.length));
  return new Promise((resolve, reject) => {
    const call = http.request({
      hostname,
      port,
      method,
      agent: false,
      path: pathname + path,
      headers: raw,
      setHost: false,
    });
    call.on('error', reject);
    call.on('response', (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('error', () => {});
      response.on('close', () => {
        const { statusCode: status = 0, statusMessage: reason = '' } = response;
        const { rawHeaders, complete } = response;
        resolve({ status, reason, rawHeaders, body: Buffer.concat(pieces), complete });
      });
    });
    call.end(body);
  });
}
