import http from 'node:http';
import type { IncomingMessage } from 'node:http';
import { gunzipSync } from 'node:zlib';
import { ID_HEADER, TROUBLE_HEADER } from './requests.ts';
import type { Kind, Trouble } from './requests.ts';

/** How a request ended, as its client saw it. */
export type Ending =
  | 'answered'
  /** An error of the upstream's or the proxy's own, with its status or as an event. */
  | 'refused'
  /** A part of an answer that showed by itself that it was none. */
  | 'broken'
  | 'left'
  /** Neither an answer nor a reason: a fault of the proxy's. */
  | 'lost'
  /** An answer that belongs to somebody else. */
  | "somebody else's";

export interface Request {
  readonly id: string;
  readonly key: string;
  readonly model: string;
  readonly kind: Kind;
  readonly trouble: Trouble | undefined;
}

/** Sends one request and tells how it ended. */
export function play(baseUrl: string, agent: http.Agent, request: Request): Promise<Ending> {
  const { id, key, model, kind, trouble } = request;
  const { hostname, port, pathname } = new URL(baseUrl);
  const marker = `marker-${id}-end`;
  const body = kind.body?.(marker, model);
  const headers: http.OutgoingHttpHeaders = { authorization: `Bearer ${key}`, [ID_HEADER]: id };
  if (kind.type !== undefined) headers['content-type'] = kind.type;
  if (body !== undefined) headers['content-length'] = Buffer.byteLength(body);
  if (trouble?.fault !== undefined) headers[TROUBLE_HEADER] = trouble.name;
  return new Promise((resolve) => {
    let hasLeft = false;
    const call = http.request({
      hostname,
      port,
      agent,
      headers,
      method: kind.method,
      path: pathname + kind.path,
    });
    const leave = (): void => {
      hasLeft = true;
      call.destroy();
    };
    if (trouble?.client === 'leaves early') setTimeout(leave, 15);
    call.on('error', () => resolve(hasLeft ? 'left' : 'lost'));
    call.on('response', (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => {
        pieces.push(piece);
        if (trouble?.client === 'leaves in the answer') leave();
        if (trouble?.client === 'reads slowly') rest(response);
      });
      response.on('error', () => {});
      response.on('close', () => {
        resolve(hasLeft ? 'left' : endingOf(response, Buffer.concat(pieces), request));
      });
    });
    if (trouble?.client === 'leaves in the upload' && body !== undefined) {
      // All but the last byte, so that the proxy has begun to hold or to pass on what it waits for.
      call.write(body.slice(0, -1));
      setTimeout(leave, 15);
      return;
    }
    call.end(body);
  });
}

function rest(response: IncomingMessage): void {
  response.pause();
  setTimeout(() => response.resume(), 50);
}

function decoded({ headers }: IncomingMessage, body: Buffer): string | undefined {
  try {
    return (headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString();
  } catch {
    return undefined;
  }
}

function endingOf(response: IncomingMessage, body: Buffer, request: Request): Ending {
  const { id, kind, model } = request;
  const marker = `marker-${id}-end`;
  const text = decoded(response, body);
  // What cannot be decoded shows by that.
  if (text === undefined) return 'broken';
  const markers: readonly string[] = text.match(/marker-\w+-end/g) ?? [];
  if (markers.some((each) => each !== marker)) return "somebody else's";
  if (!response.complete) return 'broken';
  if ((response.statusCode ?? 0) >= 400 || text.includes('data: {"error"')) return 'refused';
  if (kind.isStream === true && !text.includes('[DONE]')) return 'lost';
  if (kind.isOwn?.(text, marker, model) === false) return "somebody else's";
  return 'answered';
}
