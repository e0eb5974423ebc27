import { describe, expect, test } from '@jest/globals';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import {
  APICallError,
  embed,
  embedMany,
  generateImage,
  generateText,
  jsonSchema,
  streamText,
} from 'ai';
import type { EmbeddingModel, ImageModel, LanguageModel, ToolSet } from 'ai';
import { createVenice } from 'venice-ai-sdk-provider';
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

interface Models {
  readonly chat: LanguageModel;
  readonly embedding: EmbeddingModel;
  readonly image: ImageModel;
}

const PROVIDERS: readonly (readonly [string, (baseURL: string) => Models])[] = [
  [
    '@ai-sdk/openai-compatible',
    (baseURL) => {
      const provider = createOpenAICompatible({ name: 'venice', apiKey: 'sdk-key', baseURL });
      return {
        chat: provider('llama-3.3-70b'),
        embedding: provider.embeddingModel('text-embedding-bge-m3'),
        image: provider.imageModel('venice-sd35'),
      };
    },
  ],
  [
    'venice-ai-sdk-provider',
    (baseURL) => {
      const provider = createVenice({ apiKey: 'sdk-key', baseURL });
      return {
        chat: provider('llama-3.3-70b'),
        embedding: provider.embeddingModel('text-embedding-bge-m3'),
        image: provider.imageModel('venice-sd35'),
      };
    },
  ],
];

const prompt = 'Why is the sky blue?';
const tools: ToolSet = {
  look_up: {
    inputSchema: jsonSchema({
      type: 'object',
      properties: { query: { type: 'string' }, unit: { type: 'string' } },
    }),
  },
};
const CALLED = { toolName: 'look_up', input: { query: prompt, unit: 'metric' } };

/** What goes wrong is told to `onError` first; without it, on the console. */
function streamed({ chat }: Models, more: { tools?: ToolSet; abortSignal?: AbortSignal } = {}) {
  let failure: unknown;
  const onError = ({ error }: { error: unknown }): void => {
    failure ??= error;
  };
  const result = streamText({ model: chat, prompt, onError, ...more });
  const text = async (): Promise<string> => {
    let whole = '';
    try {
      for await (const piece of result.textStream) whole += piece;
    } catch (error) {
      failure ??= error;
    }
    if (failure !== undefined) throw failure;
    return whole;
  };
  return { result, text };
}

const TEXT: Kind<Models> = {
  ask: async ({ chat }) => (await generateText({ model: chat, prompt })).text,
};
const STREAM: Kind<Models> = { ask: (models) => streamed(models).text() };
const TOOL_CALL: Kind<Models> = {
  ask: async ({ chat }) => (await generateText({ model: chat, prompt, tools })).toolCalls,
};
const STREAMED_TOOL_CALL: Kind<Models> = {
  ask: async (models) => streamed(models, { tools }).result.toolCalls,
};
const VECTOR: Kind<Models> = {
  ask: async ({ embedding }) => (await embed({ model: embedding, value: prompt })).embedding,
};
const VECTORS: Kind<Models> = {
  ask: async ({ embedding }) =>
    (await embedMany({ model: embedding, values: ['a', 'b'] })).embeddings,
};
const IMAGE: Kind<Models> = {
  billed: true,
  ask: async ({ image }) => (await generateImage({ model: image, prompt })).image.base64,
};
const KINDS = { TEXT, STREAM, TOOL_CALL, STREAMED_TOOL_CALL, VECTOR, VECTORS, IMAGE };

describe.each(PROVIDERS)("Vercel's AI SDK with %s", (_name, connect) => {
  test('sees nothing of a limit, a failure and a lost connection in a row', async () => {
    const outcomes = await forEachName<Kind<Models>, Outcome>(KINDS, (kind) =>
      throughFaults(kind, connect),
    );
    expect(outcomes).toEqual(await forEachName<Kind<Models>, Outcome>(KINDS, unseen));
  });

  test('calls tools with their arguments whole', async () => {
    const { baseUrl } = await startClientScene();
    for (const { ask } of [TOOL_CALL, STREAMED_TOOL_CALL]) {
      // oxlint-disable-next-line no-await-in-loop -- two
      expect(await ask(connect(baseUrl))).toEqual([expect.objectContaining(CALLED)]);
    }
  });

  test('with maxRetries: 0 does not begin anew what the proxy has tried', async () => {
    const { baseUrl, venice } = await startClientScene({ retries: 1 });
    venice.configure({ onCall: () => AT_CAPACITY });
    const { chat } = connect(baseUrl);
    const error = await errorOf(generateText({ model: chat, prompt, maxRetries: 0 }));
    expect(APICallError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ statusCode: 503 });
    expect(venice.calls).toHaveLength(2);
  });

  test('with maxRetries: 0 pays once for an image whose answer is lost', async () => {
    const { baseUrl, venice } = await startClientScene();
    venice.script(LOST);
    const { image } = connect(baseUrl);
    const error = await errorOf(generateImage({ model: image, prompt, maxRetries: 0 }));
    expect(APICallError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({
      statusCode: 502,
      data: { error: { code: 'upstream_disconnected' } },
    });
    expect(venice.calls).toHaveLength(1);
  });

  test('raises an error as the upstream wrote it', async () => {
    const { baseUrl, venice } = await startClientScene();
    const body = { error: { message: 'No such model.', type: 'venice', code: 'model_not_found' } };
    venice.script({ kind: 'answer', status: 404, body });
    const error = await errorOf(TEXT.ask(connect(baseUrl)));
    expect(APICallError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ statusCode: 404, message: 'No such model.', data: body });
    expect(venice.calls).toHaveLength(1);
  });

  test("raises an error of the proxy's own with its code", async () => {
    const { baseUrl } = await startFront({ target: deserted(), retries: 1 });
    const { chat } = connect(baseUrl);
    const error = await errorOf(generateText({ model: chat, prompt, maxRetries: 0 }));
    expect(error).toMatchObject({
      statusCode: 502,
      data: { error: { code: 'upstream_unreachable' } },
    });
  });

  test('raises an error when a stream breaks', async () => {
    const { baseUrl, venice } = await startClientScene();
    venice.script({ kind: 'cut-stream', afterEvents: 3, midEvent: true });
    const error = await errorOf(streamed(connect(baseUrl)).text());
    expect(JSON.stringify(error)).toContain('The connection to the upstream broke');
    expect(venice.calls).toHaveLength(1);
  });

  test('ends the upstream call when it leaves a stream by its signal', async () => {
    const scene = await startClientScene();
    scene.venice.script({ kind: 'stall-stream', afterEvents: 2 });
    const controller = new AbortController();
    const { signal: abortSignal } = controller;
    const { result } = streamed(connect(scene.baseUrl), { abortSignal });
    for await (const piece of result.textStream) if (piece !== '') controller.abort();
    expect(await endingOf(scene)).toEqual(ALL_ENDED);
  });

  test('ends the upstream call when it leaves before the answer', async () => {
    const scene = await startClientScene();
    scene.venice.script({ kind: 'silent' });
    const controller = new AbortController();
    const { chat } = connect(scene.baseUrl);
    const abortSignal = controller.signal;
    const failing = errorOf(generateText({ model: chat, prompt, abortSignal }));
    await scene.venice.arrived(1);
    controller.abort();
    expect(await failing).toMatchObject({ name: 'AbortError' });
    expect(await endingOf(scene)).toEqual(ALL_ENDED);
  });
});
