import type { Fault, RecordedCall } from '../../examples/stand-in-venice.ts';
import { idFor } from '../../examples/stand-in-venice/chat.ts';
import { createEmbeddings } from '../../examples/stand-in-venice/embeddings.ts';

/** One kind of request of the mixture. */
export interface Kind {
  readonly name: string;
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly type?: string;
  /** The marker comes back in the answer, so that nobody can get somebody else's unnoticed. */
  body?(marker: string, model: string): string | Buffer;
  readonly isStream?: boolean;
  /** Billed by the call: to be done once at most. */
  readonly isBilled?: boolean;
  /** Whether the answer is this request's own: nobody else's looks like it. */
  isOwn?(answer: string, marker: string, model: string): boolean;
}

const JSON_TYPE = 'application/json';
const BOUNDARY = 'soak-boundary';
const DIMENSIONS = 64;

const hasMarker = (answer: string, marker: string): boolean => answer.includes(marker);

/** The stand-in tells how much it was sent: no two requests that are near in time send as much. */
function uploadOf(marker: string): Buffer {
  const id = Number.parseInt(/^marker-(\w+)-end$/.exec(marker)?.[1] ?? '', 36);
  const head = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n`;
  const end = `\r\n--${BOUNDARY}--\r\n`;
  return Buffer.concat([
    Buffer.from(head),
    Buffer.alloc(200_000 + (id % 50_000), 170),
    Buffer.from(end),
  ]);
}

/** The stand-in makes the same vector of the same text each time. */
function vectorOf(marker: string, model: string): string {
  const body = { model, input: marker, encoding_format: 'base64', dimensions: DIMENSIONS };
  const { pieces } = createEmbeddings(body);
  return /"embedding":"([^"]+)"/.exec(Buffer.concat([...pieces]).toString())?.[1] ?? 'no vector';
}
const chat = (marker: string, model: string, more: object): string =>
  JSON.stringify({ model, messages: [{ role: 'user', content: marker }], ...more });

export const KINDS: readonly Kind[] = [
  {
    name: 'chat',
    method: 'POST',
    path: '/chat/completions',
    type: JSON_TYPE,
    body: (marker, model) => chat(marker, model, { logprobs: true }),
    isOwn: hasMarker,
  },
  {
    name: 'stream',
    method: 'POST',
    path: '/chat/completions',
    type: JSON_TYPE,
    body: (marker, model) => chat(marker, model, { stream: true, thinking: true }),
    isStream: true,
    isOwn: hasMarker,
  },
  {
    name: 'embeddings',
    method: 'POST',
    path: '/embeddings',
    type: JSON_TYPE,
    body: (marker, model) =>
      JSON.stringify({
        model,
        input: marker,
        encoding_format: 'base64',
        dimensions: DIMENSIONS,
      }),
    isOwn: (answer, marker, model) => answer.includes(vectorOf(marker, model)),
  },
  {
    name: 'upload',
    method: 'POST',
    path: '/audio/transcriptions',
    type: `multipart/form-data; boundary=${BOUNDARY}`,
    body: uploadOf,
    isBilled: true,
    isOwn: (answer, marker) => answer.includes(`"bytes":${uploadOf(marker).length}`),
  },
  {
    name: 'image',
    method: 'POST',
    path: '/image/generate',
    type: JSON_TYPE,
    body: (marker, model) => JSON.stringify({ model, prompt: marker }),
    isBilled: true,
    isOwn: (answer, marker) => answer.includes(idFor('generate-image', marker)),
  },
  { name: 'models', method: 'GET', path: '/models' },
];

/** What can go wrong, how often in a hundred requests, and whether it strikes once or always. */
export interface Trouble {
  readonly name: string;
  readonly percent: number;
  readonly fault?: Fault;
  readonly always?: boolean;
  /** What the client does. */
  readonly client?:
    | 'leaves in the upload'
    | 'leaves early'
    | 'leaves in the answer'
    | 'reads slowly';
}

export const TROUBLES: readonly Trouble[] = [
  { name: '503', percent: 3, fault: { kind: 'answer', status: 503 } },
  { name: '500', percent: 2, fault: { kind: 'answer', status: 500 } },
  { name: '400 each time', percent: 1, fault: { kind: 'answer', status: 400 }, always: true },
  { name: 'overloaded', percent: 2, fault: { kind: 'overloaded' } },
  { name: 'reset before the answer', percent: 2, fault: { kind: 'reset', after: 'body' } },
  { name: 'reset behind the head', percent: 1, fault: { kind: 'reset-after-head' } },
  { name: 'cut in the body', percent: 2, fault: { kind: 'cut-body', bytes: 40 } },
  { name: 'stream cut', percent: 2, fault: { kind: 'cut-stream', afterEvents: 3 } },
  { name: 'stream ends early', percent: 1, fault: { kind: 'end-stream-early', afterEvents: 3 } },
  { name: 'silence', percent: 1, fault: { kind: 'silent' } },
  { name: 'silence in the body', percent: 1, fault: { kind: 'head-then-silent' } },
  { name: 'garbage', percent: 1, fault: { kind: 'raw', bytes: 'no HTTP at all\r\n\r\n' } },
  {
    name: 'broken gzip',
    percent: 1,
    fault: { kind: 'cut-body', bytes: 30, compress: 'gzip', ending: 'end' },
  },
  {
    name: 'kept connection closed',
    percent: 3,
    fault: { kind: 'ok', afterwards: 'reset' },
  },
  {
    name: 'refused field',
    percent: 2,
    fault: { kind: 'unknown-field', field: 'thinking', shape: 'zod' },
  },
  { name: 'client leaves in the upload', percent: 2, client: 'leaves in the upload' },
  { name: 'client leaves early', percent: 3, client: 'leaves early' },
  { name: 'client leaves in the answer', percent: 3, client: 'leaves in the answer' },
  { name: 'client reads slowly', percent: 2, client: 'reads slowly' },
];

/** Says in a header which trouble a request is to meet. */
export const TROUBLE_HEADER = 'x-soak-trouble';
export const ID_HEADER = 'x-soak-id';

/** What the upstream has seen of one request. */
export interface Seen {
  calls: number;
  /** Of these, the ones that may have done what was asked for. */
  perhapsDone: number;
}

/** Makes the calls meet their troubles, and keeps count of them. */
export class Account {
  readonly seen = new Map<string, Seen>();
  /** Calls that have not ended. */
  open = 0;
  /** Calls of which a part of the body only has arrived. */
  cutUploads = 0;

  readonly onCall = (call: RecordedCall): Fault | undefined => {
    const id = String(call.headers[ID_HEADER]);
    const seen = this.seen.get(id) ?? { calls: 0, perhapsDone: 0 };
    this.seen.set(id, seen);
    seen.calls += 1;
    this.open += 1;
    void this.#noteEnd(call, seen);
    const trouble = TROUBLES.find(({ name }) => name === call.headers[TROUBLE_HEADER]);
    return trouble?.always === true || seen.calls === 1 ? trouble?.fault : undefined;
  };

  async #noteEnd(call: RecordedCall, seen: Seen): Promise<void> {
    await call.over;
    this.open -= 1;
    const length = Number(call.headers['content-length'] ?? 0);
    if (call.bodyBytes < length) this.cutUploads += 1;
    const isRefused = call.status === 429 || call.status === 503;
    if (!isRefused) seen.perhapsDone += 1;
  }
}
