import http from 'node:http';
import type { IncomingMessage } from 'node:http';
import { gunzipSync } from 'node:zlib';
import { idsIn, markerOf } from './requests.ts';
import type { Sent, SoakRequest } from './requests.ts';
import type { Behaviour } from './troubles.ts';
import { ID_HEADER, TROUBLE_HEADER } from './upstream-account.ts';

/** How a request ended, as its client saw it. */
export type Ending =
  | 'answered'
  /** An error of the upstream's or the proxy's own, with its status or as an event. */
  | 'refused'
  /** A part of an answer that showed by itself that it was none. */
  | 'broken'
  /** Whole by its length, and in a coding that breaks off. */
  | 'undecodable'
  | 'left'
  /** Neither an answer nor a reason. */
  | 'lost'
  /** It passed for whole, and was not what was asked for. */
  | 'wrong'
  /** An answer, or a part of one, that belongs to somebody else. */
  | "somebody else's";

/** What a client tells of its request. */
export interface Told {
  readonly ending: Ending;
  /** `undefined`: it had none, or no head at all. */
  readonly status?: number | undefined;
  /** Of the error that it was told of: in a body, or in the last event. */
  readonly code?: string | undefined;
  readonly why?: string;
}

const LEAVES_AFTER_MS = 15;
const REST_MS = 50;
const READS_EVERY_MS = 10;
const PIECES = 4;
/** Longer than the proxy's patience. */
const STOPS_FOR_MS = 3_500;

/** Sends one request and tells how it ended. */
export function play(baseUrl: string, agent: http.Agent, request: SoakRequest): Promise<Told> {
  const { id, key, model, kind, trouble } = request;
  const behaviour = trouble?.client;
  const sent = kind.make(markerOf(id), model);
  const headers: http.OutgoingHttpHeaders = { authorization: `Bearer ${key}`, [ID_HEADER]: id };
  if (kind.type !== undefined) headers['content-type'] = kind.type;
  if (sent.body !== undefined) headers['content-length'] = Buffer.byteLength(sent.body);
  if (trouble?.fault !== undefined) headers[TROUBLE_HEADER] = trouble.name;
  if (behaviour === 'has a second') headers['x-stainless-timeout'] = '1';
  return new Promise((resolve) => {
    let hasLeft = false;
    const options = { agent, headers, method: kind.method };
    const call = http.request(baseUrl + kind.path(markerOf(id)), options);
    const leave = (): void => {
      hasLeft = true;
      call.destroy();
    };
    if (behaviour === 'leaves early') setTimeout(leave, LEAVES_AFTER_MS);
    call.on('error', (error) => {
      resolve(hasLeft ? { ending: 'left' } : { ending: 'lost', why: String(error) });
    });
    call.on('response', (response) => {
      read(response, behaviour, leave, (body) => {
        resolve(hasLeft ? { ending: 'left' } : tell(response, body, request, sent));
      });
    });
    void send(call, sent.body, behaviour, leave);
  });
}

async function send(
  call: http.ClientRequest,
  body: string | Buffer | undefined,
  behaviour: Behaviour | undefined,
  leave: () => void,
): Promise<void> {
  const isInPieces = behaviour === 'sends slowly' || behaviour === 'leaves in its body';
  if (body === undefined || !isInPieces) {
    call.end(body);
    return;
  }
  const bytes = Buffer.from(body);
  const size = Math.ceil(bytes.length / PIECES);
  for (let at = 0; at < bytes.length; at += size) {
    if (behaviour === 'leaves in its body' && at > 0) {
      leave();
      return;
    }
    call.write(bytes.subarray(at, at + size));
    // oxlint-disable-next-line no-await-in-loop -- one piece after the other
    await rest(REST_MS);
  }
  call.end();
}

/** @param onEnd - called with what came, when no more will */
function read(
  response: IncomingMessage,
  behaviour: Behaviour | undefined,
  leave: () => void,
  onEnd: (body: Buffer) => void,
): void {
  const pieces: Buffer[] = [];
  response.on('data', (piece: Buffer) => {
    pieces.push(piece);
    if (behaviour === 'leaves in the answer') leave();
    if (behaviour === 'reads slowly') {
      response.pause();
      void rest(READS_EVERY_MS).then(() => response.resume());
    }
    // Until the connection is gone: only who looks again finds that out.
    if (behaviour === 'stops reading' && pieces.length === 1) {
      response.pause();
      void rest(STOPS_FOR_MS).then(() => response.resume());
    }
  });
  response.on('error', () => {});
  response.on('close', () => onEnd(Buffer.concat(pieces)));
}

function rest(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

function tell(response: IncomingMessage, body: Buffer, request: SoakRequest, sent: Sent): Told {
  const { statusCode: status = 0, headers, complete } = response;
  const text = decoded(headers['content-encoding'], body);
  if (text === undefined) return { ending: complete ? 'undecodable' : 'broken', status };
  if (idsIn(text).some((each) => each !== request.id)) return { ending: "somebody else's", status };
  const code = codeOf(text);
  if (!complete) return { ending: 'broken', status, code };
  if (status >= 400 || isErrorAtEnd(text)) return { ending: 'refused', status, code };
  const why = whatIsWrong(text, sent);
  return why === undefined ? { ending: 'answered', status } : { ending: 'wrong', status, why };
}

function decoded(coding: string | undefined, body: Buffer): string | undefined {
  try {
    return (coding === 'gzip' ? gunzipSync(body) : body).toString();
  } catch {
    return undefined;
  }
}

function whatIsWrong(text: string, sent: Sent): string | undefined {
  try {
    return sent.isWhole(text) ? undefined : `not what was asked for: ${text.slice(-200)}`;
  } catch (error) {
    return String(error);
  }
}

/** The last event of what is a stream. */
function lastEvent(text: string): string | undefined {
  return text
    .match(/^data: .*$/gm)
    ?.at(-1)
    ?.slice('data: '.length);
}

function isErrorAtEnd(text: string): boolean {
  return lastEvent(text)?.startsWith('{"error"') === true;
}

function codeOf(text: string): string | undefined {
  try {
    const { error } = JSON.parse(lastEvent(text) ?? text) as {
      readonly error?: { readonly code?: unknown };
    };
    return typeof error?.code === 'string' ? error.code : undefined;
  } catch {
    return undefined;
  }
}
