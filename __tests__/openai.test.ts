import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import OpenAI, {
  APIError,
  APIUserAbortError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  PermissionDeniedError,
  RateLimitError,
  UnprocessableEntityError,
  toFile,
} from 'openai';
import type { Fault } from '../examples/stand-in-venice.ts';
import { deserted, startFront } from './helpers/scene.ts';
import { sdkFor, startSdk } from './helpers/start-sdk.ts';
import type { SdkSetUp } from './helpers/start-sdk.ts';

const MODEL = 'llama-3.3-70b';
const QUESTION = {
  model: MODEL,
  messages: [{ role: 'user' as const, content: 'Why is the sky blue?' }],
};
const TOOLS = [
  {
    type: 'function' as const,
    function: {
      name: 'look_up',
      parameters: { type: 'object', properties: { query: { type: 'string' } } },
    },
  },
];
/** What the stand-in understands beside the API's own parameters. */
const COMMENTS = { x_comments: true };
const EMBEDDED = { model: 'text-embedding-bge-m3', input: ['The sea.', 'Das Meer, größer.'] };

type ErrorClass = new (...args: never[]) => APIError;

/** The error that a call must end with. */
async function errorOf(call: Promise<unknown>): Promise<APIError> {
  const outcome: unknown = await call.then(
    (value) => ({ value }),
    (error: unknown) => error,
  );
  if (outcome instanceof APIError) return outcome;
  throw new Error(`Expected an APIError, got ${String(outcome)}`, { cause: outcome });
}

async function textOf(stream: AsyncIterable<OpenAI.ChatCompletionChunk>): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
  return text;
}

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const collected: Item[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

describe('chat', () => {
  test('is what the upstream says itself', async () => {
    const { client, direct, venice } = await startSdk();
    const answer = await client.chat.completions.create(QUESTION);
    expect(answer.choices[0]?.message.content).toContain('Why is the sky blue?');
    expect(venice.calls).toHaveLength(1);
    expect(JSON.parse(venice.calls[0]?.body.toString() ?? '')).toEqual(QUESTION);
    expect(venice.calls[0]?.headers.authorization).toBe('Bearer sdk-key');
    expect(answer).toEqual(await direct.chat.completions.create(QUESTION));
  });

  test('loses the parameters that Venice refuses, and says so', async () => {
    const { client, venice } = await startSdk({
      standIn: { refuseFields: { prompt_cache_key: 'zod', logprobs: 'extra' } },
    });
    const { response } = await client.chat.completions
      .create({ ...QUESTION, prompt_cache_key: 'mine', logprobs: true })
      .withResponse();
    expect(response.headers.get('x-venice-proxy-dropped')).toBe('prompt_cache_key, logprobs');
    expect(JSON.parse(venice.calls[0]?.body.toString() ?? '')).toEqual(QUESTION);
  });

  test('streams the words of the whole answer', async () => {
    const { client, direct } = await startSdk();
    const chunks = await collect(
      await client.chat.completions.create({ ...QUESTION, stream: true }),
    );
    const expected = await direct.chat.completions.create({ ...QUESTION, stream: true });
    expect(chunks).toEqual(await collect(expected));
    expect(chunks.length).toBeGreaterThan(5);
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe('stop');
  });

  test('streams each chunk while the next is not there yet', async () => {
    const { client, venice } = await startSdk();
    venice.script({ kind: 'stall-stream', afterEvents: 4 });
    const stream = await client.chat.completions.create({ ...QUESTION, stream: true });
    const words: string[] = [];
    for await (const chunk of stream) {
      words.push(chunk.choices[0]?.delta.content ?? '');
      if (words.length === 4) break;
    }
    // The upstream has said nothing beyond these, and never will.
    expect(words).toEqual(['', 'The ', 'stand-in ', 'for ']);
    expect(venice.calls[0]?.finished).toBe(false);
  });

  test('streams through comments, with usage at the end', async () => {
    const { client } = await startSdk();
    const body = { ...QUESTION, stream: true, stream_options: { include_usage: true } } as const;
    const stream = await client.chat.completions.create({
      ...body,
      ...COMMENTS,
    });
    const chunks = await collect(stream);
    expect(chunks.at(-1)?.usage?.total_tokens).toBeGreaterThan(0);
  });

  test('calls tools in a stream, arguments piece by piece', async () => {
    const { client, venice } = await startSdk();
    const stream = client.chat.completions.stream({ ...QUESTION, tools: TOOLS });
    const pieces: string[] = [];
    stream.on('tool_calls.function.arguments.delta', ({ arguments_delta }) => {
      pieces.push(arguments_delta);
    });
    const { choices } = await stream.finalChatCompletion();
    const [call] = choices[0]?.message.tool_calls ?? [];
    expect(choices[0]?.finish_reason).toBe('tool_calls');
    expect(call).toMatchObject({ type: 'function', function: { name: 'look_up' } });
    expect(pieces.length).toBeGreaterThan(2);
    expect(JSON.parse(pieces.join(''))).toEqual({ query: 'Why is the sky blue?', unit: 'metric' });
    expect(venice.calls).toHaveLength(1);
  });
});

describe('embeddings', () => {
  const codings = [false, 'gzip', 'br', 'deflate'] as const;
  test.each(codings)(
    'are the floats of the upstream, every bit (compressed: %s)',
    async (compress) => {
      const { client, direct, venice } = await startSdk({ standIn: { compress } });
      const { data, usage } = await client.embeddings.create(EMBEDDED);
      const expected = await direct.embeddings.create({ ...EMBEDDED, encoding_format: 'float' });

      const [asked] = venice.calls;
      expect(JSON.parse(asked?.body.toString() ?? '')).toEqual({
        ...EMBEDDED,
        encoding_format: 'float',
      });
      expect(usage).toEqual(expected.usage);
      expect(data).toHaveLength(2);
      for (const [place, { embedding }] of data.entries()) {
        const floats = Float32Array.from(expected.data[place]?.embedding ?? []);
        expect(embedding).toHaveLength(1024);
        // As the SDK decodes float32, each must be the float32 next to what the upstream printed.
        expect(embedding.every((value, at) => Object.is(value, floats[at]))).toBe(true);
      }
    },
  );

  test('are numbers for who asks for float', async () => {
    const { client, direct } = await startSdk();
    const asked = { ...EMBEDDED, encoding_format: 'float' as const };
    expect(await client.embeddings.create(asked)).toEqual(await direct.embeddings.create(asked));
  });

  test('are base64 for who asks for base64, the same as from an upstream that knows it', async () => {
    const { client, direct, venice } = await startSdk();
    const asked = { ...EMBEDDED, encoding_format: 'base64' as const };
    const { data } = await client.embeddings.create(asked);
    expect(venice.calls[0]?.body.toString()).toContain('"encoding_format":"float"');
    expect(data.map(({ embedding }) => typeof embedding)).toEqual(['string', 'string']);
    expect(data).toEqual((await direct.embeddings.create(asked)).data);
  });
});

describe('models', () => {
  test('are listed as the upstream lists them', async () => {
    const { client, direct } = await startSdk();
    const page = await client.models.list();
    expect(page.data.map(({ id }) => id)).toContain(MODEL);
    expect(page.data).toEqual((await direct.models.list()).data);
  });

  test('come page by page, with the query that was asked', async () => {
    const { client, venice } = await startSdk();
    const ids = await collect(client.models.list({ query: { type: 'all' } }));
    expect(ids.map(({ id }) => id)).toEqual(expect.arrayContaining([MODEL, 'tts-kokoro']));
    const page = await client.models.list({ query: { type: 'all' } });
    expect(page.hasNextPage()).toBe(false);
    expect(venice.calls.map(({ url }) => url)).toEqual(
      Array.from({ length: 2 }, () => '/api/v1/models?type=all'),
    );
  });
});

describe('media', () => {
  test('images come as the upstream makes them', async () => {
    const { client, direct } = await startSdk();
    const asked = { model: 'venice-sd35', prompt: 'A lighthouse.' };
    const { data } = await client.images.generate(asked);
    const image = Buffer.from(data?.[0]?.b64_json ?? '', 'base64');
    expect(image.subarray(1, 4).toString()).toBe('PNG');
    expect(data).toEqual((await direct.images.generate(asked)).data);
  });

  test('speech is the same bytes', async () => {
    const { client, direct } = await startSdk();
    const asked = { model: 'tts-kokoro', voice: 'af_sky', input: 'Hello.' };
    const bytes = async (sdk: OpenAI): Promise<Buffer> =>
      Buffer.from(await (await sdk.audio.speech.create(asked)).arrayBuffer());
    const spoken = await bytes(client);
    expect(spoken.length).toBeGreaterThan(1_000);
    expect(spoken.equals(await bytes(direct))).toBe(true);
  });

  test('an upload arrives whole', async () => {
    const { client, venice } = await startSdk();
    const sound = Buffer.from(Array.from({ length: 300_000 }, (_, place) => (place * 31) % 256));
    const { text } = await client.audio.transcriptions.create({
      model: 'openai/whisper-large-v3',
      file: await toFile(sound, 'sound.wav'),
    });
    const [call] = venice.calls;
    expect(venice.calls).toHaveLength(1);
    expect(call?.headers['content-type']).toMatch(/^multipart\/form-data; boundary=/);
    expect(call?.body.includes(sound)).toBe(true);
    expect(text).toBe(`The stand-in for Venice received ${call?.bodyBytes} bytes.`);
  });
});

describe('responses', () => {
  const asked = { model: MODEL, input: 'Why is the sky blue?' };

  test('are what the upstream says itself', async () => {
    const { client, direct } = await startSdk();
    const response = await client.responses.create(asked);
    expect(response.output_text).toContain('Why is the sky blue?');
    expect(response).toEqual(await direct.responses.create(asked));
  });

  test('stream every event', async () => {
    const { client, direct } = await startSdk();
    const events = await collect(await client.responses.create({ ...asked, stream: true }));
    const expected = await direct.responses.create({ ...asked, stream: true });
    expect(events.at(-1)?.type).toBe('response.completed');
    expect(events).toEqual(await collect(expected));
  });
});

describe('a client that leaves', () => {
  test('in the middle of a stream ends the upstream call', async () => {
    const { client, venice, recorder } = await startSdk();
    venice.script({ kind: 'stall-stream', afterEvents: 2 });
    const stream = await client.chat.completions.create({ ...QUESTION, stream: true });
    for await (const chunk of stream) {
      expect(chunk.model).toBe(MODEL);
      stream.controller.abort();
    }
    await venice.calls[0]?.over;
    expect(venice.calls.map(({ aborted }) => aborted)).toEqual([true]);
    expect(await recorder.ended()).toMatchObject({ outcome: 'client_left', attempts: 1 });
  });

  test('before the answer ends the upstream call', async () => {
    const { client, venice } = await startSdk();
    venice.script({ kind: 'silent' });
    const controller = new AbortController();
    const { signal } = controller;
    const failing = errorOf(client.chat.completions.create(QUESTION, { signal }));
    const call = await venice.arrived(1);
    controller.abort();
    await call.over;
    expect(call.aborted).toBe(true);
    expect(await failing).toBeInstanceOf(APIUserAbortError);
    expect(venice.calls).toHaveLength(1);
  });

  test('during a wait causes no further call', async () => {
    const { client, venice, proxy, recorder } = await startSdk();
    venice.script({ kind: 'rate-limited', resetMs: 200 });
    const controller = new AbortController();
    const { signal } = controller;
    const failing = errorOf(client.chat.completions.create(QUESTION, { signal }));
    await recorder.retried(1);
    controller.abort();
    expect(await failing).toBeInstanceOf(APIUserAbortError);
    expect(await recorder.ended()).toMatchObject({ outcome: 'client_left', attempts: 1 });
    expect(proxy.inFlight).toBe(0);
    // The wait that nobody waits for any more would be over by then.
    await sleep(2 * Math.max(...recorder.delays));
    expect(venice.calls).toHaveLength(1);
  });
});

describe('a rate limit, a failure and a lost connection in a row', () => {
  const asking: readonly (readonly [string, (client: OpenAI) => Promise<unknown>])[] = [
    ['chat', (client) => client.chat.completions.create(QUESTION)],
    [
      'a stream',
      async (client) => textOf(await client.chat.completions.create({ ...QUESTION, stream: true })),
    ],
    ['embeddings', async (client) => (await client.embeddings.create(EMBEDDED)).data],
    ['a response', (client) => client.responses.create({ model: MODEL, input: 'Hello.' })],
  ];
  test.each(asking)('are not seen by who asks for %s', async (_what, ask) => {
    const { client, venice, recorder } = await startSdk();
    const undisturbed = await ask(client);
    venice.script(
      { kind: 'rate-limited', resetMs: 250 },
      {
        kind: 'answer',
        status: 503,
        body: { error: 'The model is at capacity.', code: 'MODEL_AT_CAPACITY' },
        // On a kept connection the reset would be taken for its belated end.
        headers: { connection: 'close' },
      },
      { kind: 'reset', after: 'body' },
    );
    expect(await ask(client)).toEqual(undisturbed);

    expect(venice.calls.slice(1).map(({ status }) => status)).toEqual([429, 503, undefined, 200]);
    expect(
      recorder.retries.map(({ attempt, status, reason }) => [attempt, status, reason]),
    ).toEqual([
      [1, 429, 'rate limit'],
      [2, 503, 'status 503'],
      [3, undefined, 'no answer'],
    ]);
    const [limited, failed, lost] = recorder.delays;
    // A window that has just ended is given the second by which its stamp may be wrong.
    expect(limited).toBeGreaterThan(0);
    expect(limited).toBeLessThanOrEqual(1_000);
    expect(failed).toBeLessThanOrEqual(2);
    expect(lost).toBeLessThanOrEqual(4);
    await recorder.ended(2);
    expect(recorder.answers.map(({ attempts, status }) => [attempts, status])).toEqual([
      [1, 200],
      [4, 200],
    ]);
  });
});

describe('an error that stands', () => {
  const standing: readonly (readonly [number, ErrorClass, string])[] = [
    [400, BadRequestError, 'invalid_request'],
    [401, AuthenticationError, 'invalid_api_key'],
    [402, APIError, 'insufficient_balance'],
    [403, PermissionDeniedError, 'forbidden'],
    [404, NotFoundError, 'model_not_found'],
    [422, UnprocessableEntityError, 'unprocessable'],
  ];
  test.each(standing)('%i reaches the SDK as it is, after one call', async (status, type, code) => {
    const { client, venice, recorder } = await startSdk({ client: { maxRetries: 2 } });
    venice.script({
      kind: 'answer',
      status,
      body: { error: { message: `No, because of ${code}.`, type: 'venice', param: null, code } },
    });
    const error = await errorOf(client.chat.completions.create(QUESTION));
    expect(error).toBeInstanceOf(type);
    expect(error).toMatchObject({
      status,
      message: `${status} No, because of ${code}.`,
      type: 'venice',
      code,
    });
    expect(venice.calls).toHaveLength(1);
    expect(recorder.retries).toEqual([]);
  });

  test("in Venice's own shape keeps its words", async () => {
    const { client, venice } = await startSdk();
    venice.script({ kind: 'answer', status: 401, body: { error: 'Authentication failed' } });
    const error = await errorOf(client.chat.completions.create(QUESTION));
    expect(error).toBeInstanceOf(AuthenticationError);
    expect(error.error).toBe('Authentication failed');
  });
});

function failure(status: number): Fault {
  return { kind: 'answer', status, body: { error: 'No.' } };
}

describe('retries that run out', () => {
  const DEFAULT_SDK_RETRIES = 2;
  const overloaded: Fault = { kind: 'overloaded' };
  const reset: Fault = { kind: 'reset', after: 'body' };

  const lasting: readonly (readonly [string, Fault, number, number, ErrorClass])[] = [
    ['an overloaded model', overloaded, 429, 3, RateLimitError],
    ['500', failure(500), 500, 3, InternalServerError],
    ['503', failure(503), 503, 3, InternalServerError],
    ['a lost connection', reset, 502, 3, InternalServerError],
    // The upstream may still be at work on it.
    ['504', failure(504), 504, 1, InternalServerError],
  ];
  test.each(lasting)(
    'after %s are not begun anew by the SDK',
    async (_what, fault, status, calls, type) => {
      const { client, venice, recorder } = await startSdk({
        standIn: { onCall: () => fault },
        proxy: { retries: 2 },
        client: { maxRetries: DEFAULT_SDK_RETRIES },
      });
      const error = await errorOf(client.chat.completions.create(QUESTION));
      expect(error).toBeInstanceOf(type);
      expect(error.status).toBe(status);
      expect(error.headers?.get('x-should-retry')).toBe('false');
      expect(error.headers?.get('x-venice-proxy-attempts')).toBe(String(calls));
      expect(venice.calls).toHaveLength(calls);
      expect(recorder.retries).toHaveLength(calls - 1);
      for (const { attempt, delayMs } of recorder.retries)
        expect(delayMs).toBeLessThanOrEqual(2 ** attempt);
      await recorder.ended();
      expect(recorder.answers).toHaveLength(1);
    },
  );

  test('as the wait would be too long, neither the proxy nor the SDK asks again', async () => {
    const { client, venice, recorder } = await startSdk({
      proxy: { maxWait: 1_000 },
      client: { maxRetries: DEFAULT_SDK_RETRIES },
    });
    venice.script({ kind: 'rate-limited', resetMs: 40_000 });
    const error = await errorOf(client.chat.completions.create(QUESTION));
    expect(error).toBeInstanceOf(RateLimitError);
    expect(error.error).toBe('Rate limit exceeded');
    const seconds = Number(error.headers?.get('retry-after'));
    expect(Number.isInteger(seconds) && seconds >= 1 && seconds <= 40).toBe(true);
    expect(venice.calls).toHaveLength(1);
    expect(recorder.retries).toEqual([]);
  });

  test('of a call that is billed are none: it is made once', async () => {
    const { client, venice, recorder } = await startSdk({
      standIn: { onCall: () => failure(500) },
      client: { maxRetries: DEFAULT_SDK_RETRIES },
    });
    const call = client.images.generate({ model: 'venice-sd35', prompt: 'A lighthouse.' });
    expect(await errorOf(call)).toBeInstanceOf(InternalServerError);
    expect(venice.calls).toHaveLength(1);
    expect(recorder.retries).toEqual([]);
  });
});

describe('a stream that breaks', () => {
  const cuts: readonly (readonly [string, Fault, string])[] = [
    ['between two events', { kind: 'cut-stream', afterEvents: 3 }, 'upstream_disconnected'],
    [
      'in the middle of an event',
      { kind: 'cut-stream', afterEvents: 3, midEvent: true },
      'upstream_disconnected',
    ],
    [
      'by a reset',
      { kind: 'cut-stream', afterEvents: 3, ending: 'reset' },
      'upstream_disconnected',
    ],
    ['by silence', { kind: 'stall-stream', afterEvents: 3 }, 'upstream_timeout'],
    [
      'by silence in the middle of an event',
      { kind: 'stall-stream', afterEvents: 3, midEvent: true },
      'upstream_timeout',
    ],
  ];
  const SHORT_IDLE: SdkSetUp = {
    proxy: { timeout: { idle: 800 } },
    client: { maxRetries: 2 },
  };

  test.each(cuts)('%s raises in a chat, after the words that came', async (_how, fault, code) => {
    const { client, venice } = await startSdk(SHORT_IDLE);
    venice.script(fault);
    const stream = await client.chat.completions.create({ ...QUESTION, stream: true });
    const words: string[] = [];
    const reading = (async () => {
      for await (const chunk of stream) words.push(chunk.choices[0]?.delta.content ?? '');
    })();
    const error = await errorOf(reading);
    expect(error).toMatchObject({ code, type: 'server_error' });
    expect(words).toEqual(['', 'The ', 'stand-in ']);
    expect(venice.calls).toHaveLength(1);
  });

  test.each(cuts)('%s raises in a response', async (_how, fault, code) => {
    const { client, venice } = await startSdk(SHORT_IDLE);
    venice.script(fault);
    const asked = { model: MODEL, input: 'Hello.', stream: true } as const;
    const error = await errorOf(collect(await client.responses.create(asked)));
    expect(error).toMatchObject({ code, type: 'server_error' });
    expect(venice.calls).toHaveLength(1);
  });

  test('before its first event is asked for again', async () => {
    const { client, venice, recorder } = await startSdk();
    venice.script({ kind: 'cut-stream', afterEvents: 0, midEvent: true });
    const stream = await client.chat.completions.create({ ...QUESTION, stream: true });
    expect(await textOf(stream)).toContain('Why is the sky blue?');
    expect(venice.calls).toHaveLength(2);
    expect(
      recorder.retries.map(({ attempt, status, reason }) => [attempt, status, reason]),
    ).toEqual([[1, undefined, 'no answer']]);
    expect(recorder.retries[0]?.delayMs).toBeLessThanOrEqual(1);
  });
});

describe("an error of the proxy's own", () => {
  test('upstream_unreachable tells after how many attempts', async () => {
    const { baseUrl, recorder } = await startFront({ target: deserted(), retries: 1 });
    const client = sdkFor(baseUrl, { maxRetries: 2 });
    const error = await errorOf(client.chat.completions.create(QUESTION));
    expect(error).toBeInstanceOf(InternalServerError);
    expect(error).toMatchObject({
      status: 502,
      code: 'upstream_unreachable',
      type: 'server_error',
      param: null,
    });
    expect(error.message).toMatch(/No connection to 127\.0\.0\.1:\d+ could be made.*2 attempts/);
    expect(recorder.delays.map((delayMs) => delayMs <= 1)).toEqual([true]);
    await recorder.ended();
    expect(recorder.answers).toHaveLength(1);
  });

  const own: readonly (readonly [
    string,
    number,
    string,
    RegExp,
    number,
    SdkSetUp & { fault?: Fault },
  ])[] = [
    [
      'upstream_timeout',
      504,
      'server_error',
      /did not answer within 0\.2 s/,
      1,
      { fault: { kind: 'silent' }, proxy: { timeout: { firstByte: 200 } } },
    ],
    [
      'upstream_disconnected',
      502,
      'server_error',
      /closed the connection before it answered.*1 attempt/,
      1,
      { fault: { kind: 'reset', after: 'body' }, proxy: { retries: 0 } },
    ],
    [
      'upstream_invalid',
      502,
      'server_error',
      /an answer that is not HTTP/,
      1,
      { fault: { kind: 'raw', bytes: 'Guten Tag.\r\n\r\n' }, proxy: { retries: 0 } },
    ],
    [
      'body_too_large',
      413,
      'invalid_request_error',
      /longer than 64 bytes/,
      0,
      { proxy: { bodyLimit: 64 } },
    ],
    [
      'loop_detected',
      508,
      'invalid_request_error',
      /the target leads to the proxy itself/,
      0,
      {
        client: {
          defaultHeaders: {
            via: Array.from({ length: 10 }, (_, hop) => `1.1 venice-proxy-${hop}`).join(', '),
          },
        },
      },
    ],
  ];
  test.each(own)('%s has a status, a type, a code and a message', async (...row) => {
    const [code, status, type, message, calls, { fault, ...setUp }] = row;
    const { client, venice, recorder } = await startSdk(setUp);
    if (fault !== undefined) venice.script(fault);
    const error = await errorOf(client.chat.completions.create(QUESTION));
    expect(error).toMatchObject({ status, code, type, param: null });
    expect(error.message).toMatch(message);
    expect(error.message).not.toMatch(/sdk-key|blue/);
    expect(venice.calls).toHaveLength(calls);
    expect(await recorder.ended()).toMatchObject({ outcome: 'refused', code, status });
  });

  test('invalid_path is a BadRequestError, and nothing goes upstream', async () => {
    const { client, venice } = await startSdk();
    const error = await errorOf(client.get('/models/..%2f..%2fadmin'));
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({ code: 'invalid_path', type: 'invalid_request_error' });
    expect(venice.calls).toHaveLength(0);
  });

  test('draining turns new requests away', async () => {
    const { client, proxy, venice } = await startSdk();
    await proxy.drain();
    const error = await errorOf(client.chat.completions.create(QUESTION));
    expect(error).toBeInstanceOf(InternalServerError);
    expect(error).toMatchObject({ status: 503, code: 'draining', type: 'server_error' });
    expect(venice.calls).toHaveLength(0);
  });
});
