import * as fc from 'fast-check';

/** An answer with embeddings, as text, and what it is to a client that wants base64. */
export interface EmbeddingsText {
  readonly floats: string;
  readonly base64: string;
}

const same = (text: string): EmbeddingsText => ({ floats: text, base64: text });

const space = fc.constantFrom('', '', '', ' ', '\n  ');

const number = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true, min: -1, max: 1 }).map(String),
  fc.constantFrom('0', '-0', '1', '1e-46', '3.4028235e38', '-1.5E+2', '0.1', '16777217', '1e400'),
);

const vector: fc.Arbitrary<EmbeddingsText> = fc
  .tuple(fc.array(number, { maxLength: 6 }), space)
  .map(([numbers, gap]) => {
    const { buffer } = Float32Array.from(numbers, Number);
    const floats = `[${numbers.join(`${gap},${gap}`)}]`;
    return { floats, base64: JSON.stringify(Buffer.from(buffer).toString('base64')) };
  });

/** What stands where a vector is expected, and is none. */
const noVector = fc
  .constantFrom(
    '"AACAPw=="',
    'null',
    '{}',
    '["a"]',
    '[1,null]',
    '[[1]]',
    '[1,[2],3]',
    '{"embedding":[1]}',
  )
  .map(same);

/** The same where an object is expected. */
const noItem = fc.constantFrom('"x"', 'null', '7', '[]', '[{"embedding":[1]}]', '[[1]]').map(same);

const noise = fc
  .constantFrom(
    '"object":"embedding"',
    '"index":0',
    '"text":"\\"embedding\\":[1,2]"',
    '"usage":{"embedding":[1,2],"data":[{"embedding":[3]}]}',
    '"more":[{"embedding":[1]}]',
    '"\u00e9":"]}"',
    '"embeddings":[1]',
  )
  .map(same);

const embeddingName = fc.constantFrom('"embedding"', '"embedding"', '"embe\\u0064ding"');

const item = objectOf(
  fc
    .tuple(embeddingName, space, fc.oneof({ weight: 4, arbitrary: vector }, noVector))
    .map(([name, gap, { floats, base64 }]) => ({
      floats: `${name}${gap}:${gap}${floats}`,
      base64: `${name}${gap}:${gap}${base64}`,
    })),
);

const data = fc
  .tuple(fc.array(fc.oneof({ weight: 6, arbitrary: item }, noItem), { maxLength: 4 }), space)
  .map(([items, gap]) => joined(items, `"data"${gap}:[${gap}`, `${gap},`, ']'));

/** Whole, as Venice might write it and as nobody does. */
export const embeddingsText: fc.Arbitrary<EmbeddingsText> = objectOf(data);

/** An object with a member of this kind, or two, or none, among others. */
function objectOf(member: fc.Arbitrary<EmbeddingsText>): fc.Arbitrary<EmbeddingsText> {
  return fc
    .tuple(fc.array(noise, { maxLength: 2 }), fc.array(member, { maxLength: 2 }), noise, space)
    .map(([before, members, after, gap]) =>
      joined([...before, ...members, after], `{${gap}`, `${gap},`, `${gap}}`),
    );
}

function joined(parts: readonly EmbeddingsText[], open: string, comma: string, close: string) {
  return {
    floats: open + parts.map(({ floats }) => floats).join(comma) + close,
    base64: open + parts.map(({ base64 }) => base64).join(comma) + close,
  };
}
