import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { ProxyError } from '../lib/errors.ts';
import { generationParams } from '../lib/ollama/generation-params.ts';
import { chatMessages } from '../lib/ollama/messages.ts';
import { descriptionOf, runningOf, tagsOf, usableModels } from '../lib/ollama/model-list.ts';
import { ToolCalls } from '../lib/ollama/tool-calls.ts';
import { translateAnswer } from '../lib/ollama/translate-answer.ts';
import { translateRequest } from '../lib/ollama/translate-request.ts';
import { StreamTranslation } from '../lib/ollama/translate-stream.ts';

const NOW = new Date(0);

const eventOf = (members: object): string => JSON.stringify({ choices: [members] });

const call = (name: string, id?: string): object => ({
  ...(id === undefined ? {} : { id }),
  function: { name, arguments: {} },
});

const idsOf = (messages: Parameters<typeof chatMessages>[0]): unknown[] =>
  chatMessages(messages).flatMap(({ tool_call_id: id }) => (id === undefined ? [] : [id]));

const result = (tool_name?: string): Record<string, unknown> => ({ role: 'tool', tool_name });

const piece = (index: number, members: object): Record<string, unknown> => ({
  index,
  function: members,
});

const model = (id: string, more: object = {}): Record<string, unknown> => ({
  id,
  type: 'text',
  ...more,
});

describe('how an answer is to be made', () => {
  test.each([
    [{ temperature: 0.5, top_p: 0.9, top_k: 40, min_p: 0.1 }, undefined],
    [{ repeat_penalty: 1.1 }, { repetition_penalty: 1.1 }],
    [{ presence_penalty: 1, frequency_penalty: -1 }, undefined],
    [{ num_predict: 100 }, { max_tokens: 100 }],
    [{ stop: ['a', 'b'] }, undefined],
    [{ seed: 42 }, undefined],
  ])('%j of the options goes upstream', (options, params) => {
    expect(generationParams({ stream: false, options })).toEqual({
      stream: false,
      ...(params ?? options),
    });
  });

  test.each([
    ['what is without end', { num_predict: -1 }],
    ['a random seed', { seed: -1 }],
    ['what Venice refuses', { seed: 0, stop: [] }],
    ['what speaks of a machine', { num_ctx: 4_096, num_gpu: 1, mirostat: 1 }],
    ['what is null', { temperature: null, num_predict: null }],
  ])('%s does not', (_what, options) => {
    expect(generationParams({ stream: false, options })).toEqual({ stream: false });
  });

  test('a stream is asked for unless it is turned off, and for its usage', () => {
    expect(generationParams({})).toEqual({
      stream: true,
      stream_options: { include_usage: true },
    });
  });

  test.each([
    [undefined, {}],
    [true, {}],
    [false, { venice_parameters: { disable_thinking: true } }],
    ['low', { reasoning_effort: 'low' }],
  ])('think %j is %j', (think, params) => {
    expect(generationParams({ stream: false, think })).toEqual({ stream: false, ...params });
  });

  test.each(['', null, undefined])('format %j is none', (format) => {
    expect(generationParams({ stream: false, format })).toEqual({ stream: false });
  });

  test.each(['xml', 1, []])('format %j is refused', (format) => {
    expect(() => generationParams({ format })).toThrow(/format/);
  });
});

describe('a conversation', () => {
  test.each([
    ['/9j/4AAQ', 'data:image/jpeg;base64,/9j/4AAQ'],
    ['R0lGODlh', 'data:image/gif;base64,R0lGODlh'],
    ['UklGRhIA', 'data:image/webp;base64,UklGRhIA'],
    ['AAAA', 'data:image/png;base64,AAAA'],
    ['data:image/png;base64,AAAA', 'data:image/png;base64,AAAA'],
  ])('tells by its bytes what an image is: %s', (image, url) => {
    expect(chatMessages([{ role: 'user', content: '', images: [image] }])).toEqual([
      { role: 'user', content: [{ type: 'image_url', image_url: { url } }] },
    ]);
  });

  test('a result belongs to the first call of its tool that has none', () => {
    const asked = { role: 'assistant', tool_calls: [call('a'), call('b'), call('a')] };
    expect(idsOf([asked, result('b'), result('a'), result('a')])).toEqual([
      'call_2',
      'call_1',
      'call_3',
    ]);
    expect(idsOf([asked, result(), result(), result()])).toEqual(['call_1', 'call_2', 'call_3']);
  });

  test('a result keeps its images', () => {
    const [message] = chatMessages([{ role: 'tool', content: 'a', images: ['/9j/'] }]);
    expect(message?.['content']).toMatchObject([{ text: 'a' }, { type: 'image_url' }]);
  });

  test('ids that a client has kept are its own', () => {
    const asked = { role: 'assistant', tool_calls: [call('a', 'x'), call('a', 'y')] };
    const results = ['y', 'x', 'z'].map((id) => ({ role: 'tool', tool_call_id: id }));
    expect(idsOf([asked, ...results])).toEqual(['y', 'x', 'z']);
  });

  test('thoughts and calls go back as they came', () => {
    const [message] = chatMessages([
      {
        role: 'assistant',
        content: 'So.',
        thinking: 'Hm.',
        tool_calls: [{ function: { name: 'a', arguments: { b: [1] } } }],
      },
    ]);
    expect(message).toEqual({
      role: 'assistant',
      content: 'So.',
      reasoning_content: 'Hm.',
      tool_calls: [
        { id: 'call_1', type: 'function', function: { name: 'a', arguments: '{"b":[1]}' } },
      ],
    });
  });
});

describe('calls of tools', () => {
  test('are put together from their pieces, each at its place', () => {
    const calls = new ToolCalls();
    calls.add([{ ...piece(0, { name: 'a', arguments: '' }), id: 'x' }]);
    calls.add([piece(1, { name: 'b', arguments: '{"q":' }), piece(0, { arguments: '{' })]);
    calls.add([piece(0, { arguments: '}' }), piece(1, { arguments: '"1"}' })]);
    expect(calls.read()).toEqual([
      { id: 'x', function: { index: 0, name: 'a', arguments: {} } },
      { function: { index: 1, name: 'b', arguments: { q: '1' } } },
    ]);
  });

  test.each(['{"a"', '[]', '"text"'])('are not read with %s for arguments', (text) => {
    const calls = new ToolCalls();
    calls.add([{ function: { name: 'a', arguments: text } }]);
    expect(calls.read()).toBeUndefined();
  });

  test.each([[0], [undefined]])('are told apart by their ids where all have index %j', (index) => {
    const calls = new ToolCalls();
    const add = (id: string, name: string, text?: string): void =>
      calls.add([{ index, id, function: { name, arguments: text } }]);
    add('x', 'a');
    add('y', 'b', '{"q":');
    // Without a name it is a piece, whatever its id.
    add('z', '', '1}');
    add('y', 'b', '');
    expect(calls.read()).toEqual([
      { id: 'x', function: { index: 0, name: 'a', arguments: {} } },
      { id: 'y', function: { index: 1, name: 'b', arguments: { q: 1 } } },
    ]);
  });

  test('keep arguments that are an object already, and have no others', () => {
    const read = [{ b: 1 }, [1], 1, true].map((given) => {
      const calls = new ToolCalls();
      calls.add([{ function: { name: 'a', arguments: given } }]);
      return calls.read()?.map(({ function: called }) => called);
    });
    const [whole, ...others] = read;
    expect(whole).toEqual([{ index: 0, name: 'a', arguments: { b: 1 } }]);
    expect(others).toEqual([undefined, undefined, undefined]);
  });

  test('have no arguments where there is no text', () => {
    const calls = new ToolCalls();
    calls.add([{ function: { name: 'a' } }]);
    expect(calls.read()).toEqual([{ function: { index: 0, name: 'a', arguments: {} } }]);
  });
});

describe('an answer', () => {
  const CUT = [{ function: { name: 'a', arguments: '{"b' } }];
  const timing = { waitedMs: 0, firstTokenMs: 1, totalMs: 2 };
  const asked = { form: 'chat', model: 'a', hidesThinking: false, isStream: true } as const;
  const wholeOf = (finish_reason: string): unknown =>
    translateAnswer(
      asked,
      { choices: [{ message: { content: 'b', tool_calls: CUT }, finish_reason }] },
      timing,
      NOW,
    );

  test('that was cut at its length goes without the call that was cut', () => {
    expect(wholeOf('length')).toMatchObject({
      message: { role: 'assistant', content: 'b' },
      done_reason: 'length',
    });
    expect(wholeOf('tool_calls')).toBeUndefined();
    const lines = new StreamTranslation(asked, () => timing);
    lines.push(eventOf({ delta: { tool_calls: CUT }, finish_reason: 'length' }));
    const last = lines.end() ?? '';
    expect(last).not.toContain('tool_calls');
    expect(JSON.parse(last)).toMatchObject({ done: true, done_reason: 'length' });
  });

  test('may come as parts of a text', () => {
    const content = ['b', 'c'].map((text) => ({ type: 'text', text }));
    const choices = [{ message: { content }, finish_reason: 'stop' }];
    expect(translateAnswer(asked, { choices }, timing, NOW)).toMatchObject({
      message: { content: 'bc' },
    });
    const lines = new StreamTranslation(asked, () => timing);
    expect(JSON.parse(lines.push(eventOf({ delta: { content } })))).toMatchObject({
      message: { content: 'bc' },
    });
  });

  test.each([
    { error: { message: 'boom' }, choices: [{ delta: {}, finish_reason: 'error' }] },
    { error: 'boom' },
    { type: 'error', message: 'boom' },
  ])('ends with the error of the stream, not as if all were well: %j', (event) => {
    const lines = new StreamTranslation(asked, () => timing);
    expect(lines.push(JSON.stringify(event))).toBe('{"error":"boom"}\n');
    expect(lines.push('[DONE]') + lines.end()).toBe('');
  });

  test('takes no error that is null for one', () => {
    const lines = new StreamTranslation(asked, () => timing);
    expect(lines.push('{"error":null,"usage":{"completion_tokens":2}}')).toBe('');
    expect(JSON.parse(lines.push('[DONE]'))).toMatchObject({ done: true, eval_count: 2 });
  });

  test('has no last line unless the stream has told that it is complete', () => {
    const lines = new StreamTranslation(asked, () => timing);
    lines.push(eventOf({ delta: { content: 'b' } }));
    expect(lines.end()).toBeUndefined();
  });

  test('has durations in nanoseconds', () => {
    const lines = new StreamTranslation(asked, () => ({
      waitedMs: 3,
      firstTokenMs: 5,
      totalMs: 9,
    }));
    expect(JSON.parse(lines.push('[DONE]'))).toMatchObject({
      load_duration: 3_000_000,
      prompt_eval_duration: 2_000_000,
      eval_duration: 4_000_000,
      total_duration: 9_000_000,
    });
  });
});

describe('models', () => {
  test('that make images and the like are left out, and what is none', () => {
    const data = [model('a'), model('b', { type: 'image' }), model(''), null, 'c'];
    expect(usableModels({ data })).toEqual([model('a')]);
    expect(usableModels({})).toEqual([]);
  });

  test.each([
    ['llama-3.3-70b', 'llama', '70B'],
    ['qwen3-235b-a22b', 'qwen', '235B'],
    ['openai/gpt-oss-120b', 'gpt', '120B'],
    ['text-embedding-qwen3-0.6b', 'text', '0.6B'],
    ['venice-uncensored', 'venice', ''],
    ['4x', 'venice', ''],
  ])('%s is of the family %s and has the size "%s"', (id, family, parameter_size) => {
    expect(tagsOf([model(id)])).toMatchObject({
      models: [{ name: id, details: { family, families: [family], parameter_size } }],
    });
  });

  test('of which little is known are shown all the same', () => {
    expect(descriptionOf(model('a', { created: 1e300 }))).toMatchObject({
      capabilities: ['completion'],
      model_info: { 'general.architecture': 'a', 'general.basename': 'a' },
    });
  });

  test('that embed tell how long their input and their vectors may be', () => {
    const model_spec = { embeddingDimensions: 1_024, maxInputTokens: 8_192 };
    expect(descriptionOf(model('bge', { type: 'embedding', model_spec }))).toMatchObject({
      capabilities: ['embedding'],
      model_info: { 'bge.context_length': 8_192, 'bge.embedding_length': 1_024 },
    });
  });
});

test.each(['chat', 'generate', 'embed', 'embeddings'] as const)(
  '%s needs a model, and takes it with the tag that Ollama puts behind it',
  (form) => {
    const body = { messages: [{ role: 'user', content: 'a' }], prompt: 'a', input: 'a' };
    expect(() => translateRequest(form, body, NOW)).toThrow('model is required');
    const asked = { ...body, model: 'llama-3.3-70b:latest' };
    expect(translateRequest(form, asked, NOW)).toMatchObject({ body: { model: 'llama-3.3-70b' } });
  },
);

test.each([
  [{ messages: 'Hi' }, 'messages is not a list of objects'],
  [{ messages: ['Hi'] }, 'messages is not a list of objects'],
  [{ messages: [{ content: 1 }] }, 'content is not a string'],
  [{ messages: [{ images: [1] }] }, 'images is not a list of strings'],
  [{ messages: [{}], tools: {} }, 'tools is not a list of objects'],
])('what would be lost is refused: %j', (members, message) => {
  const body = { model: 'a', ...members };
  expect(() => translateRequest('chat', body, NOW)).toThrow(message);
});

describe('whatever comes', () => {
  const NAMES =
    'model messages role content images tool_calls function prompt tools format options stop input ' +
    'id type model_spec created choices delta message index arguments finish_reason usage data error';
  const nested = fc.object({
    key: fc.constantFrom(...NAMES.split(' ')),
    values: [fc.jsonValue({ maxDepth: 1 })],
    maxDepth: 5,
    withNullPrototype: false,
  });

  test('a request is translated or refused, and nothing else', () => {
    fc.assert(
      fc.property(
        nested,
        fc.constantFrom('chat', 'generate', 'embed', 'embeddings'),
        (body, form) => {
          try {
            expect(
              typeof JSON.stringify(translateRequest(form, { model: 'a', ...body }, NOW)),
            ).toBe('string');
          } catch (error) {
            if (!(error instanceof ProxyError)) throw error;
          }
        },
      ),
    );
  });

  test('an answer is translated, or is none', () => {
    const timing = { waitedMs: 0, firstTokenMs: undefined, totalMs: 1 };
    fc.assert(
      fc.property(
        nested,
        fc.constantFrom('chat', 'generate', 'embed', 'embeddings'),
        (answer, form) => {
          const asked = { form, model: 'a', hidesThinking: false, isStream: false };
          expect(() => translateAnswer(asked, answer, timing, NOW)).not.toThrow();
        },
      ),
    );
  });

  test('events make whole lines, and only one that is the last', () => {
    const asked = { form: 'chat', model: 'a', hidesThinking: false, isStream: true } as const;
    const timing = { waitedMs: 0, firstTokenMs: 1, totalMs: 2 };
    fc.assert(
      fc.property(fc.array(nested, { maxLength: 5 }), (events) => {
        const lines = new StreamTranslation(asked, () => timing);
        let text = '';
        try {
          for (const event of events) text += lines.push(JSON.stringify(event));
          text += lines.end() ?? '';
        } catch (error) {
          if (!(error instanceof SyntaxError)) throw error;
        }
        const parsed = text
          .split('\n')
          .slice(0, -1)
          .map((line) => JSON.parse(line) as { done?: boolean });
        expect(parsed.filter(({ done }) => done === true).length).toBeLessThan(2);
        expect(text === '' || text.endsWith('\n')).toBe(true);
      }),
    );
  });

  test('models are told', () => {
    fc.assert(
      fc.property(fc.array(nested), (data) => {
        const models = usableModels({ data });
        expect(() => [tagsOf(models), runningOf(models), models.map(descriptionOf)]).not.toThrow();
      }),
    );
  });
});
