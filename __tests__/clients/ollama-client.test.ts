import { describe, expect, test } from '@jest/globals';
import { Ollama } from 'ollama';
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

const OPTIONS = { ollama: true, apiKey: 'operators-key' } as const;
const connect = (host: string): Ollama => new Ollama({ host });

const MODEL = 'llama-3.3-70b';
const QUESTION = 'Why is the sky blue?';
const CHAT = { model: MODEL, messages: [{ role: 'user', content: QUESTION }] };
const TOOL = {
  type: 'function',
  function: {
    name: 'look_up',
    parameters: { type: 'object', properties: { query: { type: 'string' } } },
  },
};

async function streamedText(client: Ollama): Promise<string> {
  let whole = '';
  for await (const { message } of await client.chat({ ...CHAT, stream: true })) {
    whole += message.content;
  }
  return whole;
}

async function streamedToolCalls(client: Ollama): Promise<unknown[]> {
  const calls: unknown[] = [];
  for await (const { message } of await client.chat({ ...CHAT, tools: [TOOL], stream: true })) {
    calls.push(...(message.tool_calls ?? []));
  }
  return calls;
}

const TEXT: Kind<Ollama> = { ask: async (client) => (await client.chat(CHAT)).message };
const STREAM: Kind<Ollama> = { ask: streamedText };
const TOOL_CALL: Kind<Ollama> = {
  ask: async (client) => (await client.chat({ ...CHAT, tools: [TOOL] })).message.tool_calls,
};
const STREAMED_TOOL_CALL: Kind<Ollama> = { ask: streamedToolCalls };
const GENERATION: Kind<Ollama> = {
  ask: async (client) => (await client.generate({ model: MODEL, prompt: QUESTION })).response,
};
const VECTOR: Kind<Ollama> = {
  ask: async (client) =>
    (await client.embed({ model: 'text-embedding-bge-m3', input: 'The sea.' })).embeddings,
};
const KINDS = { TEXT, STREAM, TOOL_CALL, STREAMED_TOOL_CALL, GENERATION, VECTOR };

describe("Ollama's client", () => {
  test('sees nothing of a limit, a failure and a lost connection in a row', async () => {
    const outcomes = await forEachName<Kind<Ollama>, Outcome>(KINDS, (kind) =>
      throughFaults(kind, connect, OPTIONS),
    );
    expect(outcomes).toEqual(await forEachName<Kind<Ollama>, Outcome>(KINDS, unseen));
  });

  test.each(Object.entries({ TOOL_CALL, STREAMED_TOOL_CALL }))(
    'calls tools with their arguments whole: %s',
    async (_kind, { ask }) => {
      const { baseUrl } = await startClientScene(OPTIONS);
      expect(await ask(connect(baseUrl))).toMatchObject([
        { function: { name: 'look_up', arguments: { query: QUESTION, unit: 'metric' } } },
      ]);
    },
  );

  test('is told what stood in the way when the attempts are spent', async () => {
    const { baseUrl, venice } = await startClientScene({ ...OPTIONS, retries: 1 });
    venice.configure({ onCall: () => AT_CAPACITY });
    expect(await errorOf(TEXT.ask(connect(baseUrl)))).toMatchObject({
      status_code: 503,
      message: expect.stringContaining('The model is at capacity.'),
    });
    expect(venice.calls).toHaveLength(2);
  });

  test('raises an error when a stream breaks', async () => {
    const { baseUrl, venice } = await startClientScene(OPTIONS);
    venice.script({ kind: 'cut-stream', afterEvents: 3, midEvent: true });
    expect(await errorOf(streamedText(connect(baseUrl)))).toMatchObject({
      message: expect.stringContaining('The connection to the upstream broke'),
    });
    expect(venice.calls).toHaveLength(1);
  });

  test('ends the upstream call when it leaves a stream', async () => {
    const scene = await startClientScene(OPTIONS);
    scene.venice.script({ kind: 'stall-stream', afterEvents: 2 });
    const stream = await connect(scene.baseUrl).chat({ ...CHAT, stream: true });
    const reading = (async () => {
      for await (const { message } of stream) if (message.content !== '') stream.abort();
    })();
    expect(await errorOf(reading)).toMatchObject({ name: 'AbortError' });
    expect(await endingOf(scene)).toEqual(ALL_ENDED);
  });
});
