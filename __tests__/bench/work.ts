import { seededFloats } from './seeded-floats.ts';

/** What the upstream is to do with a request; it finds the word in the model's name. */
export type Manner = 'json' | 'stream' | 'slow' | 'embed' | 'crowd';

/** One kind of request, and what has to become of it. */
export interface Work {
  readonly name: string;
  readonly title: string;
  readonly path: string;
  readonly contentType: string;
  readonly body: Buffer;
  /** What has to arrive upstream: the very bytes of the body, where nothing is to be changed. */
  readonly forwarded: Buffer;
  /** What the upstream answers. */
  readonly answer: Buffer;
  /** What has to arrive at the client. */
  readonly relayed: Buffer;
  /** Requests under way at once when nothing holds the generator back. */
  readonly concurrency: number;
  /** Requests a second at a moderate load. */
  readonly rate: number;
  /** The load under which processor time a request is the same work for every subject. */
  readonly costAt: 'saturation' | 'moderate';
}

/** Events of a stream, `[DONE]` not counted. */
export const STREAM_EVENTS = 200;
/** A stream's pace when it is not measured how much one process can carry. */
export const EVENT_EVERY_MS = 2;
/** Pace of the streams that stay open. */
export const SLOW_EVENT_EVERY_MS = 100;

/** Where an event tells when it was written: microseconds of the system's monotonic clock. */
export const STAMP = '"at":"0000000000000000"';
/** Finds it, whatever it tells. */
export const STAMP_PATTERN = /"at":"\d{16}"/g;

/** Microseconds of a clock that all processes of this machine share. */
export function clockUs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1_000_000 + Math.floor(nanoseconds / 1_000);
}

const JSON_TYPE = 'application/json';

function chatBody(manner: Manner, length: number, extra: object = {}): Buffer {
  const body = (text: string): string =>
    JSON.stringify({
      model: `bench-${manner}`,
      ...extra,
      messages: [
        { role: 'system', content: 'You are a helpful assistant. Answer briefly.' },
        { role: 'user', content: text },
      ],
      temperature: 0.7,
      max_tokens: 512,
    });
  return Buffer.from(body(prose(length - body('').length)));
}

/** Text as people send it: with line ends and quotes, which JSON has to escape. */
function prose(length: number): string {
  const sentence =
    'The quick brown fox said: "Why is the sky blue?"\nNobody knew; perhaps the sea. ';
  let text = '';
  // What JSON makes of it counts, not what it is.
  for (let escaped = 0; escaped < length;) {
    const char = sentence[text.length % sentence.length] ?? '';
    escaped += char === '"' || char === '\n' ? 2 : 1;
    if (escaped <= length) text += char;
    else break;
  }
  return text;
}

function answerOf(content: string): string {
  return JSON.stringify({
    id: 'chatcmpl-8f1c2d3e4b5a69788776655443322110',
    object: 'chat.completion',
    created: 1_767_225_600,
    model: 'llama-3.3-70b',
    choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 120, completion_tokens: 180, total_tokens: 300 },
  });
}

function chatAnswer(length: number): Buffer {
  return Buffer.from(answerOf(prose(length - answerOf('').length)));
}

function event(delta: object, finishReason: string | null): string {
  const data = JSON.stringify({
    id: 'chatcmpl-8f1c2d3e4b5a69788776655443322110',
    object: 'chat.completion.chunk',
    created: 1_767_225_600,
    model: 'llama-3.3-70b',
    choices: [{ index: 0, delta, finish_reason: finishReason }],
  });
  return `data: {${STAMP},${data.slice(1)}\n\n`;
}

/** The event that the upstream writes again and again. */
export const WORD_EVENT = event({ content: ' word' }, null);
/** What a stream ends with. */
export const LAST_EVENTS = `${event({}, 'stop')}data: [DONE]\n\n`;

const STREAM = Buffer.from(WORD_EVENT.repeat(STREAM_EVENTS - 1) + LAST_EVENTS);

function embeddings(vector: (floats: readonly number[]) => unknown): Buffer {
  const data = Array.from({ length: 16 }, (_, index) => ({
    object: 'embedding',
    index,
    embedding: vector(seededFloats(index, 1_024)),
  }));
  return Buffer.from(
    JSON.stringify({
      object: 'list',
      data,
      model: 'text-embedding-bge-m3',
      usage: { prompt_tokens: 64, total_tokens: 64 },
    }),
  );
}

function embeddingsBody(encodingFormat: string): Buffer {
  return Buffer.from(
    JSON.stringify({
      model: 'bench-embed',
      input: Array.from({ length: 16 }, (_, index) => `Sentence ${index}: ${prose(80)}`),
      encoding_format: encodingFormat,
    }),
  );
}

function upload(length: number): Buffer {
  const head =
    '--bench\r\nContent-Disposition: form-data; name="model"\r\n\r\nbench-json\r\n' +
    '--bench\r\nContent-Disposition: form-data; name="file"; filename="speech.wav"\r\n' +
    'Content-Type: audio/wav\r\n\r\n';
  return Buffer.concat([
    Buffer.from(head),
    Buffer.alloc(length, 0x5a),
    Buffer.from('\r\n--bench--\r\n'),
  ]);
}

const ONE_KB = chatAnswer(1_000);
/** Where chat goes, and as what. */
export const CHAT = { path: '/chat/completions', contentType: JSON_TYPE } as const;

/** Nothing is changed on the way. */
function carried(body: Buffer, answer: Buffer) {
  return { body, forwarded: body, answer, relayed: answer };
}

/** Work that goes through in the same way all the time. */
export function createWork(): Work[] {
  const dropped = { logprobs: true };
  return [
    {
      name: 'chat',
      title: 'chat, 600 bytes, answered with 1 kB',
      ...CHAT,
      ...carried(chatBody('json', 600), ONE_KB),
      concurrency: 32,
      rate: 200,
      costAt: 'saturation',
    },
    {
      name: 'chat-drop',
      title: 'the same with a parameter to drop',
      ...CHAT,
      ...carried(chatBody('json', 600), ONE_KB),
      body: chatBody('json', 616, dropped),
      concurrency: 32,
      rate: 200,
      costAt: 'saturation',
    },
    {
      name: 'stream',
      title: `a stream of ${STREAM_EVENTS} events`,
      ...CHAT,
      ...carried(chatBody('stream', 600, { stream: true }), STREAM),
      concurrency: 64,
      rate: 40,
      costAt: 'moderate',
    },
    {
      name: 'big',
      title: 'chat, 1 MB',
      ...CHAT,
      ...carried(chatBody('json', 1_000_000), ONE_KB),
      concurrency: 4,
      rate: 15,
      costAt: 'saturation',
    },
    {
      name: 'big-drop',
      title: 'chat, 1 MB, with a parameter to drop',
      ...CHAT,
      ...carried(chatBody('json', 1_000_000), ONE_KB),
      body: chatBody('json', 1_000_016, dropped),
      concurrency: 4,
      rate: 15,
      costAt: 'saturation',
    },
    {
      name: 'embeddings',
      title: 'embeddings, 16 × 1024 floats wanted as base64',
      path: '/embeddings',
      contentType: JSON_TYPE,
      body: embeddingsBody('base64'),
      forwarded: embeddingsBody('float'),
      answer: embeddings((floats) => floats),
      relayed: embeddings((floats) =>
        Buffer.from(Float32Array.from(floats).buffer).toString('base64'),
      ),
      concurrency: 4,
      rate: 15,
      costAt: 'saturation',
    },
    {
      name: 'upload',
      title: 'an upload of 25 MB',
      path: '/audio/transcriptions',
      contentType: 'multipart/form-data; boundary=bench',
      ...carried(upload(25_000_000), ONE_KB),
      concurrency: 2,
      rate: 2,
      costAt: 'saturation',
    },
  ];
}

/** Streams that stay open while others come and go. */
export const SLOW_BODY = chatBody('slow', 600, { stream: true });
/** Requests that nobody may send on before a window resets. */
export const CROWD_BODY = chatBody('crowd', 600);
/** What they are answered with in the end. */
export const CROWD_ANSWER = ONE_KB;
