import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { HeldBytes } from '../lib/held-bytes.ts';
import { cutMembers, findMembers, replaceValues, scalarValue } from '../lib/json-members.ts';
import type { JsonPart } from '../lib/json-members.ts';

const ALL = new Set(['model', 'stream', 'logprobs', '__proto__', '', 'é😀']);

/** Finds, and fails the test when the text is not taken for an object. */
function find(json: Buffer, names: ReadonlySet<string> = ALL) {
  const members = findMembers(json, names);
  if (members === undefined) throw new Error(`refused: ${json.toString()}`);
  return members;
}

function edited(json: Buffer, parts: readonly JsonPart[] | undefined): Buffer {
  return new HeldBytes([json]).edited(parts).joined();
}

function cut(text: string, ...names: string[]): string {
  const json = Buffer.from(text);
  return edited(
    json,
    cutMembers(json.length, find(json, new Set(names)), () => true),
  ).toString();
}

function nested(levels: number): Buffer {
  return Buffer.from(`{"model":${'['.repeat(levels)}0${']'.repeat(levels)}}`);
}

/** What `JSON.parse` says of the bytes, read as latin1: byte by byte, as the scanner does. */
function isObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

/** Without what long strings say: of those it only matters where they end. */
function withShortStrings(text: string): string {
  return text.replaceAll(/"(?:[^"\\]|\\[^])*"/g, (string) =>
    string.length > 31 ? '"long"' : string,
  );
}

const space = fc.string({ unit: fc.constantFrom(' ', '\n', '\r', '\t'), maxLength: 3 });

const hex = (unit: number, upper: boolean): string => {
  const digits = unit.toString(16).padStart(4, '0');
  return `\\u${upper ? digits.toUpperCase() : digits}`;
};

/** A UTF-16 unit, written as an escape: lone surrogates are among them. */
const escaped = fc
  .tuple(fc.nat({ max: 0xffff }), fc.boolean())
  .map(([unit, upper]) => ({ value: String.fromCharCode(unit), text: hex(unit, upper) }));

const character = fc.oneof(
  fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 1 })
    .map((value) => ({ value, text: JSON.stringify(value).slice(1, -1) })),
  fc.constantFrom(
    { value: '"', text: '\\"' },
    { value: '\\', text: '\\\\' },
    { value: '/', text: '\\/' },
    { value: '\b', text: '\\b' },
    { value: '\n', text: '\\n' },
    { value: ',', text: ',' },
    { value: '}', text: '}' },
  ),
  escaped,
);

const string = fc.array(character, { maxLength: 6 }).map((characters) => ({
  value: characters.map(({ value }) => value).join(''),
  text: `"${characters.map(({ text }) => text).join('')}"`,
}));

/** A name that is asked for, each unit of it plain or as an escape. */
const wantedName = fc
  .tuple(fc.constantFrom(...ALL), fc.array(fc.boolean(), { minLength: 9, maxLength: 9 }))
  .map(([value, escapes]) => ({
    value,
    text: `"${Array.from({ length: value.length }, (_, i) => {
      const unit = value.charCodeAt(i);
      // Half of a pair cannot be written plainly.
      return escapes[i] === true || (unit & 0xf800) === 0xd800 ? hex(unit, i % 2 > 0) : value[i];
    }).join('')}"`,
  }));

const number = fc
  .tuple(
    fc.constantFrom('', '-'),
    fc.constantFrom('0', '1', '12345678901234567890', '9007199254740993', '70'),
    fc.constantFrom('', '.0', '.10', '.000000000000000000001'),
    fc.constantFrom('', 'e5', 'E+05', 'e-400', 'E400'),
  )
  .map((parts) => parts.join(''));

const { value: anyValue } = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom('null', 'true', 'false', '[]', '{}', '[ ]', '{\n}'),
    number,
    string.map(({ text }) => text),
    fc
      .array(fc.tuple(space, tie('value'), space), { minLength: 1, maxLength: 3 })
      .map((items) => `[${items.map((item) => item.join('')).join(',')}]`),
    fc
      .array(fc.tuple(space, fc.oneof(wantedName, string), space, tie('value'), space), {
        minLength: 1,
        maxLength: 3,
      })
      .map((items) => {
        const members = items.map(([a, { text }, b, value, c]) => `${a}${text}${b}:${value}${c}`);
        return `{${members.join(',')}}`;
      }),
  ),
}));

interface Written {
  readonly before: string;
  readonly name: string;
  /** Name, colon, and what is around the colon. */
  readonly head: string;
  readonly value: string;
  readonly after: string;
}

const member: fc.Arbitrary<Written> = fc
  .tuple(space, fc.oneof(wantedName, string), space, space, anyValue, space)
  .map(([before, { value: name, text }, left, right, value, after]) => ({
    before,
    name,
    head: `${text}${left}:${right}`,
    value,
    after,
  }));

const object = fc.record({
  lead: space,
  members: fc.array(member, { minLength: 1, maxLength: 6 }),
  trail: space,
});

interface Body {
  readonly lead: string;
  readonly members: readonly Written[];
  readonly trail: string;
}

function write({ lead, members, trail }: Body): string {
  const written = members.map(({ before, head, value, after }) => before + head + value + after);
  return `${lead}{${written.join(',')}}${trail}`;
}

/** The members that stay, a comma in front of each but the first of them, and all white space. */
function writeWithout(body: Body, names: ReadonlySet<string>): string {
  let kept = 0;
  const written = body.members.map(({ before, name, head, value, after }) => {
    if (names.has(name)) return before + after;
    kept += 1;
    return `${kept > 1 ? ',' : ''}${before}${head}${value}${after}`;
  });
  return `${body.lead}{${written.join('')}}${body.trail}`;
}

const someNames = fc.subarray([...ALL]).map((names) => new Set(names));

describe('findMembers', () => {
  test('finds the names in the order of the text, duplicates included', () => {
    const json = Buffer.from('{"stream":1,"model":2,"n":3,"stream":4}');
    expect(find(json).map(({ name }) => name)).toEqual(['stream', 'model', 'stream']);
    expect(find(json).map((found) => scalarValue(json, found))).toEqual([1, 2, 4]);
  });

  test('finds a name that is written with escapes', () => {
    const json = Buffer.from('{"mod\\u0065l":"a","\\u005f_proto__":1}');
    expect(find(json).map(({ name }) => name)).toEqual(['model', '__proto__']);
  });

  test('finds nothing below the top level, nor in strings', () => {
    const json = Buffer.from('{"a":{"model":1},"b":[{"model":2}],"c":"\\"model\\":3,"}');
    expect(find(json)).toEqual([]);
  });

  test.each(['{}', ' { } ', '\r\n{\t}\n', '{"a":[],"b":{}}', '{"":0}'])('takes %j', (text) => {
    expect(findMembers(Buffer.from(text), new Set(['x']))).toEqual([]);
  });

  test.each([
    '',
    ' ',
    'null',
    '"{}"',
    '[{"model":1}]',
    '{',
    '{}x',
    '{}{}',
    '{,}',
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    '{"a":1 "b":2}',
    '{"a":1;"b":2}',
    '{a:1}',
    "{'a':1}",
    '{"a":[1,]}',
    '{"a":[1}}',
    '{"a":{"b":1]}',
    '{"a":[,1]}',
    '{"a":01}',
    '{"a":-}',
    '{"a":+1}',
    '{"a":.5}',
    '{"a":1.}',
    '{"a":1e}',
    '{"a":1e+}',
    '{"a":NaN}',
    '{"a":tru}',
    '{"a":truer}',
    '{"a":nul}',
    '{"a":"\\x"}',
    '{"a":"\\u12g4"}',
    '{"a":"\\u123"}',
    '{"a":"\n"}',
    '{"a":"\u0000"}',
    '{"a":"b}',
    '{"a":"\\"}',
    '{"a":1/**/}',
    '{\u00a0"a":1}',
    '\ufeff{"a":1}',
  ])('leaves %j alone, which is not one JSON object', (text) => {
    expect(isObject(text)).toBe(false);
    expect(findMembers(Buffer.from(text), ALL)).toBeUndefined();
  });

  test('tolerates invalid UTF-8 inside of strings only', () => {
    const inside = Buffer.from('{"model":"\xff\xc3","\xe2\x28":1,"stream":true}', 'latin1');
    expect(find(inside).map(({ name }) => name)).toEqual(['model', 'stream']);
    expect(findMembers(Buffer.from('{"model":1}\xff', 'latin1'), ALL)).toBeUndefined();
  });

  test.each([
    ['[', ']'],
    ['{"model":', '}'],
  ])('goes through 100 000 levels of %s', (open, close) => {
    const levels = 100_000;
    const text = `{"a":${open.repeat(levels)}0${close.repeat(levels)},"model":1}`;
    expect(find(Buffer.from(text))).toHaveLength(1);
    expect(findMembers(Buffer.from(text.replace('0', `0${close}`)), ALL)).toBeUndefined();
    expect(findMembers(Buffer.from(text.replace('0', `0${open}`)), ALL)).toBeUndefined();
  });

  test('leaves alone what is more than a million levels deep', () => {
    expect(find(nested(1_000_000))).toHaveLength(1);
    expect(findMembers(nested(1_000_001), ALL)).toBeUndefined();
  });

  test('finds what was written, in whatever spelling', () => {
    fc.assert(
      fc.property(object, (body) => {
        const json = Buffer.from(write(body));
        const wanted = body.members.filter(({ name }) => ALL.has(name));
        const found = find(json);
        expect(found.map(({ name }) => name)).toEqual(wanted.map(({ name }) => name));
        for (const [i, { name, head, value }] of wanted.entries()) {
          const it = found[i];
          if (it === undefined) throw new Error(`${name} is missing`);
          expect(json.toString('utf8', it.start, it.end)).toBe(head + value);
          expect(json.toString('utf8', it.valueStart, it.end)).toBe(value);
          const decoded: unknown = JSON.parse(value);
          const scalar = typeof decoded !== 'object' || decoded === null;
          expect(scalarValue(json, it)).toBe(scalar ? decoded : undefined);
        }
      }),
      { seed: 20260411, numRuns: 2000 },
    );
  });

  test('takes what JSON.parse takes and nothing else, of bodies that were cut off', () => {
    fc.assert(
      fc.property(object, fc.nat(), (body, position) => {
        const json = Buffer.from(write(body));
        const part = json.subarray(0, position % (json.length + 1));
        expect(findMembers(part, ALL) !== undefined).toBe(isObject(part.toString('latin1')));
      }),
      { seed: 20260412, numRuns: 2000 },
    );
  });

  test.each([
    [String.raw`{"${'a'.repeat(40)}\x":1,"model":"m"}`],
    [String.raw`{"${'a'.repeat(40)}\u12":1,"model":"m"}`],
  ])('leaves a body alone with a name that nobody can read', (text) => {
    expect(findMembers(Buffer.from(text), ALL)).toBeUndefined();
  });

  test('finds the end of a long string behind any number of backslashes', () => {
    for (let backslashes = 0; backslashes < 9; backslashes += 1) {
      const long = 'a'.repeat(40) + '\\'.repeat(backslashes);
      const text = `{"x":"${long}","model":"m"${backslashes % 2 === 1 ? ':1,"y":"z"' : ''}}`;
      const members = findMembers(Buffer.from(text), new Set(['model', 'x', 'y']));
      expect(members !== undefined).toBe(isObject(text));
    }
  });

  test('gives no value for a long string that nobody can read', () => {
    const json = Buffer.from(String.raw`{"model":"${'a'.repeat(40)}\x"}`);
    const [found] = findMembers(json, ALL) ?? [];
    expect(found?.name).toBe('model');
    expect(found && scalarValue(json, found)).toBeUndefined();
  });

  test('takes what JSON.parse takes, and nothing else but in long strings, of damaged bodies', () => {
    const byte = fc.oneof(
      fc.constantFrom(...Buffer.from('"\\{}[]:,0-9eE+. \n\u0000\u001ftfnu/')),
      fc.nat({ max: 0xff }),
    );
    const damage = fc.record({
      at: fc.nat(),
      remove: fc.nat({ max: 2 }),
      insert: fc.array(byte, { maxLength: 2 }),
    });
    let taken = 0;
    fc.assert(
      fc.property(object, fc.array(damage, { minLength: 1, maxLength: 2 }), (body, damages) => {
        let json = Buffer.from(write(body));
        for (const { at, remove, insert } of damages) {
          const from = at % (json.length + 1);
          json = Buffer.concat([
            json.subarray(0, from),
            Buffer.from(insert),
            json.subarray(from + remove),
          ]);
        }
        const members = findMembers(json, ALL);
        const isTaken = members !== undefined;
        const text = json.toString('latin1');
        // What is taken is JSON but for its long strings, and what is not, is none at all.
        expect(isTaken ? isObject(withShortStrings(text)) : isObject(text)).toBe(isTaken);
        if (members === undefined) return;
        taken += 1;
        const rest = edited(
          json,
          cutMembers(json.length, members, () => true),
        ).toString('latin1');
        expect(isObject(withShortStrings(rest))).toBe(true);
      }),
      { seed: 20260413, numRuns: 4000 },
    );
    // Or the half of what this test says was not tried.
    expect(taken).toBeGreaterThan(500);
  });
});

describe('cutMembers', () => {
  test.each([
    ['{"x":1}', '{}'],
    ['{"x":1,"a":2}', '{"a":2}'],
    ['{"a":2,"x":1}', '{"a":2}'],
    ['{"a":1,"x":2,"b":3}', '{"a":1,"b":3}'],
    ['{"x":1,"y":2}', '{}'],
    ['{"x":1,"y":2,"a":3}', '{"a":3}'],
    ['{"a":1,"x":2,"y":3}', '{"a":1}'],
    ['{"x":1,"a":2,"y":3,"b":4,"x":5}', '{"a":2,"b":4}'],
    ['{"x":{"x":1},"a":{"x":2}}', '{"a":{"x":2}}'],
  ])('takes x and y out of %s', (text, rest) => {
    expect(cut(text, 'x', 'y')).toBe(rest);
  });

  test('leaves every other byte: white space, spelling of numbers, order, duplicates', () => {
    expect(
      cut(
        '{\n  "b": 12345678901234567890,\n  "x": [1],\n  "a": 1.0, "a": 1E2, "__proto__": {}\n}\n',
        'x',
      ),
    ).toBe('{\n  "b": 12345678901234567890\n  ,\n  "a": 1.0, "a": 1E2, "__proto__": {}\n}\n');
  });

  test('keeps invalid UTF-8 as it is', () => {
    const json = Buffer.from('{"a":"\xff\xfe","x":"\xc3"}', 'latin1');
    const parts = cutMembers(json.length, find(json, new Set(['x'])), () => true);
    expect(edited(json, parts).equals(Buffer.from('{"a":"\xff\xfe"}', 'latin1'))).toBe(true);
  });

  test('cuts of the found members only those that are told', () => {
    const json = Buffer.from('{"model":"a","logprobs":true,"stream":true}');
    const parts = cutMembers(json.length, find(json), ({ name }) => name === 'logprobs');
    expect(edited(json, parts).toString()).toBe('{"model":"a","stream":true}');
  });

  test('says when there is nothing to cut', () => {
    const json = Buffer.from('{"model":"a"}');
    expect(cutMembers(json.length, find(json), () => false)).toBeUndefined();
  });

  test('leaves what was written of the other members, and JSON.parse sees just them', () => {
    fc.assert(
      fc.property(object, someNames, (body, names) => {
        const json = Buffer.from(write(body));
        const parts = cutMembers(json.length, find(json), ({ name }) => names.has(name));
        const rest = edited(json, parts).toString();
        expect(rest).toBe(writeWithout(body, names));

        const expected = Object.entries<unknown>(JSON.parse(json.toString()));
        expect(JSON.stringify(Object.entries<unknown>(JSON.parse(rest)))).toBe(
          JSON.stringify(expected.filter(([name]) => !names.has(name))),
        );
      }),
      { seed: 20260414, numRuns: 2000 },
    );
  });
});

describe('replaceValues', () => {
  test('replaces the values that are told, and leaves every other byte', () => {
    const json = Buffer.from('{ "encoding_format" : "base64" , "n": 1.0, "encoding_format":null }');
    const members = find(json, new Set(['encoding_format', 'n']));
    const parts = replaceValues(json.length, members, ({ name }) =>
      name === 'n' ? undefined : '"float"',
    );
    expect(edited(json, parts).toString()).toBe(
      '{ "encoding_format" : "float" , "n": 1.0, "encoding_format":"float" }',
    );
  });

  test('writes the new value as UTF-8', () => {
    const json = Buffer.from('{"model":1,"a":"é"}');
    const parts = replaceValues(json.length, find(json), () => '"😀"');
    expect(edited(json, parts).toString()).toBe('{"model":"😀","a":"é"}');
  });

  test('says when there is nothing to replace', () => {
    const json = Buffer.from('{"model":"a"}');
    expect(replaceValues(json.length, find(json), () => undefined)).toBeUndefined();
  });

  test('leaves what was written around the values', () => {
    fc.assert(
      fc.property(object, someNames, anyValue, (body, names, value) => {
        const json = Buffer.from(write(body));
        const members = body.members.map((it) => (names.has(it.name) ? { ...it, value } : it));
        const parts = replaceValues(json.length, find(json), ({ name }) =>
          names.has(name) ? value : undefined,
        );
        expect(edited(json, parts).toString()).toBe(write({ ...body, members }));
      }),
      { seed: 20260415, numRuns: 2000 },
    );
  });
});

describe('scalarValue', () => {
  test.each([
    ['"\\u00e9é😀"', 'éé😀'],
    ['-1.50e1', -15],
    ['true', true],
    ['false', false],
    ['null', null],
    ['{"a":1}', undefined],
    ['[1]', undefined],
  ])('decodes %s', (text, value) => {
    const json = Buffer.from(`{"model": ${text} }`);
    expect(find(json).map((found) => scalarValue(json, found))).toEqual([value]);
  });
});
