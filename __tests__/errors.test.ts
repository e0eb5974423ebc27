import vm from 'node:vm';
import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import {
  PROXY_ERRORS,
  ProxyError,
  describeError,
  errorBody,
  errorEvent,
  redact,
} from '../lib/errors.ts';
import type { ProxyErrorCode } from '../lib/errors.ts';

// A record, so that a code that is forgotten here does not compile.
const EXPECTED: Record<ProxyErrorCode, readonly [status: number, type: string]> = {
  invalid_body: [400, 'invalid_request_error'],
  invalid_header: [400, 'invalid_request_error'],
  invalid_path: [400, 'invalid_request_error'],
  model_not_found: [404, 'invalid_request_error'],
  method_not_allowed: [405, 'invalid_request_error'],
  request_timeout: [408, 'invalid_request_error'],
  body_too_large: [413, 'invalid_request_error'],
  queue_full: [429, 'rate_limit_error'],
  rate_limit_exceeded: [429, 'rate_limit_error'],
  internal_error: [500, 'server_error'],
  body_consumed: [500, 'server_error'],
  api_key_unavailable: [500, 'server_error'],
  not_implemented: [501, 'invalid_request_error'],
  transfer_coding_unsupported: [501, 'invalid_request_error'],
  upstream_unreachable: [502, 'server_error'],
  upstream_disconnected: [502, 'server_error'],
  upstream_invalid: [502, 'server_error'],
  draining: [503, 'server_error'],
  upstream_timeout: [504, 'server_error'],
  loop_detected: [508, 'invalid_request_error'],
};
const CODES = Object.keys(EXPECTED) as readonly ProxyErrorCode[];
const ROWS = CODES.map((code) => [code, ...EXPECTED[code]] as const);

describe('an error of our own', () => {
  test('has one of the codes below and no other', () => {
    expect(Object.keys(PROXY_ERRORS).toSorted()).toEqual(CODES.toSorted());
  });

  test.each(ROWS)('%s has status %i', (code, status) => {
    const cause = new Error('why');
    const error = new ProxyError(code, 'What happened.', cause);
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name: 'ProxyError', code, status, message: 'What happened.' });
    expect(error.cause).toBe(cause);
  });

  test.each(ROWS)("%s has the body that OpenAI's SDKs read", (code, _status, type) => {
    const body: unknown = JSON.parse(errorBody(code, 'What "happened".'));
    expect(body).toEqual({ error: { message: 'What "happened".', type, param: null, code } });
  });

  test.each(CODES)('%s is one event of a stream, in the form that every SDK raises', (code) => {
    const event = errorEvent(code, 'one\ntwo\r\n\r\ndata: three');
    expect(event).toMatch(/^data: [^\r\n]+\n\n$/);
    expect(event).toBe(`data: ${errorBody(code, 'one\ntwo\r\n\r\ndata: three')}\n\n`);
  });

  test('keeps to one event whatever its message', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (message) => {
        const [, json = ''] =
          /^data: ([^\r\n]+)\n\n$/.exec(errorEvent('internal_error', message)) ?? [];
        expect(JSON.parse(json)).toMatchObject({ error: { message } });
      }),
    );
  });
});

function withCode(error: Error, code: unknown): Error {
  return Object.assign(error, { code });
}

describe('an error in the log', () => {
  test.each<[string, unknown]>([
    ['plain', new Error('plain')],
    ['a full stop goes', new Error('a full stop goes.')],
    ['TypeError', new TypeError('')],
    ['socket hang up (ECONNRESET)', withCode(new Error('socket hang up'), 'ECONNRESET')],
    [
      'connect ECONNREFUSED ::1:1',
      withCode(new Error('connect ECONNREFUSED ::1:1'), 'ECONNREFUSED'),
    ],
    ['Error (17)', withCode(new Error(''), 17)],
    [
      'outer: middle: inner',
      new Error('outer', { cause: new Error('middle', { cause: new Error('inner') }) }),
    ],
    ['outer: a string', new Error('outer', { cause: 'a string' })],
    ['outer', new Error('outer', { cause: undefined })],
    [
      'No connection: hang up (EPIPE)',
      new ProxyError(
        'upstream_unreachable',
        'No connection.',
        withCode(new Error('hang up'), 'EPIPE'),
      ),
    ],
    ['No connection', new ProxyError('upstream_unreachable', 'No connection.')],
    [
      'both: one (E1); two',
      new AggregateError([withCode(new Error('one'), 'E1'), new Error('two')], 'both'),
    ],
    [
      'outer: AggregateError (E): one; two',
      new Error('outer', {
        cause: withCode(new AggregateError([new Error('one'), 'two'], ''), 'E'),
      }),
    ],
    ['a string', 'a string'],
    ['', undefined],
  ])('is one line with its causes: %j', (line, error) => {
    expect(describeError(error)).toBe(line);
  });

  test('may come from another realm', () => {
    const foreign: unknown = vm.runInNewContext(
      "new TypeError('foreign', { cause: new Error('why') })",
    );
    expect(foreign).not.toBeInstanceOf(TypeError);
    expect(describeError(foreign)).toBe('foreign: why');
  });

  test('is not followed round a circle of causes', () => {
    const error = new Error('again');
    error.cause = error;
    expect(describeError(error)).toMatch(/^again(: again){1,9}$/);
  });

  test.each([
    ['a number', 7],
    ['null', null],
    ['a symbol', Symbol('s')],
    ['an object', { a: '\n' }],
    ['a thing that has no string', Object.create(null)],
  ])('may be %s', (_what, thrown: unknown) => {
    expect(describeError(thrown)).toMatch(/^.+$/);
    expect(describeError(new Error('outer', { cause: thrown }))).toMatch(/^outer: .+$/);
  });

  test('shows no key, wherever in the chain it stands', () => {
    const key = 'sk-0123456789abcdef';
    const error = new Error(`outer ${key}`, {
      cause: new AggregateError([new Error(`Bearer ${key}`), key], `with ${key}`),
    });
    expect(describeError(error)).not.toContain('0123456789');
    expect(describeError(`thrown ${key}`)).toBe('thrown ***');
  });
});

describe('redact', () => {
  test.each([
    ['Authorization: Bearer abc.def', 'Authorization: Bearer ***'],
    ['authorization: bearer  abc, x', 'authorization: bearer *** x'],
    ['{"authorization":"Bearer abc"}', '{"authorization":"Bearer ***'],
    ['key sk-0123456789abcdef is wrong', 'key *** is wrong'],
    ['sk_live_0123456789ab', '***'],
    ['SK-0123456789AB', '***'],
    ['pk-0123456789ab', '***'],
    ['VENICE-INFERENCE-KEY-aB3_x', '***'],
    ['venice_admin_key_aB3_x', '***'],
    ['two: sk-0123456789ab, sk-ba9876543210', 'two: ***, ***'],
  ])('masks what looks like a key: %s', (text, masked) => {
    expect(redact(text)).toBe(masked);
  });

  test.each([
    '',
    'nothing to see',
    'connect ECONNREFUSED 127.0.0.1:443',
    'task-0123456789ab',
    'sk-short',
    'risk-0123456789ab',
    'getaddrinfo ENOTFOUND api.venice.ai',
    'venice-proxy',
  ])('leaves everything else: %j', (text) => {
    expect(redact(text)).toBe(text);
  });
});
