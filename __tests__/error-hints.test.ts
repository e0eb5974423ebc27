import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { hintFor, hintForOwn } from '../lib/error-hints.ts';
import type { HintedAnswer } from '../lib/error-hints.ts';
import { PROXY_ERRORS } from '../lib/errors.ts';
import type { ProxyErrorCode } from '../lib/errors.ts';
import { readUpstreamError } from '../lib/upstream-error.ts';

type Case = Partial<Omit<HintedAnswer, 'error' | 'status'>>;

function hint(status: number, body: unknown, changes: Case = {}): string | undefined {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return hintFor({
    status,
    error: readUpstreamError(status, undefined, text),
    route: '/chat/completions',
    stream: false,
    credentials: 'client',
    isEmpty: text === '',
    isWindow: false,
    ray: undefined,
    ...changes,
  });
}

const says = (error: string): object => ({ error });

function unknown(...path: (string | number)[]): object {
  const key = path.pop();
  return { error: 'Invalid', issues: [{ code: 'unrecognized_keys', keys: [key], path }] };
}

function refusedNull(...path: (string | number)[]): object {
  return { error: 'Invalid', issues: [{ code: 'invalid_type', received: 'null', path }] };
}

describe('what helps is told', () => {
  test.each<[number, unknown, Case, RegExp]>([
    [401, says('Authentication failed'), {}, /^The key is the client's own:.*Venice key/],
    [401, says('Authentication failed'), { credentials: 'proxy' }, /VENICE_API_KEY/],
    [401, says('Authentication failed'), { credentials: 'none' }, /had no key.*Authorization/],
    [402, says('Authentication required'), { credentials: 'none' }, /had no key/],
    [401, says('Invalid Sign-in-with-x signature'), { credentials: 'wallet' }, /wallet sign-in/],
    [401, says('Authentication failed'), { route: '/api_keys' }, /admin key.*inference keys/],
    [403, says('Unauthorized access'), { route: '/api_keys/1' }, /admin key/],
    [401, says('Authentication failed - Pro subscription is inactive.'), {}, /subscription/],
    [401, { code: 'PRO_ONLY_MODEL', error: 'This model is …' }, {}, /Pro account/],
    [401, '', {}, /Venice key/],
    [402, says('Insufficient USD or Diem balance'), {}, /DIEM or credits.*limit of zero/],
    [402, says('API key USD spend limit exceeded.'), {}, /own spend limit.*limit of zero/],
    [402, { code: 'API_KEY_DIEM_SPEND_LIMIT_EXCEEDED', error: 'x' }, {}, /own spend limit/],
    [402, { code: 'PAYMENT_REQUIRED', error: 'Payment required' }, {}, /x402.*PAYMENT-REQUIRED/],
    [402, '', {}, /limit of zero/],
    [403, says('API access has been disabled'), {}, /support@venice.ai/],
    [403, says('Unauthorized access'), {}, /may not do this/],
    [400, unknown('thinking'), {}, /^The upstream does not know thinking: .*learnableParams/],
    [400, unknown('messages', 0, 'audio'), {}, /know messages\.0\.audio: leave it out\.$/],
    [400, unknown('what is this?'), {}, /know a field of the request: leave it out\.$/],
    [400, says("Extra inputs are not permitted, field: 'a', value: 1"), {}, /know a: .*dropParams/],
    [400, refusedNull('max_tokens'), {}, /^max_tokens must not be null/],
    [400, refusedNull('tools', 0, 'x'), {}, /^tools\.0\.x must not be null/],
    [400, '', {}, /does not know.*store.*dropParams/],
    [400, says('Invalid model specified'), {}, /GET \/models/],
    [
      400,
      { error: { message: 'm', code: 'context_length_exceeded' } },
      {},
      /availableContextTokens/,
    ],
    [404, says('Specified model not found'), {}, /GET \/models/],
    [404, says('Route not found'), {}, /OPENAI_BASE_URL.*\/api\/v1/],
    [404, says('Route not found'), { route: '/moderations' }, /unlike OpenAI/],
    [404, says('Media could not be found.'), {}, /expired/],
    [413, '<html>', {}, /not the proxy's/],
    [415, says('Invalid request content-type'), {}, /application\/json.*multipart/],
    [429, says('Rate limit exceeded'), { isWindow: true }, /used up.*MAX_WAIT/],
    [429, says('Rate limit exceeded'), {}, /rate_limits/],
    [429, 'Too many failed attempts (> 50) resulting in …', {}, /blocked for failed requests/],
    [429, 'Too many failed attempts (> 200) asking for a feature …', {}, /blocked.*support/],
    [429, { code: 'MODEL_OVERLOADED', error: 'x' }, {}, /^The model is overloaded/],
    [503, { code: 'MODEL_OFFLINE', error: 'x' }, {}, /offline/],
    [503, '', {}, /at capacity/],
    [504, says('The request took too long'), {}, /stream: true/],
    [504, says('The request took too long'), { stream: true }, /^It took Venice too long/],
    [504, says('The request took too long'), { route: '/image/generate' }, /^It took Venice/],
    [524, '<html>', {}, /stream: true/],
    [522, '<html>', {}, /^Cloudflare/],
    [500, says('Inference processing failed'), { ray: '8a-FRA' }, /support.*\(CF-RAY 8a-FRA\)$/],
  ])('%d %j %j', (status, body, changes, expected) => {
    expect(hint(status, body, changes)).toMatch(expected);
  });

  test.each<[number, unknown, Case]>([
    [400, says('Something else'), {}],
    [400, '', { isEmpty: false }],
    [404, says('No character could be found'), {}],
    [409, '', {}],
    [422, says('Your prompt violates the content policy'), { ray: 'r' }],
    [500, '', {}],
  ])('where nothing helps, nothing is: %d %j %j', (status, body, changes) => {
    expect(hint(status, body, changes)).toBeUndefined();
  });
});

test.each([401, 402, 429, 503, 504, 522])(
  '%d quotes the CF-RAY, which support asks for',
  (status) => {
    expect(hint(status, '', { ray: '8f1c0e2d3b4a5968-FRA' })).toMatch(
      / \(CF-RAY 8f1c0e2d3b4a5968-FRA\)$/,
    );
    expect(hint(status, '')).not.toMatch(/CF-RAY/);
    expect(hint(status, '', { ray: 'a b\r\nX: 1' })).not.toMatch(/CF-RAY/);
  },
);

describe('errors of our own', () => {
  const chat = { route: '/chat/completions', stream: false };

  test('a timeout wants a stream where one could be had', () => {
    expect(hintForOwn('upstream_timeout', chat)).toMatch(/stream: true.*TIMEOUT/);
    expect(hintForOwn('upstream_timeout', { ...chat, stream: true })).not.toMatch(/stream: true/);
    expect(hintForOwn('upstream_timeout', { ...chat, route: '/embeddings' })).not.toMatch(/stream/);
  });

  test.each<[ProxyErrorCode, RegExp]>([
    ['body_too_large', /BODY_LIMIT/],
    ['rate_limit_exceeded', /MAX_WAIT/],
    ['queue_full', /MAX_QUEUE/],
    ['upstream_unreachable', /log.*OPENAI_BASE_URL/],
    ['loop_detected', /OPENAI_BASE_URL/],
    ['body_consumed', /in front of body parsers/],
  ])('%s', (code, expected) => {
    expect(hintForOwn(code, chat)).toMatch(expected);
  });

  test('are lines of visible ASCII', () => {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    for (const code of Object.keys(PROXY_ERRORS) as ProxyErrorCode[]) {
      expect(hintForOwn(code, chat) ?? 'none').toMatch(/^[\x20-\x7e]{1,300}$/);
    }
  });
});

describe('a hint holds nothing of the request or the answer', () => {
  test.each(['sk-abcdefghijklmnop', 'venice_inference_key_abc123', 'a'.repeat(65), 'ä', 'a b', ''])(
    'as a name that is no plain identifier, or may be a key: %s',
    (name) => {
      expect(hint(400, unknown(name))).not.toContain(name === '' ? '::' : name);
      expect(hint(400, refusedNull(name))).not.toContain(name === '' ? '::' : name);
    },
  );

  test('whatever it says: one line of visible ASCII, without the words of the answer', () => {
    const anyStatus = fc.constantFrom(400, 401, 402, 403, 404, 413, 415, 429, 500, 503, 504, 522);
    const secret = 'S3cr3t!';
    const wrapped = fc
      .tuple(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }))
      .map(([before, after]) => before + secret + after);
    fc.assert(
      fc.property(anyStatus, wrapped, (status, text) => {
        const bodies = [
          text,
          says(text),
          { code: text, error: text },
          { error: { message: text, param: text, code: text } },
          unknown(text),
          refusedNull(text),
          says(`Extra inputs are not permitted, field: 'x', value: '${text}'`),
        ];
        for (const body of bodies) {
          const said = hint(status, body, { ray: text }) ?? 'none';
          expect(said).toMatch(/^[\x20-\x7e]{1,400}$/);
          expect(said).not.toContain(secret);
        }
      }),
    );
  });

  test('and hangs on the beginning of what is said: no pattern is tried on a long text', () => {
    expect(hint(429, says(`overloaded ${'x'.repeat(9_000)}`))).toMatch(/overloaded/);
    expect(hint(429, says(`${'x'.repeat(9_000)} overloaded`))).not.toMatch(/overloaded/);
  });
});
