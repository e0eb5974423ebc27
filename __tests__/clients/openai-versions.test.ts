import { describe, expect, test } from '@jest/globals';
import OpenAI from 'openai';
import OpenAI4 from 'openai4';
import OpenAI5 from 'openai5';
import OpenAI6 from 'openai6';
import { deserted, startFront } from '../helpers/scene.ts';
import {
  ALL_ENDED,
  AT_CAPACITY,
  LOST,
  endingOf,
  errorOf,
  forEachName,
  startClientScene,
  throughFaults,
  unseen,
} from './fault-row.ts';
import type { Kind, Outcome } from './fault-row.ts';

/** One class: of what is called here, all of them know the same parameters and answers. */
const VERSIONS = [
  ['4', OpenAI4 as unknown as typeof OpenAI],
  ['5', OpenAI5 as unknown as typeof OpenAI],
  ['6', OpenAI6 as unknown as typeof OpenAI],
  ['7', OpenAI],
] as const;

const QUESTION = {
  model: 'llama-3.3-70b',
  messages: [{ role: 'user' as const, content: 'Why is the sky blue?' }],
};
const EMBEDDED = { model: 'text-embedding-bge-m3', input: 'The sea.' };
const TOOLS = [
  {
    type: 'function' as const,
    function: {
      name: 'look_up',
      parameters: { type: 'object', properties: { query: { type: 'string' } } },
    },
  },
];
const SOUND = Buffer.from(Array.from({ length: 100_000 }, (_, place) => (place * 31) % 256));

async function wordsOf(client: OpenAI): Promise<string[]> {
  const stream = await client.chat.completions.create({ ...QUESTION, stream: true });
  const words: string[] = [];
  for await (const chunk of stream) words.push(chunk.choices[0]?.delta.content ?? '');
  return words;
}

async function toolCallOf(client: OpenAI): Promise<unknown> {
  const stream = await client.chat.completions.create({ ...QUESTION, tools: TOOLS, stream: true });
  let name = '';
  let text = '';
  for await (const chunk of stream) {
    const called = chunk.choices[0]?.delta.tool_calls?.[0]?.function;
    name += called?.name ?? '';
    text += called?.arguments ?? '';
  }
  return { name, arguments: JSON.parse(text) as unknown };
}

/** The newest ask for base64 unasked, and decode it; whoever gets the floats sees the same. */
async function vectorOf(client: OpenAI): Promise<number[]> {
  const { data } = await client.embeddings.create(EMBEDDED);
  return data.flatMap(({ embedding }) => embedding);
}

const CHAT: Kind<OpenAI> = { ask: (client) => client.chat.completions.create(QUESTION) };
const STREAM: Kind<OpenAI> = { ask: wordsOf };
const TOOL_CALL: Kind<OpenAI> = { ask: toolCallOf };
const EMBEDDINGS: Kind<OpenAI> = { ask: vectorOf };
const MODELS: Kind<OpenAI> = { ask: async (client) => (await client.models.list()).data };
const IMAGE: Kind<OpenAI> = {
  billed: true,
  ask: (client) => client.images.generate({ model: 'venice-sd35', prompt: 'A lighthouse.' }),
};
const SPEECH: Kind<OpenAI> = {
  billed: true,
  ask: async (client) => {
    const asked = { model: 'tts-kokoro', voice: 'af_sky', input: 'Hello.' } as const;
    const bytes = await (await client.audio.speech.create(asked)).arrayBuffer();
    return Buffer.from(bytes).toString('base64');
  },
};
const TRANSCRIPTION: Kind<OpenAI> = {
  billed: true,
  upload: true,
  ask: async (client) => {
    const file = new File([SOUND], 'sound.wav');
    const { text } = await client.audio.transcriptions.create({
      model: 'openai/whisper-large-v3',
      file,
    });
    return text;
  },
};
const BILLED = { IMAGE, SPEECH, TRANSCRIPTION };
const KINDS = { CHAT, STREAM, TOOL_CALL, EMBEDDINGS, MODELS, ...BILLED };

/** To any server, the second attempt of version 4 sends an upload whose stream is spent: it hangs. */
const { TRANSCRIPTION: _hangs, ...KINDS_OF_4 } = KINDS;

describe.each(VERSIONS)('the OpenAI SDK %s', (version, Sdk) => {
  const connect = (baseURL: string): OpenAI => new Sdk({ apiKey: 'sdk-key', baseURL });

  test('sees nothing of a limit, a failure and a lost connection in a row', async () => {
    const kinds = version === '4' ? KINDS_OF_4 : KINDS;
    const outcomes = await forEachName<Kind<OpenAI>, Outcome>(kinds, (kind) =>
      throughFaults(kind, connect),
    );
    expect(outcomes).toEqual(await forEachName<Kind<OpenAI>, Outcome>(kinds, unseen));
  });

  test('calls tools with their arguments whole', async () => {
    const { baseUrl } = await startClientScene();
    expect(await toolCallOf(connect(baseUrl))).toEqual({
      name: 'look_up',
      arguments: { query: 'Why is the sky blue?', unit: 'metric' },
    });
  });

  test('gets the vector that the upstream has made', async () => {
    const { baseUrl, target } = await startClientScene();
    const asked = { ...EMBEDDED, encoding_format: 'float' as const };
    const { data } = await connect(target).embeddings.create(asked);
    const floats = Float32Array.from(data[0]?.embedding ?? []);
    expect(floats).toHaveLength(1024);
    expect(Float32Array.from(await vectorOf(connect(baseUrl)))).toEqual(floats);
  });

  test('pays once for what is billed by the call when its answer is lost', async () => {
    const outcomes = await forEachName<Kind<OpenAI>, unknown>(BILLED, async ({ ask }) => {
      const { baseUrl, venice } = await startClientScene();
      venice.script(LOST);
      const error = await errorOf(ask(connect(baseUrl)));
      const isOwn = error instanceof Sdk.InternalServerError;
      return [venice.calls.length, isOwn && error.status, isOwn && error.code];
    });
    const once = [1, 502, 'upstream_disconnected'];
    expect(outcomes).toEqual({ IMAGE: once, SPEECH: once, TRANSCRIPTION: once });
  });

  test('does not begin anew what the proxy has tried', async () => {
    const { baseUrl, venice, recorder } = await startClientScene({ retries: 1 });
    venice.configure({ onCall: () => AT_CAPACITY });
    const error = await errorOf(connect(baseUrl).chat.completions.create(QUESTION));
    expect(error).toBeInstanceOf(Sdk.InternalServerError);
    expect(error).toMatchObject({ status: 503 });
    expect([venice.calls.length, recorder.answers.length]).toEqual([2, 1]);
  });

  test('raises an error as the upstream wrote it, in its class', async () => {
    const { baseUrl, venice } = await startClientScene();
    const body = { error: { message: 'No such model.', type: 'venice', code: 'model_not_found' } };
    venice.script({ kind: 'answer', status: 404, body });
    const error = await errorOf(connect(baseUrl).chat.completions.create(QUESTION));
    expect(error).toBeInstanceOf(Sdk.NotFoundError);
    expect(error).toMatchObject({
      status: 404,
      code: 'model_not_found',
      type: 'venice',
      message: '404 No such model.',
    });
    expect(venice.calls).toHaveLength(1);
  });

  test("raises an error of the proxy's own in its class", async () => {
    const { baseUrl, recorder } = await startFront({ target: deserted(), retries: 1 });
    const error = await errorOf(connect(baseUrl).chat.completions.create(QUESTION));
    expect(error).toBeInstanceOf(Sdk.InternalServerError);
    expect(error).toMatchObject({
      status: 502,
      code: 'upstream_unreachable',
      type: 'server_error',
    });
    await recorder.ended();
    expect(recorder.answers).toHaveLength(1);
  });

  test('raises an error when a stream breaks', async () => {
    const { baseUrl, venice } = await startClientScene();
    venice.script({ kind: 'cut-stream', afterEvents: 3, midEvent: true });
    const error = await errorOf(wordsOf(connect(baseUrl)));
    expect(error).toBeInstanceOf(Sdk.APIError);
    expect(error).toMatchObject({ code: 'upstream_disconnected' });
    expect(venice.calls).toHaveLength(1);
  });

  const departures = {
    'by a break out of its loop': async (client: OpenAI) => {
      const stream = await client.chat.completions.create({ ...QUESTION, stream: true });
      for await (const chunk of stream) if (chunk.choices[0]?.delta.content !== '') break;
    },
    'by its controller': async (client: OpenAI) => {
      const stream = await client.chat.completions.create({ ...QUESTION, stream: true });
      for await (const chunk of stream)
        if (chunk.choices[0]?.delta.content !== '') stream.controller.abort();
    },
  };
  test.each(Object.entries(departures))(
    'ends the upstream call when it leaves a stream %s',
    async (_how, leave) => {
      const scene = await startClientScene();
      scene.venice.script({ kind: 'stall-stream', afterEvents: 2 });
      await leave(connect(scene.baseUrl));
      expect(await endingOf(scene)).toEqual(ALL_ENDED);
    },
  );

  test('ends the upstream call when it leaves before the answer', async () => {
    const scene = await startClientScene();
    scene.venice.script({ kind: 'silent' });
    const controller = new AbortController();
    const { signal } = controller;
    const call = connect(scene.baseUrl).chat.completions.create(QUESTION, { signal });
    const failing = errorOf(call);
    await scene.venice.arrived(1);
    controller.abort();
    expect(await failing).toBeInstanceOf(Sdk.APIUserAbortError);
    expect(await endingOf(scene)).toEqual(ALL_ENDED);
  });
});
