import { gzipSync } from 'node:zlib';
import { LAST_CHUNK, chunk } from '../helpers/wire.ts';
import type { Framing, Kind, Piece } from './vocabulary.ts';

const EVENTS = [
  'data: {"choices":[{"delta":{"content":"Once"},"finish_reason":null}]}\n\n',
  'data: {"choices":[{"delta":{"content":" upon"},"finish_reason":null}]}\n\n',
  'data: {"choices":[{"delta":{"content":" a"},"finish_reason":null}]}\n\n',
  'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n',
  'data: [DONE]\n\n',
];

const FLOATS = [0.5, -1, 0.25];

function embeddings(embedding: unknown): string {
  return JSON.stringify({ data: [{ embedding, index: 0, object: 'embedding' }], model: 'm' });
}

/** What the upstream says to each kind of request. */
const SAID: Readonly<Record<Kind, string>> = {
  chat: JSON.stringify({ choices: [{ message: { content: 'Once upon a time.' } }] }),
  stream: EVENTS.join(''),
  embeddings: embeddings(FLOATS),
  upload: JSON.stringify({ text: 'Once upon a time, said the recording.' }),
  billed: JSON.stringify({ images: ['iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ'] }),
  get: JSON.stringify({ data: [{ id: 'one-model' }, { id: 'another-model' }] }),
};

const REFUSAL = '{"error":"That is too much."}';

/** What the client gets of it. */
export function wholeAnswer(kind: Kind, status: number): string {
  if (status !== 200) return REFUSAL;
  if (kind !== 'embeddings') return SAID[kind];
  return embeddings(Buffer.from(Float32Array.from(FLOATS).buffer).toString('base64'));
}

/** The events that stand whole in the first half. */
export const WHOLE_EVENTS_OF_HALF = EVENTS.slice(0, 2).join('');

/** The bytes of the body that a cut leaves. */
export function cutBody(kind: Kind, framing: Framing, at: 'half' | 'end'): Buffer {
  const body = bodyOf(kind, framing);
  return body.subarray(0, at === 'half' ? halfOf(kind, body) : body.length - END_BYTES);
}

/** What a body that ends too early lacks. */
const END_BYTES = 10;

/** A piece of an answer, as it goes over the wire. */
export function render(piece: Piece, kind: Kind, framing: Framing): Buffer {
  if (typeof piece === 'object') return Buffer.from(piece.bytes, 'latin1');
  const body = bodyOf(kind, framing);
  const half = halfOf(kind, body);
  const inChunks = isChunked(kind, framing);
  const put = (bytes: Buffer): Buffer => (inChunks ? chunk(bytes) : bytes);
  const end = inChunks ? LAST_CHUNK : '';
  switch (piece) {
    case 'half a head':
      return Buffer.from('HTTP/1.1 200 OK\r\nContent-Ty');
    case 'head':
      return Buffer.from(headOf(kind, framing, body.length));
    case 'first half':
      return put(body.subarray(0, half));
    case 'second half':
      return Buffer.concat([put(body.subarray(half)), Buffer.from(end)]);
    case 'all but the end':
      return Buffer.concat([put(body.subarray(half, -END_BYTES)), Buffer.from(end)]);
    default:
      return Buffer.from(
        `HTTP/1.1 413 Too Large\r\nContent-Length: ${REFUSAL.length}\r\n\r\n${REFUSAL}`,
      );
  }
}

function bodyOf(kind: Kind, framing: Framing): Buffer {
  return framing === 'gzip' ? gzipSync(SAID[kind]) : Buffer.from(SAID[kind]);
}

/** In the middle of the third event, or of the bytes. */
function halfOf(kind: Kind, body: Buffer): number {
  const isPlainStream = kind === 'stream' && body.length === SAID.stream.length;
  return isPlainStream ? WHOLE_EVENTS_OF_HALF.length + 9 : Math.floor(body.length / 2);
}

function isChunked(kind: Kind, framing: Framing): boolean {
  return framing === 'chunked' || framing === 'gzip' || (framing === 'usual' && kind === 'stream');
}

function headOf(kind: Kind, framing: Framing, bytes: number): string {
  const lines = ['HTTP/1.1 200 OK'];
  lines.push(`Content-Type: ${kind === 'stream' ? 'text/event-stream' : 'application/json'}`);
  if (framing === 'gzip') lines.push('Content-Encoding: gzip');
  // Too short: it ends where the first half does.
  const half = cutBody(kind, framing, 'half').length;
  const lengths = { usual: bytes, 'too long': bytes + END_BYTES, 'too short': half };
  lines.push(
    framing === 'chunked' || framing === 'gzip' || isChunked(kind, framing)
      ? 'Transfer-Encoding: chunked'
      : `Content-Length: ${lengths[framing]}`,
  );
  return [...lines, '', ''].join('\r\n');
}
