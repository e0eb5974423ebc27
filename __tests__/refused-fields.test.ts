import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { nullField, unknownField } from '../examples/stand-in-venice/refusals.ts';
import type { Reply } from '../examples/stand-in-venice/reply.ts';
import { refusedFields } from '../lib/refused-fields.ts';

function read(body: unknown) {
  const { unknown, nulls, others } = refusedFields(
    typeof body === 'string' ? body : JSON.stringify(body),
  );
  return { unknown: [...unknown], nulls: [...nulls], others: [...others] };
}

function textOf({ pieces }: Reply): string {
  return Buffer.concat([...pieces]).toString();
}

const NOTHING = { unknown: [], nulls: [], others: [] };
const root = (...messages: string[]) => ({ error: 'x', details: { _errors: messages } });
const issue = (...issues: object[]) => ({ error: 'x', issues });

describe('members that the upstream does not know', () => {
  test.each<[string, unknown, string[]]>([
    ["zod's message", root("Unrecognized key(s) in object: 'thinking'"), ['thinking']],
    ["zod's message of two", root("Unrecognized key(s) in object: 'a', 'b c'"), ['a', 'b c']],
    ["zod's issue", issue({ code: 'unrecognized_keys', keys: ['a', 'b'], path: [] }), ['a', 'b']],
    [
      "pydantic's sentence",
      { error: "Extra inputs are not permitted, field: 'user', value: 'me'", request_id: 'r' },
      ['user'],
    ],
    [
      "pydantic's sentence in OpenAI's shape",
      { error: { message: "Extra inputs are not permitted, field: 'user', value: 1" } },
      ['user'],
    ],
    [
      'names that objects have by themselves',
      issue({ code: 'unrecognized_keys', keys: ['__proto__', 'constructor'], path: [] }),
      ['__proto__', 'constructor'],
    ],
  ])('are read from %s', (_, body, unknown) => {
    expect(read(body)).toEqual({ ...NOTHING, unknown });
  });

  test('are those of the issues, where the message can be read as several', () => {
    const name = "a', 'user";
    expect(
      read({
        ...root(`Unrecognized key(s) in object: '${name}'`),
        ...issue({ code: 'unrecognized_keys', keys: [name], path: [] }),
      }),
    ).toEqual({ ...NOTHING, unknown: [name] });
  });

  test('are not read from the value of another one', () => {
    const value = "'Extra inputs are not permitted, field: 'user''";
    const error = `Extra inputs are not permitted, field: 'store', value: ${value}`;
    expect(read({ error })).toEqual({ ...NOTHING, unknown: ['store'] });
  });

  test('are not those of nested objects', () => {
    const nested = { code: 'unrecognized_keys', keys: ['user'], path: ['messages', 0] };
    expect(read(issue(nested))).toEqual({ ...NOTHING, others: ['messages'] });
    const details = {
      _errors: [],
      messages: { _errors: [], 0: { _errors: ["Unrecognized key(s) in object: 'user'"] } },
    };
    expect(read({ error: 'x', details })).toEqual({ ...NOTHING, others: ['messages'] });
  });
});

describe('members that must not be null', () => {
  const message = 'Expected number, received null';

  test.each<[string, unknown, string[]]>([
    ['an issue', issue({ code: 'invalid_type', received: 'null', path: ['n'] }), ['n']],
    ['the words of an issue', issue({ code: 'invalid_type', path: ['n'], message }), ['n']],
    ['details', { error: 'x', details: { _errors: [], n: { _errors: [message] } } }, ['n']],
    [
      'details of a member of several types, and the issue that says less',
      {
        details: { stop: { _errors: ['Expected string, received null', message] } },
        ...issue({ code: 'invalid_union', path: ['stop'], message: 'Invalid input' }),
      },
      ['stop'],
    ],
  ])('are read from %s', (_, body, nulls) => {
    expect(read(body)).toEqual({ ...NOTHING, nulls });
  });

  test.each<[string, unknown]>([
    ['a null inside of it', { details: { n: { _errors: [], 0: { _errors: [message] } } } }],
    ['another complaint', { details: { n: { _errors: ['Expected number, received string'] } } }],
    ['one of two complaints', { details: { n: { _errors: [message, 'Too small'] } } }],
    ['no complaint', { details: { n: { _errors: [] } } }],
    ['a longer path', issue({ code: 'invalid_type', received: 'null', path: ['n', 0] })],
    ['another type', issue({ code: 'invalid_type', received: 'undefined', path: ['n'] })],
  ])('are not read from %s', (_, body) => {
    expect(read(body)).toEqual({ ...NOTHING, others: ['n'] });
  });
});

test('what is wrong besides is told, too', () => {
  expect(
    read({
      details: {
        _errors: ["Unrecognized key(s) in object: 'user'", 'Too long'],
        n: { _errors: ['Expected number, received null'] },
        messages: { _errors: ['Required'] },
      },
    }),
  ).toEqual({ unknown: ['user'], nulls: ['n'], others: ['', 'messages'] });
});

test.each(['zod', 'extra'] as const)('the shape %s of the stand-in is read', (shape) => {
  expect(read(textOf(unknownField('thinking', shape)))).toEqual({
    ...NOTHING,
    unknown: ['thinking'],
  });
});

test('the refused null of the stand-in is read', () => {
  expect(read(textOf(nullField('n')))).toEqual({ ...NOTHING, nulls: ['n'] });
});

test.each([
  '',
  'Bad Request',
  'null',
  '[]',
  '"Extra inputs are not permitted, field: \'user\'"',
  '{"error":"text"}',
  '{"error":null}',
  '{"error":{"message":1}}',
  '{"error":"The words: Extra inputs are not permitted, field: \'user\'"}',
  '{"error":"Extra inputs are not permitted, field: \'\', value: 1"}',
  '{"issues":{"code":"unrecognized_keys","keys":["user"],"path":[]}}',
  '{"issues":[null,1,"x",[],{"code":"unrecognized_keys","keys":["user"]}]}',
  '{"issues":[{"code":"unrecognized_keys","keys":[1,null,{}],"path":[]}]}',
  '{"details":[],"issues":[]}',
  '{"details":{"_errors":"Unrecognized key(s) in object: \'user\'"}}',
  '{"details":{"_errors":[1,null,{}]}}',
  '{"details":{"n":["Expected number, received null"]}}',
])('nothing is read from %s', (text) => {
  expect(read(text)).toEqual(NOTHING);
});

test('nothing is read from a body that is cut off', () => {
  const whole = JSON.stringify(root("Unrecognized key(s) in object: 'thinking'"));
  for (let length = 0; length < whole.length; length += 1) {
    expect(read(whole.slice(0, length))).toEqual(NOTHING);
  }
});

/** Anything, but likelier what is nearly one of the shapes. */
const word = fc.oneof(
  fc.constantFrom(
    'null',
    'invalid_type',
    'unrecognized_keys',
    'Expected number, received null',
    "Unrecognized key(s) in object: 'a', 'b'",
    "Extra inputs are not permitted, field: 'a', value: 1",
  ),
  fc.string(),
);
const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 5 },
    word,
    fc.jsonValue(),
    fc.array(tie('any')),
    fc.dictionary(
      fc.oneof(
        fc.constantFrom('error', 'message', 'details', 'issues', '_errors', 'code', 'keys', 'path'),
        fc.string(),
      ),
      tie('any'),
    ),
  ),
})).any;

test('whatever the JSON, it never throws, and no name is told in two ways', () => {
  fc.assert(
    fc.property(value, (body) => {
      const { unknown, nulls, others } = refusedFields(JSON.stringify(body) ?? '');
      expect([...others].some((name) => unknown.has(name) || nulls.has(name))).toBe(false);
    }),
  );
});

test('whatever the text, it never throws', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      expect(() => refusedFields(text)).not.toThrow();
    }),
  );
});
