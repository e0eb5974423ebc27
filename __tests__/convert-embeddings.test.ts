import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { embeddingsToBase64 } from '../lib/convert-embeddings.ts';

function convert(text: string): string | undefined {
  return embeddingsToBase64(Buffer.from(text))?.toString();
}

/** Written by hand, byte by byte, so that it says little-endian on any machine. */
function base64(array: string): string {
  const numbers: readonly number[] = JSON.parse(array);
  const words = new Uint32Array(Float32Array.from(numbers).buffer);
  const bytes = Array.from(words, (word) => [word, word >>> 8, word >>> 16, word >>> 24]).flat();
  return Buffer.from(bytes).toString('base64');
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const ANSWER =
  '{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-1.25e-3,1]},' +
  '{"object":"embedding","embedding":[],"index":1}],"model":"m\\"[","usage":{"total_tokens":8}}';

const space = fc.string({ unit: fc.constantFrom(' ', '\n', '\r', '\t'), maxLength: 2 });

const number = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc.float({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc.constantFrom('0', '-0', '1.0', '12345678901234567890', '1e400', '-1E400', '1e-46', '3.5e38'),
);

const vector = fc
  .array(fc.tuple(space, number, space), { maxLength: 5 })
  .map((numbers) => `[${numbers.map((parts) => parts.join('')).join(',')}]`);

const other = fc.constantFrom(
  'null',
  '7',
  '"AACAPw=="',
  '"a]\\"}"',
  '["a]"]',
  '[1,null]',
  '[[1],[2]]',
  '[1,[2]]',
  '[{"embedding":[1]}]',
  '{"embedding":[1]}',
  '{"data":[{"embedding":[1]}]}',
);

/** What is written, and what is to be written in its place. */
interface Written {
  readonly text: string;
  readonly wanted: string;
}

const same = (text: string): Written => ({ text, wanted: text });

const list = (open: string, items: readonly Written[], close: string): Written => ({
  text: open + items.map(({ text }) => text).join(',') + close,
  wanted: open + items.map(({ wanted }) => wanted).join(',') + close,
});

const embedding = fc
  .tuple(space, fc.constantFrom('"embedding"', '"embed\\u0064ing"'), space, space, vector, space)
  .map(([before, name, left, right, text, after]) => ({
    text: `${before}${name}${left}:${right}${text}${after}`,
    wanted: `${before}${name}${left}:${right}"${base64(text)}"${after}`,
  }));

const bystander = fc
  .tuple(
    fc.constantFrom('"embedding"', '"index"', '"Embedding"', '"embedding]"', '"data"'),
    space,
    other,
  )
  .map(([name, left, value]) => same(`${name}${left}:${value}`));

const notNumbers = vector.map((text) => same(`"not_embedding":${text}`));

const row = fc
  .array(fc.oneof(embedding, bystander, notNumbers), { maxLength: 3 })
  .map((members) => list('{', members, '}'));

const noRow = other.filter((text) => text !== '{"embedding":[1]}').map(same);

const data = fc
  .tuple(
    fc.constantFrom('"data"', '"d\\u0061ta"'),
    space,
    fc.array(fc.oneof({ weight: 5, arbitrary: row }, { weight: 1, arbitrary: noRow }), {
      maxLength: 3,
    }),
  )
  .map(([name, left, rows]) => list(`${name}:${left}[`, rows, ']'));

const noData = fc
  .constantFrom(
    '"embedding":[1,2]',
    '"object":[{"embedding":[1]}]',
    '"data":{"embedding":[1]}',
    '"usage":{"data":[{"embedding":[3]}]}',
    '"model":"\\\\"',
  )
  .map(same);

const answer = fc
  .tuple(space, fc.array(fc.oneof(data, noData), { maxLength: 4 }), space)
  .map(([before, members, after]) => list(`${before}{`, members, `}${after}`));

describe('embeddingsToBase64', () => {
  test('puts base64 in the place of the vectors, and leaves every other byte', () => {
    expect(convert(ANSWER)).toBe(
      ANSWER.replace('[0.5,-1.25e-3,1]', '"AAAAPwrXo7oAAIA/"').replace('[]', '""'),
    );
  });

  test('writes the very bytes of a float32', () => {
    const numbers = '[0.1,-0.0,1e400,1e-46,16777217,3.4028235677973366e38]';
    const text = convert(`{"data":[{"embedding":${numbers}}]}`);
    const parsed: { data: [{ embedding: string }] } = JSON.parse(text ?? '');
    const hex = Buffer.from(parsed.data[0].embedding, 'base64').toString('hex');
    expect(hex.match(/.{8}/g)).toEqual([
      'cdcccc3d',
      '00000080',
      '0000807f',
      '00000000',
      '0000804b',
      '0000807f',
    ]);
  });

  test.each([
    '{"embedding":[1]}',
    '{"data":{"embedding":[1]}}',
    '{"data":[[{"embedding":[1]}]]}',
    '{"data":[{"a":{"embedding":[1]}}]}',
    '{"data":[{"a":[{"embedding":[1]}]}]}',
    '{"a":{"data":[{"embedding":[1]}]}}',
    '{"data":[],"a":[{"embedding":[1]}]}',
    '{"a":"data","b":[{"embedding":[1]}]}',
    '[{"embedding":[1]}]',
    '[{"data":[{"embedding":[1]}]}]',
    '{"data":[{"a":"\\"embedding\\":[1]"}]}',
    '{"data":[{"embedding":"AACAPw=="}]}',
    '{"data":[{"embedding":null}]}',
    '{"data":[{"embedding":["1"]}]}',
    '{"data":[{"embedding":["]",1]}]}',
    '{"data":[{"embedding":[1,null]}]}',
    '{"data":[{"embedding":[[1],[2]]}]}',
    '{"data":[{"embedding":{"0":1}}]}',
    '{"error":"Too many requests"}',
  ])('gives the very same buffer for %s', (text) => {
    const json = Buffer.from(text);
    expect(embeddingsToBase64(json)).toBe(json);
  });

  test('converts what follows something that is not to be converted', () => {
    expect(convert('{"data":[{"embedding":[[1]]},{"embedding":[null]},{"embedding":[1]}]}')).toBe(
      '{"data":[{"embedding":[[1]]},{"embedding":[null]},{"embedding":"AACAPw=="}]}',
    );
  });

  test('keeps text that is not ASCII, and invalid UTF-8, as it is', () => {
    const json = Buffer.from('{"model":"\xc3\xa9\xff","data":[{"embedding":[1]}]}', 'latin1');
    expect(embeddingsToBase64(json)?.toString('latin1')).toBe(
      '{"model":"\xc3\xa9\xff","data":[{"embedding":"AACAPw=="}]}',
    );
  });

  test('recognises an answer that was cut off, at whatever byte', () => {
    for (let end = 0; end < ANSWER.length; end++) {
      expect([end, convert(ANSWER.slice(0, end))]).toEqual([end, undefined]);
    }
  });

  test.each([
    '',
    '<html></html>',
    `${ANSWER}}`,
    `\ufeff${ANSWER}`,
    '{"data":[{"embedding":[1,]}]}',
    '{"data":[{"embedding":[01]}]}',
    '{"data":[{"embedding":[1 2]}]}',
    '{"data":[{"embedding":[1].5}]}',
    '{"data":[{"embedding":[1]"a"}]}',
    '{"data":[{"embedding":[1]]}',
    '{"data":[{"embedding":[1}]}',
    '{"data":[{"embedding":[1,[2}]}',
    '{"data":[{"\\x":"a","embedding":[1]}]}',
    '{"data":[{"embedding":[1]}]',
  ])('refuses %j, which is no JSON', (text) => {
    expect(isJson(text)).toBe(false);
    expect(convert(text)).toBeUndefined();
  });

  test('converts exactly what is to be converted, in whatever spelling', () => {
    let converted = 0;
    fc.assert(
      fc.property(answer, ({ text, wanted }) => {
        expect(isJson(text)).toBe(true);
        expect(convert(text)).toBe(wanted);
        if (text !== wanted) converted += 1;
      }),
      { seed: 20260421, numRuns: 2000 },
    );
    expect(converted).toBeGreaterThan(500);
  });

  test('answers for JSON and for nothing else, of answers that were damaged', () => {
    const damage = fc.record({
      at: fc.nat(),
      remove: fc.nat({ max: 2 }),
      insert: fc.array(fc.constantFrom(...'"\\{}[]:,0-9eE+. \n\u0000tné'.split('')), {
        maxLength: 2,
      }),
    });
    let taken = 0;
    fc.assert(
      fc.property(answer, damage, ({ text }, { at, remove, insert }) => {
        const from = at % (text.length + 1);
        const damaged = text.slice(0, from) + insert.join('') + text.slice(from + remove);
        const result = convert(damaged);
        expect(result !== undefined).toBe(isJson(damaged));
        if (result === undefined) return;
        taken += 1;
        expect(isJson(result)).toBe(true);
      }),
      { seed: 20260422, numRuns: 4000 },
    );
    expect(taken).toBeGreaterThan(500);
  });

  test('takes no longer for hostile shapes than for others', () => {
    const times = 100_000;
    // Each far beyond the time limit, were the cost quadratic.
    expect(convert(`{"data":[{${'"embedding":[},'.repeat(5 * times)}`)).toBeUndefined();
    expect(convert(`{"data":[{${'"embedding":[},'.repeat(times)}]`)).toBeUndefined();
    expect(convert(`{"data":["${'\\"'.repeat(times)}`)).toBeUndefined();
    expect(convert(`{"data":["${'\\\\'.repeat(times)}"]}`)).toBeDefined();
    expect(convert(`{"data":${'['.repeat(times)}${']'.repeat(times)}}`)).toBeDefined();
    expect(convert(`{"data":[{"embedding":${' '.repeat(times)}[${' '.repeat(times)}]}]}`)).toMatch(
      /^\{"data":\[\{"embedding": +""\}\]\}$/,
    );
  });
});
