import { describe, expect, test } from '@jest/globals';
import { StreamEnd } from '../lib/stream-end.ts';

const NOTHING = Buffer.alloc(0);

function isComplete(route: string, pieces: readonly string[], tail = ''): boolean | undefined {
  const end = StreamEnd.of(route);
  for (const piece of pieces) end?.look(Buffer.from(piece), false);
  return end?.isComplete(Buffer.from(tail));
}

const DELTA = 'data: {"choices":[{"delta":{"content":"x"},"finish_reason":null}]}\n\n';

describe('a stream of /chat/completions', () => {
  test.each([
    ['[DONE]', 'data: [DONE]\n\n'],
    ['[DONE] without a space', 'data:[DONE]\n\n'],
    ['[DONE] in CRLF', 'data: [DONE]\r\n\r\n'],
    ['[DONE] in CR', 'data: [DONE]\r\r'],
    ['a reason', 'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'],
    ['a reason behind white space', 'data: {"choices":[{"finish_reason" : "length"}]}\n\n'],
    ['a reason behind others without', `${DELTA}data: {"choices":[{"finish_reason":"stop"}]}\n\n`],
    ['an error', 'data: {"error":{"message":"no"}}\n\n'],
    ['an error that is text', 'data: {"error":"no"}\n\n'],
    ['an error by its name', 'event: error\ndata: {"type":"error","message":"an \\"error\\""}\n\n'],
  ])('is complete with %s, and whatever stands behind it', (_name, last) => {
    expect(isComplete('/chat/completions', [DELTA, last])).toBe(true);
    expect(isComplete('/chat/completions', [DELTA + last])).toBe(true);
    expect(isComplete('/chat/completions', [DELTA, last, ': bye\n\n'])).toBe(true);
  });

  test.each([
    ['nothing', ''],
    ['a delta', DELTA],
    ['an empty reason', 'data: {"choices":[{"finish_reason":""}]}\n\n'],
    ['[DONE] in a comment', ': data: [DONE]\n\n'],
    ['[DONE] in a text', 'data: {"choices":[{"delta":{"content":"data: [DONE]"}}]}\n\n'],
    ['a reason in a text', `data: ${JSON.stringify({ content: '"finish_reason":"stop"' })}\n\n`],
    ['an error that is none', 'data: {"choices":[],"error":null}\n\n'],
    ['an error beside choices', 'data: {"choices":[{}],"error":{"message":"m"}}\n\n'],
  ])('is not with %s', (_name, last) => {
    expect(isComplete('/chat/completions', [DELTA, last])).toBe(false);
  });

  test('is not with [DONE] in front of what came later', () => {
    expect(isComplete('/chat/completions', ['data: [DONE]\n\n', DELTA])).toBe(false);
  });

  test.each([
    ['data: [DONE]', true],
    ['data: [DONE]\n', true],
    ['data: {"choices":[{"finish_reason":"stop"}]}', true],
    ['data: {"error":"no"}\n', true],
    ['data: {"choices":[{"finish_reason":"stop"}', false],
    ['data: {"choices":[{"finish_reason":null}]}', false],
    ['data: [DON', false],
  ])('whose last event lacks its blank line is judged by it: %j', (tail, expected) => {
    expect(isComplete('/chat/completions', [DELTA], tail)).toBe(expected);
  });

  test('is judged as well where its pieces are cut', () => {
    const event = Buffer.from('data: {"choices":[{"finish_reason":"stop"}]}\n\n');
    for (let at = 1; at < event.length; at += 1) {
      const end = StreamEnd.of('/chat/completions');
      end?.look(event.subarray(0, at), true);
      end?.look(event.subarray(at), false);
      expect(end?.isComplete(NOTHING)).toBe(true);
    }
  });
});

describe('a stream of /responses', () => {
  const created = 'event: response.created\ndata: {"type":"response.created"}\n\n';

  test.each(['completed', 'incomplete', 'failed'])('is complete with response.%s', (how) => {
    const last = `event: response.${how}\ndata: {"type":"response.${how}"}\n\n`;
    expect(isComplete('/responses', [created, last])).toBe(true);
  });

  test('is complete with an error', () => {
    expect(isComplete('/responses', [created, 'data: {"type":"error","code":"x"}\n\n'])).toBe(true);
  });

  test.each([
    created,
    'data: [DONE]\n\n',
    `data: ${JSON.stringify({ type: 'response.output_text.done', text: '"response.completed"' })}\n\n`,
  ])('is not with %j', (last) => {
    expect(isComplete('/responses', [created, last])).toBe(false);
  });
});

test('of other routes nothing is known', () => {
  expect(StreamEnd.of('/audio/speech')).toBeUndefined();
});
