import { describe, expect, test } from '@jest/globals';
import { gzipSync } from 'node:zlib';
import { BodyTail, usageIn } from '../lib/usage.ts';

const CHAT = { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8 };
const TOLD = { inputTokens: 3, outputTokens: 5, totalTokens: 8 };

function read(text: string): unknown {
  return usageIn(Buffer.from(text));
}

describe('usage', () => {
  test.each<[string, string]>([
    ['at the end of JSON', JSON.stringify({ choices: [], usage: CHAT })],
    ['in front of other members', JSON.stringify({ usage: CHAT, venice_parameters: { a: 1 } })],
    ['with white space', JSON.stringify({ usage: CHAT }, undefined, 2)],
    [
      'in the last event',
      `data: ${JSON.stringify({ choices: [], usage: CHAT })}\n\ndata: [DONE]\n\n`,
    ],
    [
      'in front of events that have none',
      `data: ${JSON.stringify({ usage: CHAT })}\n\ndata: {"usage":null}\n\n`,
    ],
    ['with details', JSON.stringify({ usage: { ...CHAT, details: { a: '}"', b: {} } } })],
    [
      'of responses',
      JSON.stringify({
        response: { usage: { input_tokens: 3, output_tokens: 5, total_tokens: 8 } },
      }),
    ],
    ['behind a text that looks like it', JSON.stringify({ c: '"usage":{"a":1}', usage: CHAT })],
    [
      'in front of a text that looks like it',
      JSON.stringify({ usage: CHAT, c: '"usage":{"total_tokens":1}' }),
    ],
  ])('is found %s', (_where, text) => {
    expect(read(text)).toEqual(TOLD);
  });

  test('of embeddings has no output', () => {
    expect(read('{"usage":{"prompt_tokens":3,"total_tokens":3}}')).toEqual({
      inputTokens: 3,
      outputTokens: undefined,
      totalTokens: 3,
    });
  });

  test.each([
    ['nothing', ''],
    ['no usage', '{"choices":[]}'],
    ['a null', '{"usage":null}'],
    ['another shape', '{"usage":{"tokens":1}}'],
    ['no numbers', '{"usage":{"total_tokens":"8"}}'],
    ['impossible numbers', '{"usage":{"total_tokens":-8,"prompt_tokens":1e400}}'],
    ['half of it', '{"usage":{"total_tokens":8'],
    ['only the name', '"usage"'],
    ['a text of the model', JSON.stringify({ c: '"usage":{"total_tokens":1}' })],
  ])('is not made up from %s', (_what, text) => {
    expect(read(text)).toBeUndefined();
  });
});

describe('the end of a body', () => {
  const body = Buffer.from(`${'{"x":"'.padEnd(300_000, 'y')}","usage":${JSON.stringify(CHAT)}}`);

  test.each([1, 7, 1_000, 32_768, 400_000])('is kept of pieces of %d bytes', (size) => {
    const tail = new BodyTail(undefined);
    for (let at = 0; at < body.length; at += size) tail.push(body.subarray(at, at + size));
    expect(tail.usage()).toEqual(TOLD);
  });

  test('is read through its coding', () => {
    const tail = new BodyTail('gzip');
    const coded = gzipSync(body);
    tail.push(coded.subarray(0, 10));
    tail.push(coded.subarray(10));
    expect(tail.usage()).toEqual(TOLD);
  });

  test('is not read where the coded body is long, or is none', () => {
    const long = new BodyTail('gzip');
    long.push(Buffer.alloc(70_000));
    long.push(gzipSync(body));
    expect(long.usage()).toBeUndefined();
    const wrong = new BodyTail('gzip');
    wrong.push(body.subarray(-100));
    expect(wrong.usage()).toBeUndefined();
  });
});
