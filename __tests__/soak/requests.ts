import { createHash, randomBytes } from 'node:crypto';
import { idFor } from '../../examples/stand-in-venice/chat.ts';
import { createEmbeddings } from '../../examples/stand-in-venice/embeddings.ts';
import type { ReplayClass } from '../../lib/replay-policy.ts';
import type { Trouble } from './troubles.ts';

/** One request of the mixture. */
export interface SoakRequest {
  readonly id: string;
  readonly key: string;
  readonly model: string;
  readonly kind: Kind;
  readonly trouble: Trouble | undefined;
}

/** Whether the upstream stops reading its calls in the middle, without hearing any more of them. */
export function isUnread({ trouble }: Pick<SoakRequest, 'trouble'>): boolean {
  return trouble?.fault?.kind === 'stall-upload';
}

/** Stands in each request, in what the upstream hears and answers of it, and in the log. */
export function markerOf(id: string): string {
  return `marker-${id}-end`;
}

/** Every id whose marker stands in a text. */
export function idsIn(text: string): string[] {
  return [...text.matchAll(/marker-(\w+)-end/g)].map(([, id = '']) => id);
}

/** What is sent, and how its answer is known. */
export interface Sent {
  readonly body?: string | Buffer;
  /** Whether this is all of the answer, and nothing else. */
  isWhole(answer: string): boolean;
}

/** One kind of request. */
export interface Kind {
  readonly name: string;
  readonly method: 'GET' | 'POST';
  readonly type?: string;
  /** As the table of the proxy has it. */
  readonly replay: ReplayClass;
  /** In a hundred requests. */
  readonly percent: number;
  path(marker: string): string;
  make(marker: string, model: string): Sent;
}

const JSON_TYPE = 'application/json';
/** The stand-in counts and hashes whatever comes here, and tells it. */
const echo = (marker: string): string => `/stand-in/echo/${marker}`;
const VECTOR = 64;
const UPLOAD_BYTES = 200_000;
const LONG_WORDS = 700_000;

/** The marker makes it another id with the same window. */
const marked = (model: string, marker: string): string => `${model}:soak=${marker}`;

/** So many fields are refused that some are always new: what was learnt of them is bounded. */
const NULLS = 300;
export const REFUSED_FIELDS: Readonly<Record<string, 'zod' | 'extra'>> = Object.fromEntries(
  Array.from({ length: NULLS }, (_, n) => [`maybe_${n}`, n % 2 === 0 ? 'zod' : 'extra']),
);

/** Decided by the marker, so that the same request is always the same. */
function refusedField(marker: string): Readonly<Record<string, null>> {
  const [byte = 0, more = 0] = createHash('sha256').update(marker).digest();
  return byte < 40 ? { [`maybe_${(more * 7) % NULLS}`]: null } : {};
}

function chat(marker: string, model: string, more: object): Sent {
  const named = marked(model, marker);
  const messages = [{ role: 'user', content: marker }];
  const asked = { model: named, messages, input: marker, ...refusedField(marker), ...more };
  const isWhole = (answer: string): boolean => {
    const { model: from, choices } = JSON.parse(answer) as ChatAnswer;
    return from === named && choices[0]?.message?.content === heard(marker);
  };
  return { body: JSON.stringify(asked), isWhole };
}

const heard = (marker: string): string => `The stand-in for Venice heard: ${marker}`;

interface ChatAnswer {
  readonly model: string;
  readonly choices: readonly {
    readonly message?: { readonly content: string };
    readonly delta?: { readonly content?: string };
  }[];
}

/** What stands in the events of a stream; comments are left out. */
function eventsOf(answer: string): string[] {
  return [...answer.matchAll(/^data: (.*)$/gm)].map(([, data = '']) => data);
}

function isWholeChat(answer: string, named: string, text: string): boolean {
  const events = eventsOf(answer);
  if (events.pop() !== '[DONE]') return false;
  const chunks = events.map((event) => JSON.parse(event) as ChatAnswer);
  const said = chunks.map(({ choices }) => choices[0]?.delta?.content ?? '').join('');
  return said === text && chunks.every(({ model }) => model === named);
}

interface ResponseEvent {
  readonly type: string;
  readonly delta?: string;
  readonly response?: { readonly model: string };
}

function isWholeResponse(answer: string, named: string, text: string): boolean {
  const events = eventsOf(answer).map((event) => JSON.parse(event) as ResponseEvent);
  const said = events.map(({ type, delta }) => (type.endsWith('text.delta') ? delta : ''));
  const last = events.at(-1);
  return (
    last?.type === 'response.completed' && last.response?.model === named && said.join('') === text
  );
}

function embeddings(marker: string, model: string): Sent {
  const named = marked(model, marker);
  const asked = { model: named, input: marker, encoding_format: 'base64', dimensions: VECTOR };
  const isWhole = (answer: string): boolean => {
    const { model: from, data } = JSON.parse(answer) as EmbeddingsAnswer;
    // The stand-in gives the same text the same vector each time.
    const wanted = Buffer.concat([...createEmbeddings(asked).pieces]).toString();
    const [vector] = (JSON.parse(wanted) as EmbeddingsAnswer).data;
    return from === named && data.length === 1 && data[0]?.embedding === vector?.embedding;
  };
  return { body: JSON.stringify(asked), isWhole };
}

interface EmbeddingsAnswer {
  readonly model: string;
  readonly data: readonly { readonly embedding: unknown }[];
}

function upload(marker: string): Sent {
  const body = randomBytes(UPLOAD_BYTES);
  const wanted = createHash('sha256').update(body).digest('hex');
  const isWhole = (answer: string): boolean => {
    const { url, sha256 } = JSON.parse(answer) as { readonly url: string; readonly sha256: string };
    return url.endsWith(echo(marker)) && sha256 === wanted;
  };
  return { body, isWhole };
}

function image(marker: string, model: string): Sent {
  const asked = { model: marked(model, marker), prompt: marker };
  const isWhole = (answer: string): boolean => {
    const { id, images } = JSON.parse(answer) as {
      readonly id: string;
      readonly images: readonly string[];
    };
    return id === idFor('generate-image', marker) && images.length === 1;
  };
  return { body: JSON.stringify(asked), isWhole };
}

function rpc(marker: string): Sent {
  const isWhole = (answer: string): boolean =>
    (JSON.parse(answer) as { readonly id: string }).id === marker;
  return { body: JSON.stringify({ id: marker }), isWhole };
}

/** What is asked for; `percent` adds up to 100. */
export const KINDS: readonly Kind[] = [
  {
    name: 'chat',
    method: 'POST',
    type: JSON_TYPE,
    replay: 'always',
    percent: 30.5,
    path: () => '/chat/completions',
    make: (marker, model) => chat(marker, model, { logprobs: true }),
  },
  {
    name: 'chat stream',
    method: 'POST',
    type: JSON_TYPE,
    replay: 'always',
    percent: 22,
    path: () => '/chat/completions',
    make: (marker, model) => ({
      ...chat(marker, model, { stream: true }),
      isWhole: (answer) => isWholeChat(answer, marked(model, marker), heard(marker)),
    }),
  },
  {
    name: 'responses stream',
    method: 'POST',
    type: JSON_TYPE,
    replay: 'always',
    percent: 8,
    path: () => '/responses',
    make: (marker, model) => ({
      ...chat(marker, model, { stream: true }),
      isWhole: (answer) => isWholeResponse(answer, marked(model, marker), heard(marker)),
    }),
  },
  {
    name: 'long chat, 8 MB',
    method: 'POST',
    type: JSON_TYPE,
    replay: 'always',
    percent: 0.5,
    path: () => '/chat/completions',
    make: (marker, model) => ({
      ...chat(marker, model, { x_words: LONG_WORDS }),
      isWhole: (answer) => {
        const { choices } = JSON.parse(answer) as ChatAnswer;
        return choices[0]?.message?.content.endsWith(` word${LONG_WORDS - 1}`) === true;
      },
    }),
  },
  {
    name: 'embeddings, converted',
    method: 'POST',
    type: JSON_TYPE,
    replay: 'always',
    percent: 10,
    path: () => '/embeddings',
    make: embeddings,
  },
  {
    name: 'upload, 200 kB',
    method: 'POST',
    type: 'multipart/form-data; boundary=x',
    replay: 'refused-only',
    percent: 8,
    path: echo,
    make: upload,
  },
  {
    name: 'image, billed',
    method: 'POST',
    type: JSON_TYPE,
    replay: 'refused-only',
    percent: 8,
    path: () => '/image/generate',
    make: image,
  },
  {
    name: 'rpc, never replayed',
    method: 'POST',
    type: JSON_TYPE,
    replay: 'never',
    percent: 3,
    path: (marker) => `/crypto/rpc/${marker}`,
    make: rpc,
  },
  {
    name: 'GET',
    method: 'GET',
    replay: 'always',
    percent: 10,
    path: echo,
    make: (marker) => ({
      isWhole: (answer) =>
        (JSON.parse(answer) as { readonly url: string }).url.endsWith(echo(marker)),
    }),
  },
];
