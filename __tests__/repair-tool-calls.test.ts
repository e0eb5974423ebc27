import { describe, expect, test } from '@jest/globals';
import { createApp, repairToolCalls } from '../examples/repair-tool-calls.ts';
import { QUICK, listen } from './helpers/serve.ts';
import { CHAT, chat, closeAfterTest, startScene } from './helpers/scene.ts';
import { sdkFor } from './helpers/start-sdk.ts';

const READ_FILE = {
  type: 'function',
  function: {
    name: 'read_file',
    parameters: {
      type: 'object',
      properties: {
        path: { type: 'string' },
        start_line: { type: 'integer' },
        end_line: { anyOf: [{ type: 'integer' }, { type: 'null' }] },
        ratio: { type: ['number', 'null'] },
        label: { type: ['string', 'integer'] },
        marks: { type: 'array', items: { type: 'object', properties: { at: { type: 'number' } } } },
      },
    },
  },
} as const;

const OTHER = { type: 'function', function: { name: 'other' } } as const;
const TOOLS = { tools: [OTHER, READ_FILE] };

function calling(text: string, name = 'read_file') {
  const call = { id: 'call_1', type: 'function', function: { name, arguments: text } };
  const message = { role: 'assistant', content: null, tool_calls: [call] };
  return { choices: [{ index: 0, message, finish_reason: 'tool_calls' }] };
}

/** What becomes of these arguments in an answer. */
async function answered(text: string, name?: string, tools: object = TOOLS): Promise<string> {
  const scene = await startScene(repairToolCalls());
  scene.venice.script({ kind: 'answer', status: 200, body: calling(text, name) });
  const reply = await chat(scene, tools);
  const { choices }: ReturnType<typeof calling> = JSON.parse(reply.text);
  return choices[0]?.message.tool_calls[0]?.function.arguments ?? '';
}

describe('in a whole answer', () => {
  test.each([
    ['{"path":"a","start_line":"3"}', '{"path":"a","start_line":3}'],
    ['{"end_line":"-2","ratio":"1.5e3"}', '{"end_line":-2,"ratio":1500}'],
    ['{"marks":[{"at":"0.5","by":"7"}]}', '{"marks":[{"at":0.5,"by":"7"}]}'],
  ])('a number that stands as a string becomes one: %s', async (before, after) => {
    expect(await answered(before)).toBe(after);
  });

  test.each([
    ['of a schema that takes a string', '{ "path": "3", "label": "3" }'],
    ['that is no number', '{ "start_line": "three", "ratio": "" }'],
    ['that is no integer', '{ "start_line": "3.5" }'],
    ['that no schema knows', '{ "toString": "3" }'],
    ['beside a number that would be rounded', '{ "start_line": "3", "n": 12345678901234567890 }'],
    ['in a text that is no JSON', '{ "start_line": "3"'],
  ])('a string %s stays, and every byte with it', async (_, text) => {
    expect(await answered(text)).toBe(text);
  });

  test('a tool that the request does not describe is left alone', async () => {
    expect(await answered('{"start_line":"3"}', 'other')).toBe('{"start_line":"3"}');
    expect(await answered('{"start_line":"3"}', 'read_file', {})).toBe('{"start_line":"3"}');
  });
});

const pieceOf = (index: number, called: object, id?: string) => ({
  index,
  ...(id === undefined ? {} : { id, type: 'function' }),
  function: called,
});

function event(delta: object, finish_reason: string | null = null): string {
  const chunk = { id: 'x', object: 'chat.completion.chunk', created: 1, model: CHAT.model };
  return `data: ${JSON.stringify({ ...chunk, choices: [{ index: 0, delta, finish_reason }] })}\n\n`;
}

function toolEvent(...tool_calls: object[]): string {
  return event({ tool_calls });
}

/** An SDK in front of the example's app in front of a stand-in that answers with these events. */
async function streamed(events: readonly string[]) {
  const scene = await startScene();
  const running = await listen(createApp({ target: scene.target, ...QUICK }));
  closeAfterTest(() => running.close());
  // In pieces that cut every event.
  const opening = event({ role: 'assistant', content: null });
  const chunks = (opening + events.join('')).match(/[^]{1,50}/g) ?? [];
  scene.venice.script({ kind: 'raw-stream', chunks, delayMs: 1 });
  const client = sdkFor(`${running.origin}/api/v1`);
  const messages = [{ role: 'user' as const, content: CHAT.messages[0]?.content ?? '' }];
  const stream = client.chat.completions.stream({
    model: CHAT.model,
    messages,
    tools: structuredClone(TOOLS.tools) as never,
  });
  const whole = await stream.finalChatCompletion();
  return whole.choices[0]?.message.tool_calls?.map((call) => [
    call.id,
    call.type === 'function' ? call.function.arguments : undefined,
  ]);
}

describe('in a stream', () => {
  test('arguments that come in pieces are repaired as soon as they are whole', async () => {
    const calls = await streamed([
      toolEvent(pieceOf(0, { name: 'read_file', arguments: '' }, 'a')),
      toolEvent(pieceOf(0, { arguments: '{"marks":[{"at":"1"}' })),
      toolEvent(pieceOf(1, { name: 'other', arguments: '{"start_' }, 'b')),
      toolEvent(
        pieceOf(0, { arguments: '],"start_line":"' }),
        pieceOf(1, { arguments: 'line":"3"}' }),
      ),
      toolEvent(pieceOf(0, { arguments: '3"}' })),
      toolEvent(pieceOf(2, { name: 'read_file', arguments: '{"ratio":"2"}' }, 'c')),
      event({}, 'tool_calls'),
      'data: [DONE]\n\n',
    ]);
    expect(calls).toEqual([
      ['a', '{"marks":[{"at":1}],"start_line":3}'],
      ['b', '{"start_line":"3"}'],
      ['c', '{"ratio":2}'],
    ]);
  });

  test('a name that comes with each piece begins no new call', async () => {
    const scene = await startScene(repairToolCalls());
    const pieces = ['{"start_', 'line":', '"3"}'];
    scene.venice.script({
      kind: 'raw-stream',
      chunks: [
        ...pieces.map((text) => toolEvent(pieceOf(0, { name: 'read_file', arguments: text }))),
        event({}, 'tool_calls'),
      ],
    });
    const { text } = await chat(scene, { ...TOOLS, stream: true });
    const told = [...text.matchAll(/"arguments":"((?:[^"\\]|\\.)*)"/g)].map(([, each]) => each);
    expect(told).toEqual(['', '', '{\\"start_line\\":3}']);
  });

  test('calls that all have one index keep to the schema of their own tool', async () => {
    const scene = await startScene(repairToolCalls());
    const text = '{"start_line":"3"}';
    const calls = ['read_file', 'other'].map((name) => pieceOf(0, { name, arguments: text }, name));
    scene.venice.script({
      kind: 'raw-stream',
      chunks: [...calls.map((each) => toolEvent(each)), event({}, 'tool_calls')],
    });
    const described = { ...OTHER, function: { ...OTHER.function, parameters: {} } };
    const tools = { tools: [described, READ_FILE] };
    const reply = await chat(scene, { ...tools, stream: true });
    const told = [...reply.text.matchAll(/"arguments":("(?:[^"\\]|\\.)*")/g)];
    expect(told.map(([, each = '']) => JSON.parse(each) as string)).toEqual([
      '{"start_line":3}',
      text,
    ]);
  });

  test('what never becomes whole goes out before the end, as the model wrote it', async () => {
    const calls = await streamed([
      toolEvent(pieceOf(0, { name: 'read_file', arguments: '{"start_line":' }, 'a')),
      toolEvent(pieceOf(0, { arguments: '"3' })),
      event({}, 'stop'),
      'data: [DONE]\n\n',
    ]);
    expect(calls).toEqual([['a', '{"start_line":"3']]);
  });

  test('one without tools is forwarded byte for byte', async () => {
    const scene = await startScene(repairToolCalls());
    const chunks = [
      toolEvent(pieceOf(0, { name: 'read_file', arguments: '{"start_line":"3"}' })),
      event({}, 'stop'),
    ];
    scene.venice.script({ kind: 'raw-stream', chunks });
    expect((await chat(scene, { stream: true })).text).toBe(chunks.join(''));
  });
});
