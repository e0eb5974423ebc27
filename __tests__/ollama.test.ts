import { describe, expect, test } from '@jest/globals';
import { Ollama } from 'ollama';
import type { ChatResponse } from 'ollama';
import { closeAfterTest, startFront, startScene } from './helpers/scene.ts';
import type { Scene } from './helpers/scene.ts';
import { EXPRESSES, listen, send } from './helpers/serve.ts';

const MODEL = 'llama-3.3-70b';
const EMBEDDER = 'text-embedding-bge-m3';
const QUESTION = { role: 'user', content: 'Tell me of the sea.' };
const WEATHER = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'The weather of a place',
    parameters: { type: 'object', properties: { query: { type: 'string' } } },
  },
};

type StandIn = Parameters<typeof startScene>[1];

// Most of these clients have no key of their own: the proxy brings it.
const OPTIONS = { ollama: true, apiKey: 'operators-key' } as const;

async function startOllama(standIn: StandIn = {}): Promise<Scene & { client: Ollama }> {
  const scene = await startScene(OPTIONS, standIn);
  return { ...scene, client: clientOf(scene) };
}

function clientOf({ baseUrl }: { baseUrl: string }): Ollama {
  return new Ollama({ host: baseUrl });
}

/** An upstream that says the same to everyone. */
async function startSaying(type: string, body: string): Promise<Ollama & { heard: unknown[] }> {
  const heard: unknown[] = [];
  const upstream = await listen((req, res) => {
    const pieces: Buffer[] = [];
    req.on('data', (piece: Buffer) => pieces.push(piece));
    req.on('end', () => {
      heard.push(JSON.parse(Buffer.concat(pieces).toString() || 'null'));
      res.writeHead(200, { 'content-type': type });
      res.end(body);
    });
  });
  const front = await startFront({ target: upstream.origin, ollama: true });
  closeAfterTest(() => upstream.close());
  return Object.assign(clientOf(front), { heard });
}

/** The members of the body that an attempt has sent. */
function sent({ venice }: Scene, place = 0): unknown {
  return JSON.parse(venice.calls[place]?.body.toString() ?? 'null');
}

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const collected: Item[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

function lastOf<Item>(items: readonly Item[]): Item {
  const last = items.at(-1);
  if (last === undefined) throw new Error('there is none');
  return last;
}

const textOf = (parts: readonly ChatResponse[]): string =>
  parts.map(({ message }) => message.content).join('');

const deltaEvent = (members: object): string =>
  `data: ${JSON.stringify({ choices: [{ delta: members }] })}\n\n`;

const ANSWER = 'The stand-in for Venice heard: Tell me of the sea.';

describe('models', () => {
  test('are listed, with every member that some client asks for', async () => {
    const { client } = await startOllama();
    const { models } = await client.list();
    expect(models.map(({ name }) => name)).toEqual([
      MODEL,
      'qwen3-235b',
      'mistral-31-24b',
      'venice-uncensored',
      EMBEDDER,
    ]);
    expect(models[0]).toEqual({
      name: MODEL,
      model: MODEL,
      modified_at: '2026-01-01T00:00:00.000Z',
      size: 0,
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
      details: {
        parent_model: '',
        format: '',
        family: 'llama',
        families: ['llama'],
        parameter_size: '70B',
        quantization_level: 'FP8',
      },
    });
  });

  test('are shown, with what they can and how much they take', async () => {
    const { client } = await startOllama();
    const shown = await client.show({ model: 'mistral-31-24b:latest' });
    expect(shown).toMatchObject({
      capabilities: ['completion', 'tools', 'vision'],
      model_info: { 'general.architecture': 'mistral', 'mistral.context_length': 131_072 },
    });
    const reasoner = await client.show({ model: 'qwen3-235b:enable_web_search=on' });
    expect(reasoner.capabilities).toEqual(['completion', 'tools', 'thinking']);
    expect((await client.show({ model: EMBEDDER })).capabilities).toEqual(['embedding']);
  });

  test('that are not there are a 404, and so is a name that is none', async () => {
    const { client } = await startOllama();
    await expect(client.show({ model: 'nobody' })).rejects.toMatchObject({
      status_code: 404,
      message: "model 'nobody' not found",
    });
    await expect(client.show({ model: '' })).rejects.toMatchObject({ status_code: 400 });
  });

  test('are always at work', async () => {
    const { client } = await startOllama();
    const { models } = await client.ps();
    expect(models[0]).toMatchObject({ name: MODEL, context_length: 131_072, size_vram: 0 });
  });

  test('are asked for once in some minutes, without a key of anyone', async () => {
    const scene = await startScene({ ollama: true });
    const { venice } = scene;
    const client = clientOf(scene);
    await client.list();
    await client.show({ model: MODEL });
    await client.ps();
    expect(venice.calls.map(({ method, url }) => `${method} ${url}`)).toEqual([
      'GET /api/v1/models?type=all',
    ]);
    expect(venice.calls[0]?.headers.authorization).toBeUndefined();
  });

  test('that a POST asks for first are asked for by a GET without a body', async () => {
    const { client, venice } = await startOllama();
    await client.show({ model: MODEL });
    expect(venice.calls[0]).toMatchObject({ method: 'GET', bodyBytes: 0 });
    expect(venice.calls[0]?.headers).not.toHaveProperty('content-length');
  });

  test('are not sent again to who has the list', async () => {
    const { baseUrl } = await startOllama();
    const first = await send(`${baseUrl}/api/tags`);
    const { etag } = first.headers;
    const again = await send(`${baseUrl}/api/tags`, { headers: { 'if-none-match': etag } });
    expect(again).toMatchObject({ status: 304, text: '', headers: { etag } });
    const other = await send(`${baseUrl}/api/tags`, { headers: { 'if-none-match': '"other"' } });
    expect(other).toMatchObject({ status: 200, text: first.text });
  });

  test('are read in whatever coding they come', async () => {
    const { client } = await startOllama({ compress: 'gzip' });
    expect((await client.list()).models).toHaveLength(5);
    expect((await client.chat({ model: MODEL, messages: [QUESTION] })).message.content).toBe(
      ANSWER,
    );
  });

  test('are asked for again when the upstream could not tell', async () => {
    const { client, venice, recorder } = await startOllama();
    venice.script({ kind: 'answer', status: 503 }, { kind: 'cut-body', bytes: 9 });
    expect((await client.list()).models).toHaveLength(5);
    expect(recorder.attempts).toBe(3);
  });

  test('may be asked for again after any failure, by a POST, too', async () => {
    const { client, venice, recorder } = await startOllama();
    venice.script({ kind: 'reset', after: 'body' });
    expect((await client.show({ model: MODEL })).capabilities).toContain('tools');
    expect(recorder.attempts).toBe(2);
  });

  test('that the upstream does not tell are its error', async () => {
    const { client, venice } = await startOllama();
    venice.script({ kind: 'answer', status: 403, body: '{"error":"No."}' });
    await expect(client.list()).rejects.toMatchObject({ status_code: 403 });
    expect((await client.list()).models).toHaveLength(5);
  });
});

describe('the version', () => {
  test('is one that Copilot takes, and nobody is asked for it', async () => {
    const { client, recorder } = await startOllama();
    const { version } = await client.version();
    const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number);
    expect(major * 10_000 + minor * 100 + patch).toBeGreaterThanOrEqual(604);
    expect(await recorder.ended()).toMatchObject({ attempts: 0, outcome: 'answered' });
  });

  test('is told to HEAD by its headers, as the models are', async () => {
    const { baseUrl } = await startOllama();
    const reply = await send(`${baseUrl}/api/version`, { method: 'HEAD' });
    expect(reply).toMatchObject({ status: 200, text: '' });
    const tags = await send(`${baseUrl}/api/tags`, { method: 'HEAD' });
    expect(tags).toMatchObject({ status: 200, text: '' });
    expect(Number(tags.headers['content-length'])).toBeGreaterThan(100);
  });
});

describe('chat', () => {
  test.each(EXPRESSES)('is one answer where no stream is wanted (%s)', async (_name, express) => {
    const scene = await startScene(OPTIONS, {}, { express });
    const answer = await clientOf(scene).chat({ model: `${MODEL}:latest`, messages: [QUESTION] });
    expect(answer).toEqual({
      model: `${MODEL}:latest`,
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      message: { role: 'assistant', content: ANSWER },
      done: true,
      done_reason: 'stop',
      total_duration: expect.any(Number),
      load_duration: 0,
      prompt_eval_count: expect.any(Number),
      prompt_eval_duration: 0,
      eval_count: expect.any(Number),
      eval_duration: expect.any(Number),
    });
    expect(answer.total_duration).toBeGreaterThan(100_000);
    expect(answer.eval_count).toBeGreaterThan(0);
    expect(scene.venice.calls[0]?.url).toBe('/api/v1/chat/completions');
    expect(sent(scene)).toEqual({ model: MODEL, messages: [QUESTION], stream: false });
  });

  test('is a stream of lines, the last of which has the counts', async () => {
    const { client } = await startOllama();
    const stream = await client.chat({ model: MODEL, messages: [QUESTION], stream: true });
    const parts = await collect(stream);
    expect(textOf(parts)).toBe(ANSWER);
    expect(parts.length).toBeGreaterThan(5);
    expect(parts.filter(({ done }) => done)).toEqual([parts.at(-1)]);
    const last = lastOf(parts);
    expect(last).toMatchObject({
      done_reason: 'stop',
      message: { role: 'assistant', content: '' },
    });
    expect(last.prompt_eval_count).toBeGreaterThan(0);
    expect(last.eval_duration).toBeGreaterThan(0);
    expect(last.prompt_eval_duration).toBeGreaterThan(0);
    const parted = last.load_duration + last.prompt_eval_duration + last.eval_duration;
    expect(Math.abs(last.total_duration - parted)).toBeLessThan(10);
  });

  test('streams where nothing is said of it, whatever type the body says it has', async () => {
    const { baseUrl } = await startOllama();
    const reply = await send(`${baseUrl}/api/chat`, {
      body: JSON.stringify({ model: MODEL, messages: [QUESTION] }),
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
    expect(reply.headers['content-type']).toBe('application/x-ndjson');
    const lines = reply.text.trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as ChatResponse).done).at(-1)).toBe(true);
    expect(reply.complete).toBe(true);
  });

  test.each([false, true])('brings calls of tools as objects (stream: %s)', async (stream) => {
    const scene = await startOllama();
    const request = { model: MODEL, messages: [QUESTION], tools: [WEATHER] };
    const parts = stream
      ? await collect(await scene.client.chat({ ...request, stream: true }))
      : [await scene.client.chat(request)];
    const calls = parts.flatMap(({ message }) => message.tool_calls ?? []);
    expect(calls).toEqual([
      {
        id: expect.stringMatching(/^call-/),
        function: {
          index: 0,
          name: 'get_weather',
          arguments: { query: QUESTION.content, unit: 'metric' },
        },
      },
    ]);
    expect(parts.at(-1)).toMatchObject({ done: true, done_reason: 'stop' });
    expect(sent(scene)).toMatchObject({ tools: [WEATHER] });
  });

  test('goes on behind a tool, whose result finds its call', async () => {
    const scene = await startOllama();
    const called = await scene.client.chat({
      model: MODEL,
      messages: [QUESTION],
      tools: [WEATHER],
    });
    // Most of these clients keep no ids.
    const calls =
      called.message.tool_calls?.map(({ function: { name, arguments: given } }) => ({
        function: { name, arguments: given },
      })) ?? [];
    const answer = await scene.client.chat({
      model: MODEL,
      messages: [
        QUESTION,
        { role: 'assistant', content: '', tool_calls: calls },
        { role: 'tool', content: '11 degrees', tool_name: 'get_weather' },
      ],
      tools: [WEATHER],
    });
    expect(answer.message.content).toBe(ANSWER);
    expect(sent(scene, 1)).toMatchObject({
      messages: [
        {},
        {
          tool_calls: [
            {
              id: 'call_1',
              type: 'function',
              function: { arguments: JSON.stringify({ query: QUESTION.content, unit: 'metric' }) },
            },
          ],
        },
        { role: 'tool', tool_call_id: 'call_1', content: '11 degrees' },
      ],
    });
  });

  test('takes images, a format and options', async () => {
    const scene = await startOllama();
    const png = Buffer.from('89504e470d0a1a0a00', 'hex');
    await scene.client.chat({
      model: MODEL,
      messages: [{ ...QUESTION, images: [new Uint8Array(png)] }],
      format: { type: 'object' },
      options: { num_predict: 9, temperature: 0, num_ctx: 4_096 },
    });
    expect(sent(scene)).toMatchObject({
      messages: [
        {
          content: [
            { type: 'text', text: QUESTION.content },
            {
              type: 'image_url',
              image_url: { url: `data:image/png;base64,${png.toString('base64')}` },
            },
          ],
        },
      ],
      response_format: { type: 'json_schema', json_schema: { schema: { type: 'object' } } },
      max_tokens: 9,
      temperature: 0,
    });
  });

  test('tells thoughts apart from the answer', async () => {
    const upstream = await startSaying(
      'text/event-stream',
      `${deltaEvent({ reasoning_content: 'Hm.' })}${deltaEvent({ content: 'Yes.' })}data: [DONE]\n\n`,
    );
    const ask = async (think?: boolean | 'high'): Promise<ChatResponse[]> =>
      collect(
        await upstream.chat({
          model: MODEL,
          messages: [QUESTION],
          stream: true,
          ...(think === undefined ? {} : { think }),
        }),
      );
    const parts = await ask('high');
    expect(parts.map(({ message: { content, thinking } }) => [content, thinking])).toEqual([
      ['', 'Hm.'],
      ['Yes.', undefined],
      ['', undefined],
    ]);
    expect(upstream.heard[0]).toMatchObject({ reasoning_effort: 'high' });
    expect((await ask(false)).map(({ message }) => message.thinking)).not.toContain('Hm.');
    expect(upstream.heard[1]).toMatchObject({ venice_parameters: { disable_thinking: true } });
  });

  test('without messages only loads a model, which needs nobody', async () => {
    const { client, venice } = await startOllama();
    const loaded = await client.chat({ model: MODEL, messages: [] });
    expect(loaded).toMatchObject({ done: true, done_reason: 'load' });
    const unloaded = await client.chat({ model: MODEL, messages: [], keep_alive: 0 });
    expect(unloaded).toMatchObject({ done_reason: 'unload' });
    expect(venice.calls).toHaveLength(0);
  });

  test('that is left early ends the call upstream', async () => {
    const { client, venice, recorder } = await startOllama({ tokenDelayMs: 50 });
    const stream = await client.chat({ model: MODEL, messages: [QUESTION], stream: true });
    await expect(
      (async () => {
        for await (const part of stream) if (part.message.content !== '') stream.abort();
      })(),
    ).rejects.toMatchObject({ name: 'AbortError' });
    expect((await recorder.ended()).outcome).toBe('client_left');
    await venice.calls[0]?.over;
    expect(venice.calls[0]).toMatchObject({ aborted: true, finished: false });
  });
});

describe('generate', () => {
  test('makes a conversation of a prompt, and a text of its answer', async () => {
    const scene = await startOllama();
    const request = { model: MODEL, prompt: QUESTION.content, system: 'Be brief.' };
    const answer = await scene.client.generate({ ...request, format: 'json' });
    expect(answer).toMatchObject({ response: ANSWER, done: true, done_reason: 'stop' });
    expect(answer).not.toHaveProperty('message');
    expect(sent(scene)).toEqual({
      model: MODEL,
      messages: [{ role: 'system', content: 'Be brief.' }, QUESTION],
      stream: false,
      response_format: { type: 'json_object' },
    });
    const parts = await collect(await scene.client.generate({ ...request, stream: true }));
    expect(parts.map(({ response }) => response).join('')).toBe(ANSWER);
    expect(parts.at(-1)).toMatchObject({ response: '', done: true });
  });

  test.each([
    [{ suffix: 'return x' }, /does not support insert/],
    [{ raw: true }, /does not support raw/],
  ])('refuses what Venice cannot do: %j', async (members, message) => {
    const { client, venice } = await startOllama();
    await expect(client.generate({ model: MODEL, prompt: 'Hi', ...members })).rejects.toMatchObject(
      {
        status_code: 400,
        message: expect.stringMatching(message),
      },
    );
    expect(venice.calls).toHaveLength(0);
  });
});

describe('embeddings', () => {
  test('come for one text or for several', async () => {
    const { client } = await startOllama();
    const several = await client.embed({ model: EMBEDDER, input: ['one', 'two'], dimensions: 8 });
    expect(several.embeddings.map((vector) => vector.length)).toEqual([8, 8]);
    expect(several.prompt_eval_count).toBe(2);
    const one = await client.embed({ model: EMBEDDER, input: 'two', dimensions: 8 });
    expect(one.embeddings).toEqual([several.embeddings[1]]);
  });

  test('come in the older form, too', async () => {
    const { client } = await startOllama();
    const { embedding } = await client.embeddings({ model: EMBEDDER, prompt: 'one' });
    expect(embedding).toHaveLength(1_024);
  });

  test('of nothing are none', async () => {
    const { client, venice } = await startOllama();
    expect(await client.embed({ model: EMBEDDER, input: [] })).toMatchObject({ embeddings: [] });
    expect(await client.embeddings({ model: EMBEDDER, prompt: '' })).toEqual({ embedding: [] });
    expect(venice.calls).toHaveLength(0);
  });
});

describe('what fails', () => {
  test('is tried again, and then succeeds', async () => {
    const { client, venice, recorder } = await startOllama();
    venice.script({ kind: 'overloaded' }, { kind: 'answer', status: 503 });
    const answer = await client.chat({ model: MODEL, messages: [QUESTION] });
    expect(answer.message.content).toBe(ANSWER);
    expect(answer.load_duration).toBe((await recorder.ended()).waitedMs * 1_000_000);
    expect(recorder.attempts).toBe(3);
  });

  test("of Venice's has its words, what helps and its status, in Ollama's shape", async () => {
    const { client, venice } = await startOllama();
    venice.script({ kind: 'answer', status: 402, body: '{"error":"Insufficient balance"}' });
    await expect(client.chat({ model: MODEL, messages: [QUESTION] })).rejects.toMatchObject({
      status_code: 402,
      message: expect.stringMatching(/^Insufficient balance\. .*venice\.ai/),
    });
  });

  test('without a key tells where one is to be put', async () => {
    const client = clientOf(await startScene({ ollama: true }));
    await expect(client.chat({ model: MODEL, messages: [QUESTION] })).rejects.toMatchObject({
      status_code: 401,
      message: expect.stringContaining('VENICE_API_KEY'),
    });
  });

  test('of ours has that shape, too', async () => {
    const { baseUrl, proxy } = await startOllama();
    const asks = await Promise.all([
      send(`${baseUrl}/api/chat`, { body: { messages: [QUESTION] } }),
      send(`${baseUrl}/api/chat`, { body: '{', headers: { 'content-type': 'application/json' } }),
      send(`${baseUrl}/api/chat`, { method: 'POST' }),
      send(`${baseUrl}/api/chat`),
      send(`${baseUrl}/api/tags/../x`),
    ]);
    void proxy.drain();
    const drained = await send(`${baseUrl}/api/tags`);
    expect([...asks, drained].map(({ status }) => status)).toEqual([400, 400, 400, 405, 501, 503]);
    for (const { text } of [...asks, drained]) {
      expect(JSON.parse(text)).toEqual({ error: expect.any(String) });
    }
  });

  test.each(['[]', '{"error":"Not now."}'])(
    'is a list of models that is none: %s',
    async (body) => {
      const upstream = await startSaying('application/json', body);
      await expect(upstream.list()).rejects.toMatchObject({ status_code: 502 });
    },
  );

  test.each([
    ['a page', 'text/html', '<p>Hello'],
    ['a stream that nobody wanted', 'text/event-stream', 'data: [DONE]\n\n'],
  ])('is an answer of another kind: %s', async (_what, type, body) => {
    const upstream = await startSaying(type, body);
    await expect(upstream.chat({ model: MODEL, messages: [QUESTION] })).rejects.toMatchObject({
      status_code: 502,
      message: expect.stringContaining('cannot be read'),
    });
  });

  test('is an answer in a coding that nobody here knows', async () => {
    const { baseUrl, venice } = await startOllama();
    venice.script({
      kind: 'answer',
      status: 200,
      body: {},
      headers: { 'content-encoding': 'zstd' },
    });
    const body = { model: MODEL, messages: [QUESTION], stream: false };
    const reply = await send(`${baseUrl}/api/chat`, { body });
    expect([reply.status, JSON.parse(reply.text)]).toEqual([502, { error: expect.any(String) }]);
  });

  test.each([
    ['longer than what is read of it', `{"error":"Too much.","x":"${'x'.repeat(200_000)}"}`, 0],
    ['broken off', '{"error":"Too much.', 100],
  ])('is an error that is %s', async (_what, text, missing) => {
    const upstream = await listen((_req, res) => {
      res.writeHead(400, {
        'content-type': 'application/json',
        'content-length': text.length + missing,
      });
      res.write(text, () => missing > 0 && res.destroy());
      if (missing === 0) res.end();
    });
    closeAfterTest(() => upstream.close());
    const { baseUrl } = await startFront({ target: upstream.origin, ollama: true });
    const body = { model: MODEL, messages: [QUESTION] };
    const reply = await send(`${baseUrl}/api/chat`, { body });
    expect(reply).toMatchObject({ status: 400, complete: true });
    expect(JSON.parse(reply.text)).toEqual({ error: expect.stringContaining('Too much.') });
  });

  test.each(['pull', 'push', 'create', 'copy', 'delete', 'blobs/sha256:00', 'x'])(
    'is /api/%s, which names the API that is there',
    async (call) => {
      const { baseUrl, venice } = await startOllama();
      const reply = await send(`${baseUrl}/api/${call}`, { body: { model: MODEL } });
      expect(reply.status).toBe(501);
      expect((JSON.parse(reply.text) as { error: string }).error).toContain(`${baseUrl}.`);
      expect(venice.calls).toHaveLength(0);
    },
  );

  test('in the middle of a stream is its last line, and the connection breaks', async () => {
    const { baseUrl, client, venice } = await startOllama();
    venice.script({ kind: 'cut-stream', afterEvents: 4, midEvent: true });
    const body = { model: MODEL, messages: [QUESTION] };
    const reply = await send(`${baseUrl}/api/chat`, { body });
    expect(reply).toMatchObject({ status: 200, complete: false });
    const lines = reply.text.trimEnd().split('\n');
    expect(JSON.parse(lastOf(lines))).toEqual({ error: expect.stringMatching(/broke|closed/) });
    expect(reply.text).not.toContain('"done":true');

    venice.script({ kind: 'cut-stream', afterEvents: 4, midEvent: true });
    const stream = await client.chat({ ...body, stream: true });
    await expect(collect(stream)).rejects.toThrow(/broke|closed/);
  });

  test.each([
    ['an error event', 'data: {"error":{"message":"no more"}}\n\n', 'no more'],
    ['a stream that just ends', 'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', 'ended'],
    [
      'a call of a tool without its arguments',
      'data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"rm","arguments":"{\\"p"}}]},' +
        '"finish_reason":"tool_calls"}]}\n\ndata: [DONE]\n\n',
      'translated',
    ],
    ['an event that is none', 'data: {"choices":[]}\n\ndata: nonsense\n\n', 'translated'],
  ])('is told in the stream: %s', async (_what, events, message) => {
    const upstream = await startSaying('text/event-stream', events);
    const stream = await upstream.chat({ model: MODEL, messages: [QUESTION], stream: true });
    await expect(collect(stream)).rejects.toThrow(message);
  });

  test('is an answer that is none', async () => {
    const upstream = await startSaying('application/json', '{"choices":[]}');
    await expect(upstream.chat({ model: MODEL, messages: [QUESTION] })).rejects.toMatchObject({
      status_code: 502,
    });
  });
});

test('an upstream that streams nothing gives a stream of one line', async () => {
  const message = { content: 'All at once.' };
  const upstream = await startSaying(
    'application/json',
    JSON.stringify({ choices: [{ message }] }),
  );
  const stream = await upstream.chat({ model: MODEL, messages: [QUESTION], stream: true });
  expect(textOf(await collect(stream))).toBe('All at once.');
});

test("an app's own rewrites see Venice's form, not Ollama's", async () => {
  const scene = await startScene({
    ...OPTIONS,
    rewriteRequest: (body) => ({ ...body, max_tokens: 7 }),
    rewriteAnswer: (body) => ({ ...body, usage: { prompt_tokens: 1, completion_tokens: 2 } }),
    rewriteEvent: (event) =>
      Array.isArray(event['choices']) && event['choices'].length > 0 ? undefined : null,
  });
  const request = { model: MODEL, messages: [QUESTION] };
  const answer = await clientOf(scene).chat(request);
  expect(answer).toMatchObject({ prompt_eval_count: 1, eval_count: 2 });
  expect(sent(scene)).toMatchObject({ max_tokens: 7, messages: [QUESTION] });
  const parts = await collect(await clientOf(scene).chat({ ...request, stream: true }));
  expect(textOf(parts)).toBe(ANSWER);
  expect(parts.at(-1)).toMatchObject({ done: true, eval_count: 0 });
});

test('what has its answer already goes through nothing more', async () => {
  const seen: unknown[] = [];
  const rewriteRequest = (body: object): undefined => {
    seen.push(body);
  };
  const client = clientOf(await startScene({ ...OPTIONS, rewriteRequest }));
  expect((await client.chat({ model: MODEL, messages: [] })).done_reason).toBe('load');
  expect(seen).toEqual([]);
});

test("models' other names are listed, shown and understood", async () => {
  const models = { 'gpt-4o': 'mistral-31-24b:enable_web_search=on', 'gpt-5': 'nobody' };
  const scene = await startScene({ ...OPTIONS, models });
  const client = clientOf(scene);
  const names = (await client.list()).models.map(({ name }) => name);
  expect(names).toContain('gpt-4o');
  expect(names).not.toContain('gpt-5');
  expect((await client.show({ model: 'gpt-4o' })).capabilities).toContain('vision');
  const answer = await client.chat({ model: 'gpt-4o:latest', messages: [QUESTION] });
  expect(answer.model).toBe('gpt-4o:latest');
  expect(sent(scene, 1)).toMatchObject({ model: 'mistral-31-24b:enable_web_search=on' });
});

test("while it is off, Ollama's paths go to the target's host", async () => {
  const { baseUrl, venice } = await startScene();
  await send(`${baseUrl}/api/tags`);
  expect(venice.calls[0]?.url).toBe('/api/tags');
});
