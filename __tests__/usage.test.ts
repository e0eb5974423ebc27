import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import type { JsonObject } from '../lib/json-value.ts';
import { parseObject, scanObject } from '../lib/read-usage.ts';
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

const COUNTED = [
  'prompt_tokens',
  'completion_tokens',
  'total_tokens',
  'input_tokens',
  'output_tokens',
];
const NAMES = [
  ...COUNTED,
  ...COUNTED,
  'prompt_tokens_details',
  'cached_tokens',
  'usage',
  'ü',
  '',
  'a"b',
  '__proto__',
  '\n',
];
const LEAVES = ['0', '7', '12', '305', '999999999999999', 'null', '{}'];
/** Some are none. */
const ODD_LEAVES =
  '-1,01,1.5,1e3,1e400,9007199254740991,9007199254740993,true,nul,[1],"","a,"}","\\"{","\\u0041",'.split(
    ',',
  );
const space = fc.constantFrom(...Array<string>(20).fill(''), ' ', '\n\t', '\r', '\u00a0');

/** Objects as text: names come twice, and some are no JSON. */
const { object } = fc.letrec<{ object: string; value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    { weight: 20, arbitrary: fc.constantFrom(...LEAVES) },
    { weight: 1, arbitrary: fc.constantFrom(...ODD_LEAVES) },
    { weight: 3, arbitrary: tie('object') },
  ),
  object: fc
    .array(fc.tuple(fc.constantFrom(...NAMES), space, tie('value'), space), { maxLength: 6 })
    .chain((members) =>
      fc.constantFrom(...Array<string>(20).fill(','), ',,', ';').map((comma) => {
        const texts = members.map(
          ([name, before, value, behind]) =>
            `${before}${JSON.stringify(name)}${behind}:${before}${value}${behind}`,
        );
        return `{${texts.join(comma)}}`;
      }),
    ),
}));

function numbersOf(value: JsonObject | undefined): unknown[] {
  if (value === undefined) return ['nothing'];
  return Object.entries(value)
    .filter(([name, it]) => typeof it === 'number' && COUNTED.includes(name))
    .toSorted(([one], [other]) => (one < other ? -1 : 1));
}

describe('the quick way to read usage', () => {
  test('tells what JSON.parse does, or that it is not sure', () => {
    let sure = 0;
    let told = 0;
    fc.assert(
      fc.property(object, space, fc.constantFrom('', '}', ',"a":1}', '\n'), (text, gap, rest) => {
        const whole = `:${gap}${text}${rest}`;
        const scanned = scanObject(whole);
        if (scanned === undefined) return;
        sure += 1;
        if (numbersOf(scanned).length > 1) told += 1;
        expect(numbersOf(scanned)).toEqual(numbersOf(parseObject(whole)));
      }),
      { seed: 20260901, numRuns: 20_000 },
    );
    expect(sure).toBeGreaterThan(3_000);
    expect(told).toBeGreaterThan(200);
  });

  test('is not sure of an object that is cut off', () => {
    fc.assert(
      fc.property(object, fc.nat(), (text, length) => {
        const cut = text.slice(0, length % text.length);
        expect(scanObject(`:${cut}`)).toBeUndefined();
      }),
      { seed: 20260901, numRuns: 2_000 },
    );
  });

  test('is sure of what Venice sends', () => {
    const details = { prompt_tokens_details: { cached_tokens: 1, a: null }, b: {} };
    expect(scanObject(`:${JSON.stringify({ ...CHAT, ...details })}`)).toEqual(CHAT);
  });
});

describe('the place of usage', () => {
  // It is looked for in two ways, near the end and before.
  test.each([0, 1, 940, 980, 981, 982, 983, 984, 985, 986, 987, 988, 989, 990, 1_000, 40_000])(
    'is found %d bytes before the end',
    (bytes) => {
      const text = `{"usage":${JSON.stringify(CHAT)},"x":"${'y'.repeat(bytes)}"}`;
      expect(read(text)).toEqual(TOLD);
      expect(read(`${text}${JSON.stringify({ c: '"usage":{"total_tokens":1}' })}`)).toEqual(TOLD);
      expect(read(`${text}{"usage":null,"usag`)).toEqual(TOLD);
    },
  );
});

describe('the end of a body', () => {
  const body = Buffer.from(`${'{"x":"'.padEnd(300_000, 'y')}","usage":${JSON.stringify(CHAT)}}`);

  test.each([1, 7, 1_000, 32_768, 400_000])('is kept of pieces of %d bytes', (size) => {
    const tail = new BodyTail(undefined);
    for (let at = 0; at < body.length; at += size) tail.push(body.subarray(at, at + size));
    expect(tail.usage()).toEqual(TOLD);
  });

  test('is read across the border of two pieces, the first of which is long', () => {
    const tail = new BodyTail(undefined);
    tail.push(body.subarray(0, -40));
    tail.push(body.subarray(-40));
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
    const alone = new BodyTail('gzip');
    alone.push(gzipSync(Buffer.concat([randomBytes(70_000), body.subarray(-100)])));
    expect(alone.usage()).toBeUndefined();
    const wrong = new BodyTail('gzip');
    wrong.push(body.subarray(-100));
    expect(wrong.usage()).toBeUndefined();
  });
});
