import { describe, expect, test } from '@jest/globals';
import { HumanMessage } from '@langchain/core/messages';
import type { AIMessageChunk } from '@langchain/core/messages';
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai';
import type { ChatOpenAIFields } from '@langchain/openai';
import { deserted, startFront } from '../helpers/scene.ts';
import {
  ALL_ENDED,
  AT_CAPACITY,
  endingOf,
  errorOf,
  forEachName,
  startClientScene,
  throughFaults,
  unseen,
} from './fault-row.ts';
import type { Kind, Outcome } from './fault-row.ts';

interface Models {
  readonly chat: ChatOpenAI;
  readonly embeddings: OpenAIEmbeddings;
}

function connect(baseURL: string, more: ChatOpenAIFields = {}): Models {
  const shared = { apiKey: 'sdk-key', configuration: { baseURL } };
  return {
    chat: new ChatOpenAI({ model: 'llama-3.3-70b', ...shared, ...more }),
    embeddings: new OpenAIEmbeddings({ model: 'text-embedding-bge-m3', ...shared }),
  };
}

const QUESTION = 'Why is the sky blue?';
const TOOL = {
  type: 'function' as const,
  function: {
    name: 'look_up',
    parameters: { type: 'object', properties: { query: { type: 'string' } } },
  },
};
const CALLED = { name: 'look_up', args: { query: QUESTION, unit: 'metric' } };

async function streamedToolCalls({ chat }: Models): Promise<AIMessageChunk['tool_calls']> {
  let whole: AIMessageChunk | undefined;
  for await (const chunk of await chat.bindTools([TOOL]).stream(QUESTION)) {
    whole = whole === undefined ? chunk : whole.concat(chunk);
  }
  return whole?.tool_calls;
}

async function streamedText({ chat }: Models): Promise<string> {
  let whole = '';
  for await (const chunk of await chat.stream(QUESTION)) whole += chunk.text;
  return whole;
}

const TEXT: Kind<Models> = {
  ask: async ({ chat }) => (await chat.invoke([new HumanMessage(QUESTION)])).text,
};
const STREAM: Kind<Models> = { ask: streamedText };
const TOOL_CALL: Kind<Models> = {
  ask: async ({ chat }) => (await chat.bindTools([TOOL]).invoke(QUESTION)).tool_calls,
};
const STREAMED_TOOL_CALL: Kind<Models> = { ask: streamedToolCalls };
const VECTOR: Kind<Models> = { ask: ({ embeddings }) => embeddings.embedQuery('The sea.') };
const VECTORS: Kind<Models> = { ask: ({ embeddings }) => embeddings.embedDocuments(['a', 'b']) };
const KINDS = { TEXT, STREAM, TOOL_CALL, STREAMED_TOOL_CALL, VECTOR, VECTORS };

describe("LangChain's OpenAI models", () => {
  test('see nothing of a limit, a failure and a lost connection in a row', async () => {
    const outcomes = await forEachName<Kind<Models>, Outcome>(KINDS, (kind) =>
      throughFaults(kind, connect),
    );
    expect(outcomes).toEqual(await forEachName<Kind<Models>, Outcome>(KINDS, unseen));
  });

  test.each(Object.entries({ TOOL_CALL, STREAMED_TOOL_CALL }))(
    'call tools with their arguments whole: %s',
    async (_kind, { ask }) => {
      const { baseUrl } = await startClientScene();
      expect(await ask(connect(baseUrl))).toEqual([expect.objectContaining(CALLED)]);
    },
  );

  test('with maxRetries: 0 do not begin anew what the proxy has tried', async () => {
    const { baseUrl, venice } = await startClientScene({ retries: 1 });
    venice.configure({ onCall: () => AT_CAPACITY });
    const error = await errorOf(TEXT.ask(connect(baseUrl, { maxRetries: 0 })));
    expect(error).toMatchObject({ status: 503 });
    expect(venice.calls).toHaveLength(2);
  });

  test('raise an error as the upstream wrote it', async () => {
    const { baseUrl, venice } = await startClientScene();
    const body = { error: { message: 'No such model.', type: 'venice', code: 'model_not_found' } };
    venice.script({ kind: 'answer', status: 404, body });
    const error = await errorOf(TEXT.ask(connect(baseUrl)));
    expect(error).toMatchObject({
      status: 404,
      code: 'model_not_found',
      message: expect.stringContaining('No such model.'),
    });
    expect(venice.calls).toHaveLength(1);
  });

  test("raise an error of the proxy's own with its code", async () => {
    const { baseUrl } = await startFront({ target: deserted(), retries: 1 });
    const error = await errorOf(TEXT.ask(connect(baseUrl, { maxRetries: 0 })));
    expect(error).toMatchObject({ status: 502, code: 'upstream_unreachable' });
  });

  test('raise an error when a stream breaks', async () => {
    const { baseUrl, venice } = await startClientScene();
    venice.script({ kind: 'cut-stream', afterEvents: 3, midEvent: true });
    const error = await errorOf(streamedText(connect(baseUrl)));
    expect(error).toMatchObject({ code: 'upstream_disconnected' });
    expect(venice.calls).toHaveLength(1);
  });

  test('end the upstream call when a loop over a stream is left, with the next chunk', async () => {
    const scene = await startClientScene();
    const { chat } = connect(scene.baseUrl, { modelKwargs: { x_words: 100_000 } });
    for await (const chunk of await chat.stream(QUESTION)) if (chunk.text !== '') break;
    expect(await endingOf(scene)).toEqual(ALL_ENDED);
  });

  test('end the upstream call when a stream is left by its signal', async () => {
    const scene = await startClientScene();
    scene.venice.script({ kind: 'stall-stream', afterEvents: 2 });
    const controller = new AbortController();
    const { signal } = controller;
    const stream = await connect(scene.baseUrl).chat.stream(QUESTION, { signal });
    const reading = (async () => {
      for await (const chunk of stream) if (chunk.text !== '') controller.abort();
    })();
    expect(await errorOf(reading)).toEqual(new Error('Aborted'));
    expect(await endingOf(scene)).toEqual(ALL_ENDED);
  });
});
