import * as fc from 'fast-check';
import { DROPPED } from './dropped.ts';

/** A name as it stands in JSON, its quotes included: the ones that are dropped are frequent. */
const name: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...DROPPED.map((each) => JSON.stringify(each))),
  // The same and others that only look like them, written with escapes.
  fc.constantFrom(
    '"log\\u0070robs"',
    '"\\u006Cogprobs"',
    '"logprobs "',
    '"Logprobs"',
    '"log\\tprobs"',
  ),
  fc.constantFrom('"model"', '"messages"', '"__proto__"', '""', '"tools"', '"a\\\\"', '"\\""'),
  fc.string({ unit: 'binary', maxLength: 4 }).map((text) => JSON.stringify(text)),
);

const scalar: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom('null', 'true', 'false', '0', '-0', '1.50', '1E+2', '12345678901234567890'),
  // What misleads a search that knows no strings.
  fc.constantFrom('"\\"logprobs\\":1,"', '"}"', '"]"', '","', '"\\\\"', '"{\\"logprobs\\":"'),
  fc.string({ unit: 'binary', maxLength: 8 }).map((text) => JSON.stringify(text)),
);

const space: fc.Arbitrary<string> = fc.constantFrom('', '', '', ' ', '\n', '\t \r\n');

const { value, object } = fc.letrec<{ value: string; object: string; list: string }>((tie) => ({
  value: fc.oneof({ maxDepth: 4, withCrossShrink: true }, scalar, tie('object'), tie('list')),
  object: fc
    .array(fc.tuple(space, name, space, tie('value'), space), { maxLength: 5 })
    .map(
      (members) =>
        `{${members.map(([a, key, b, its, c]) => `${a}${key}${b}:${its}${c}`).join(',')}}`,
    ),
  list: fc
    .array(fc.tuple(space, tie('value')), { maxLength: 4 })
    .map((values) => `[${values.map(([a, its]) => a + its).join(',')}]`),
}));

/** Far deeper than any parser that calls itself can go, in some engines. */
const deep: fc.Arbitrary<string> = fc
  .tuple(fc.integer({ min: 100, max: 3_000 }), value)
  .map(
    ([levels, its]) =>
      `{"a":${'[{"logprobs":'.repeat(levels)}${its}${'}]'.repeat(levels)},"logprobs":1}`,
  );

/** JSON texts: objects with parameters that are dropped, at their top and anywhere below it. */
export const nestedJson: fc.Arbitrary<string> = fc.oneof(
  { weight: 20, arbitrary: fc.tuple(space, object, space).map((parts) => parts.join('')) },
  { weight: 2, arbitrary: value },
  { weight: 1, arbitrary: deep },
);
