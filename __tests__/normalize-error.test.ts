import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { normalizeError } from '../lib/normalize-error.ts';

const JSON_TYPE = 'application/json; charset=utf-8';
const HTML_TYPE = 'text/html; charset=UTF-8';

interface Normalized {
  readonly message: string;
  readonly type: string;
  readonly param: string | null;
  readonly code: string;
  readonly upstream: unknown;
}

function normalized(status: number, body: string | object, contentType = JSON_TYPE): Normalized {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const bytes = normalizeError(status, contentType, text);
  if (bytes === undefined) throw new Error('It counts as shaped already.');
  const value: { error: Normalized } = JSON.parse(bytes.toString());
  expect(Object.keys(value)).toEqual(['error']);
  expect(Object.keys(value.error)).toEqual(['message', 'type', 'param', 'code', 'upstream']);
  return value.error;
}

describe('each shape of Venice becomes one', () => {
  test.each<[string, number, object, Partial<Normalized>]>([
    [
      'a text under `error`',
      401,
      { error: 'Authentication failed' },
      { message: 'Authentication failed', type: 'authentication_error', param: null },
    ],
    [
      'a text and a code',
      429,
      { code: 'MODEL_OVERLOADED', error: 'The model is currently overloaded.' },
      {
        message: 'The model is currently overloaded.',
        type: 'rate_limit_error',
        code: 'MODEL_OVERLOADED',
      },
    ],
    [
      'an unknown member, with details and issues',
      400,
      {
        error: 'Invalid request parameters',
        details: { _errors: ["Unrecognized key(s) in object: 'thinking'"] },
        issues: [
          {
            code: 'unrecognized_keys',
            keys: ['thinking'],
            path: [],
            message: "Unrecognized key(s) in object: 'thinking'",
          },
        ],
      },
      {
        message: "Invalid request parameters: Unrecognized key(s) in object: 'thinking'",
        type: 'invalid_request_error',
        param: 'thinking',
        code: 'invalid_request',
      },
    ],
    [
      'a nested member: the first issue counts',
      400,
      {
        error: 'Invalid request parameters',
        details: { _errors: [] },
        issues: [
          { code: 'invalid_type', path: ['messages', 0, 'role'], message: 'Required' },
          { code: 'invalid_type', path: ['model'], message: 'Required' },
        ],
      },
      {
        message: 'Invalid request parameters: messages.0.role: Required',
        param: 'messages.0.role',
      },
    ],
    [
      'details without issues',
      400,
      {
        error: 'Invalid request parameters',
        details: { _errors: [], field: { _errors: ['Field is required'] } },
        issues: [],
      },
      { message: 'Invalid request parameters: field: Field is required', param: 'field' },
    ],
    [
      'details that name an unknown member, without issues',
      400,
      {
        error: 'Invalid request parameters',
        details: { _errors: ["Unrecognized key(s) in object: 'a', 'b'"] },
      },
      {
        message: "Invalid request parameters: Unrecognized key(s) in object: 'a', 'b'",
        param: 'a',
      },
    ],
    [
      'a text that names a member, and a request id',
      400,
      { error: "Extra inputs are not permitted, field: 'x_y', value: 'v'", request_id: 'r' },
      { message: "Extra inputs are not permitted, field: 'x_y', value: 'v'", param: 'x_y' },
    ],
    [
      'an x402 object',
      402,
      {
        error: 'Payment required',
        code: 'PAYMENT_REQUIRED',
        message: 'Insufficient x402 balance',
        topUpInstructions: { step1: 'POST' },
      },
      {
        message: 'Payment required: Insufficient x402 balance',
        type: 'insufficient_quota',
        code: 'PAYMENT_REQUIRED',
      },
    ],
    [
      'an `error` object without a message',
      500,
      { error: { code: 'INFERENCE_FAILED' } },
      { message: 'The upstream failed.', type: 'server_error', code: 'INFERENCE_FAILED' },
    ],
    [
      'the same text twice',
      403,
      { error: 'No.', message: 'No.' },
      { message: 'No.', type: 'permission_error', code: 'permission_denied' },
    ],
    ['nothing that is known', 404, { a: 1 }, { type: 'not_found_error', code: 'not_found' }],
    ['a list', 503, [1], { type: 'server_error', code: 'service_unavailable' }],
  ])('%s', (_, status, body, expected) => {
    expect(normalized(status, body)).toEqual({
      ...normalized(status, body),
      ...expected,
      upstream: body,
    });
  });

  test('text', () => {
    const text = 'Too many failed attempts (> 50). Please wait 30s.\n';
    expect(normalized(429, text, 'text/plain')).toEqual({
      message: text.trim(),
      type: 'rate_limit_error',
      param: null,
      code: 'rate_limit_exceeded',
      upstream: text,
    });
  });

  test.each([undefined, JSON_TYPE, 'text/plain'])('no body at all (%s)', (contentType) => {
    expect(normalized(400, '', contentType)).toEqual({
      message: 'The upstream refused the request.',
      type: 'invalid_request_error',
      param: null,
      code: 'invalid_request',
      upstream: null,
    });
  });

  test.each(['<!DOCTYPE html><title>524</title>', '\n<html lang="en">', '<?xml version="1.0"?>'])(
    'a page, told by its markup: %s',
    (page) => {
      expect(normalized(524, page, 'text/plain')).toMatchObject({
        message: 'The upstream behind Cloudflare took too long to answer.',
        code: 'cloudflare_524',
        upstream: page,
      });
    },
  );

  test('a page, told by its type', () => {
    expect(normalized(502, 'Bad <b>gateway</b>', HTML_TYPE)).toMatchObject({
      message: 'A server behind the upstream failed.',
      upstream: 'Bad <b>gateway</b>',
    });
  });

  test('JSON that is cut off is a text', () => {
    const cut = `{"error":"${'x'.repeat(64 * 1024)}`;
    const { message, upstream } = normalized(500, cut);
    expect(message).toBe(`${cut.slice(0, 1_000)}…`);
    expect(upstream).toBe(cut);
  });

  test('bytes that are no text make no message', () => {
    const text = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0xff, 0]).toString();
    expect(normalized(500, text, 'image/png')).toMatchObject({
      message: 'The upstream failed.',
      upstream: text,
    });
  });
});

test('JSON of the upstream stays as it was, digit for digit and however deep', () => {
  const numbers = '{ "error":"x", "n":12345678901234567890, "n":1.0, "__proto__":{"a":1} }';
  const text = `\uFEFF ${numbers}\n`;
  expect(normalizeError(400, JSON_TYPE, text)?.toString()).toContain(`"upstream":${numbers}}}`);
  const deep = `${'['.repeat(30_000)}${']'.repeat(30_000)}`;
  expect(normalizeError(400, JSON_TYPE, deep)?.toString()).toContain(`"upstream":${deep}}}`);
});

test.each([
  '{"error":{"message":"m"}}',
  '{"error":{"message":"m","type":"t","param":"p","code":"c"},"more":1}',
  ' {"error":{"message":"","type":null}} ',
])('what has the shape of OpenAI already stays: %s', (text) => {
  expect(normalizeError(400, JSON_TYPE, text)).toBeUndefined();
  expect(normalizeError(400, 'text/plain', text)).toBeUndefined();
});

test('a status that is not in the table has a type, a code and a message, too', () => {
  expect(normalized(418, '')).toMatchObject({
    message: 'The upstream answered with 418.',
    type: 'invalid_request_error',
    code: 'invalid_request',
  });
  expect(normalized(599, '')).toMatchObject({
    message: 'The upstream failed with 599.',
    type: 'server_error',
    code: 'server_error',
  });
});

/** Read as a client reads it, be it normalized or shaped already. */
function messageFor(status: number, contentType: string | undefined, text: string): unknown {
  const said = normalizeError(status, contentType, text)?.toString() ?? text;
  const { error }: { error: Record<string, unknown> } = JSON.parse(said);
  return error['message'];
}

describe('whatever the upstream wrote', () => {
  const members = fc.constantFrom(
    'error',
    'message',
    'code',
    'param',
    'type',
    'detail',
    'details',
    'issues',
    '_errors',
    'path',
    'keys',
    'received',
  );
  const anyBody = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 6 },
      fc.constantFrom('unrecognized_keys', 'null', "Unrecognized key(s) in object: 'a'"),
      fc.string({ unit: 'binary' }),
      fc.jsonValue(),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(members, tie('value'), { maxKeys: 5 }),
    ),
  })).value;
  const anyStatus = fc.integer({ min: 400, max: 599 });
  const anyType = fc.option(fc.constantFrom(JSON_TYPE, HTML_TYPE, 'text/plain', ''), {
    nil: undefined,
  });

  test('it is normalized to JSON with a message, cut off or not', () => {
    fc.assert(
      fc.property(anyStatus, anyType, anyBody, (status, contentType, body) => {
        const text = JSON.stringify(body);
        const half = text.slice(0, text.length / 2);
        expect(typeof messageFor(status, contentType, text)).toBe('string');
        expect(typeof messageFor(status, contentType, half)).toBe('string');
      }),
    );
  });

  test('or in whatever bytes', () => {
    fc.assert(
      fc.property(anyStatus, anyType, fc.uint8Array({ maxLength: 200 }), (status, type, bytes) => {
        const text = Buffer.from(bytes).toString();
        expect(typeof messageFor(status, type, text)).toBe('string');
      }),
    );
  });
});
