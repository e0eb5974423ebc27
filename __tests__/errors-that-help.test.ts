import { brotliCompressSync, gzipSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import createDebug from 'debug';
import { APIError } from 'openai';
import type OpenAI from 'openai';
import type { Fault } from '../examples/stand-in-venice.ts';
import { CHAT, chat, closeAfterTest, deserted, startFront, startScene } from './helpers/scene.ts';
import type { Scene } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';
import type { Reply } from './helpers/serve.ts';
import { startSdk } from './helpers/start-sdk.ts';

const HINT = 'x-venice-proxy-hint';
const LONGEST = 64 * 1024;

type Answer = Extract<Fault, { kind: 'answer' }>;

function refusal(status: number, body?: Answer['body'], headers: Answer['headers'] = {}): Answer {
  return { kind: 'answer', status, body: body ?? '', headers };
}

async function meet(scene: Scene, fault: Fault): Promise<Reply> {
  scene.venice.script(fault);
  return chat(scene);
}

interface ErrorBody {
  readonly error: Record<string, unknown>;
}

function errorIn({ text }: Reply): Record<string, unknown> {
  const body: ErrorBody = JSON.parse(text);
  return body.error;
}

/** A normalized answer is JSON of the length that it says. */
function expectWhole(reply: Reply): void {
  expect(reply.complete).toBe(true);
  expect(reply.headers).toMatchObject({
    'content-type': 'application/json; charset=utf-8',
    'content-length': String(reply.body.length),
  });
  expect(reply.headers).not.toHaveProperty('transfer-encoding');
  expect(reply.headers).not.toHaveProperty('content-encoding');
}

describe('by default', () => {
  test.each<[number, Answer['body'], RegExp]>([
    [401, { error: 'Authentication failed' }, /Venice key/],
    [402, { error: 'API key USD spend limit exceeded.' }, /own spend limit/],
    [504, { error: 'The request took too long' }, /stream: true/],
    [413, '<html>too large</html>', /not the proxy's/],
  ])('%d is forwarded word for word, with a hint beside it', async (status, body, expected) => {
    const scene = await startScene();
    const headers = { 'X-Of-Venice': 'kept' };
    const reply = await meet(scene, refusal(status, body, headers));
    expect(reply.status).toBe(status);
    expect(reply.text).toBe(typeof body === 'string' ? body : JSON.stringify(body));
    expect(reply.headers).toMatchObject({ 'x-of-venice': 'kept' });
    expect(reply.headers[HINT]).toMatch(expected);
    expect(reply.headers[HINT]).toContain(`(CF-RAY ${String(reply.headers['cf-ray'])})`);
    expect(scene.venice.calls).toHaveLength(1);
  });

  test('an unknown member that may not go is named', async () => {
    const scene = await startScene();
    const reply = await meet(scene, { kind: 'unknown-field', field: 'functions', shape: 'zod' });
    expect(reply.headers[HINT]).toMatch(/^The upstream does not know functions: .*learnableParams/);
  });

  test.each(['gzip', 'br'] as const)('a body in %s is read for its hint, too', async (coding) => {
    const scene = await startScene();
    const bytes = Buffer.from('{"error":"Insufficient x402 balance"}');
    const body = coding === 'gzip' ? gzipSync(bytes) : brotliCompressSync(bytes);
    const reply = await meet(scene, refusal(402, body, { 'content-encoding': coding }));
    expect(reply.body.equals(body)).toBe(true);
    expect(reply.headers[HINT]).toMatch(/x402/);
  });

  test('a used-up window is told from an overloaded model', async () => {
    const scene = await startScene({ retries: 0 });
    const limited = await meet(scene, { kind: 'rate-limited', resetMs: 20_000 });
    expect([limited.status, limited.headers[HINT]]).toEqual([
      429,
      expect.stringMatching(/^The rate limit of this key and model is used up/),
    ]);
    const busy = await startScene({ retries: 0 });
    const overloaded = await meet(busy, { kind: 'overloaded' });
    expect(overloaded.headers[HINT]).toMatch(/^The model is overloaded/);
  });

  test('the hint is that of the answer that the retries left over', async () => {
    const scene = await startScene({ retries: 1 });
    scene.venice.script(refusal(503, { code: 'MODEL_OFFLINE', error: 'x' }));
    const reply = await meet(scene, refusal(401, { error: 'Authentication failed' }));
    expect([reply.status, scene.venice.calls.length]).toEqual([401, 2]);
    expect(reply.headers[HINT]).toMatch(/Venice key/);
  });

  test('a good answer has none, whatever came before it', async () => {
    const scene = await startScene();
    const reply = await meet(scene, refusal(503));
    expect(reply.status).toBe(200);
    expect(reply.headers).not.toHaveProperty(HINT);
  });

  test.each([200, 400])("the header is ours: an upstream's own goes (%d)", async (status) => {
    const scene = await startScene();
    const reply = await meet(scene, refusal(status, { error: 'x' }, { [HINT]: 'theirs' }));
    expect(reply.status).toBe(status);
    expect(reply.headers).not.toHaveProperty(HINT);
  });

  test('HEAD has a hint, and no body', async () => {
    const scene = await startScene();
    scene.venice.script(refusal(404, { error: 'Route not found' }));
    const missing = await send(`${scene.baseUrl}/models`, { method: 'HEAD' });
    expect([missing.status, missing.text, missing.headers[HINT]]).toEqual([404, '', undefined]);
    scene.venice.script(refusal(400));
    const wrong = await send(`${scene.baseUrl}/models`, { method: 'HEAD' });
    expect([wrong.status, wrong.headers[HINT]]).toEqual([400, undefined]);
    scene.venice.script(refusal(401));
    const refused = await send(`${scene.baseUrl}/models`, { method: 'HEAD' });
    expect([refused.status, refused.text]).toEqual([401, '']);
    expect(refused.headers[HINT]).toMatch(/Venice key/);
  });
});

describe('whose key it was, the hint knows', () => {
  test.each<[string, object, Record<string, string>, RegExp]>([
    ["the proxy's", { apiKey: 'the-key-of-the-proxy' }, {}, /set in the proxy/],
    ["the client's", {}, {}, /client's own/],
    ["the client's, as apiKey has none", { apiKey: () => undefined }, {}, /client's own/],
    ["a wallet's", {}, { authorization: '', 'sign-in-with-x': 'signed' }, /wallet/],
    ["nobody's", {}, { authorization: '' }, /had no key/],
  ])('%s', async (_, options, headers, expected) => {
    const scene = await startScene(options);
    scene.venice.script(refusal(401, { error: 'Authentication failed' }));
    const given = Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== ''));
    const hasKey = headers['authorization'] !== '';
    const reply = await fetch(`${scene.baseUrl}/models`, {
      headers: hasKey ? { authorization: 'Bearer k', ...given } : given,
    });
    expect(reply.status).toBe(401);
    expect(reply.headers.get(HINT)).toMatch(expected);
    expect(reply.headers.get(HINT)).not.toContain('the-key-of-the-proxy');
  });
});

describe('our own errors', () => {
  test('say what helps', async () => {
    const scene = await startScene({ timeout: { firstByte: 50 } });
    const reply = await meet(scene, { kind: 'silent' });
    expect([reply.status, errorIn(reply)['code']]).toEqual([504, 'upstream_timeout']);
    expect(reply.headers[HINT]).toBe('Ask with stream: true, or raise timeout (TIMEOUT).');
  });

  test('say nothing where nothing helps', async () => {
    const front = await startFront({ target: deserted() });
    const { status, headers } = await send(`${front.baseUrl}/a%2fb`);
    expect([status, headers[HINT]]).toEqual([400, undefined]);
  });

  test('keep their shape with normalizeErrors', async () => {
    const front = await startFront({
      target: deserted(),
      retries: 0,
      normalizeErrors: true,
    });
    const reply = await chat(front);
    expect(Object.keys(errorIn(reply))).toEqual(['message', 'type', 'param', 'code']);
    expect(reply.headers[HINT]).toMatch(/OPENAI_BASE_URL/);
  });
});

test('the hint stands in the log line of its request', async () => {
  const lines: string[] = [];
  const write = createDebug.log;
  createDebug.log = (line: string) => lines.push(line);
  closeAfterTest(() => {
    createDebug.disable();
    createDebug.log = write;
  });
  createDebug.enable('venice-proxy:request-log');
  const scene = await startScene();
  await meet(scene, refusal(402, { error: 'Insufficient balance of somebody' }));
  await scene.recorder.ended();
  await chat(scene);
  await scene.recorder.ended(2);
  expect(lines).toHaveLength(2);
  expect(lines[0]).toMatch(/status=402 .* hint="No balance \(DIEM or credits\).*CF-RAY/);
  expect(lines[0]).not.toContain('somebody');
  expect(lines[1]).not.toContain('hint=');
});

describe('with normalizeErrors', () => {
  test.each<[Answer['body'], string, unknown]>([
    [{ error: 'Too large, sorry.' }, 'Too large, sorry.', { error: 'Too large, sorry.' }],
    ['<html>413</html>', 'The request is too large.', '<html>413</html>'],
    ['plain words', 'plain words', 'plain words'],
    ['', 'The request is too large.', null],
    [undefined, 'The request is too large.', null],
  ])('%j has the shape of OpenAI', async (body, message, upstream) => {
    const scene = await startScene({ normalizeErrors: true });
    const reply = await meet(scene, {
      kind: 'answer',
      status: 413,
      ...(body === undefined ? {} : { body }),
    });
    expectWhole(reply);
    expect(reply.status).toBe(413);
    expect(errorIn(reply)).toEqual({
      message,
      type: 'invalid_request_error',
      param: null,
      code: 'request_too_large',
      upstream,
    });
    expect(reply.headers[HINT]).toMatch(/not the proxy's/);
  });

  test('what has it already stays byte for byte, its headers, too', async () => {
    const scene = await startScene({ normalizeErrors: true });
    const body = '{ "error":{"message":"m","n":1.0} }\n';
    const headers = { 'content-type': 'application/problem+json', etag: '"x"' };
    const reply = await meet(scene, refusal(422, body, headers));
    expect([reply.status, reply.text]).toEqual([422, body]);
    expect(reply.headers).toMatchObject(headers);
  });

  test('every header but those of the body stays', async () => {
    const scene = await startScene({ normalizeErrors: true });
    const kept = { 'payment-required': 'eyJ4NDAyVmVyc2lvbiI6Mn0=', 'x-balance-remaining': '0' };
    const headers = { ...kept, etag: '"of the text"' };
    const reply = await meet(scene, refusal(402, { error: 'Payment required' }, headers));
    expectWhole(reply);
    expect(errorIn(reply)['type']).toBe('insufficient_quota');
    expect(reply.headers).toMatchObject(kept);
    expect(reply.headers).not.toHaveProperty('etag');
  });

  test.each(['gzip', 'br'] as const)('%s is undone', async (coding) => {
    const scene = await startScene({ normalizeErrors: true });
    const bytes = Buffer.from('{"error":"Not yours."}');
    const body = coding === 'gzip' ? gzipSync(bytes) : brotliCompressSync(bytes);
    const reply = await meet(scene, refusal(403, body, { 'content-encoding': coding }));
    expectWhole(reply);
    expect(errorIn(reply)).toMatchObject({
      message: 'Not yours.',
      upstream: { error: 'Not yours.' },
    });
  });

  test.each<[string, Buffer, string]>([
    ['in a coding that nobody knows', Buffer.from('secret'), 'x-unknown'],
    ['that is not in its coding', Buffer.from('no gzip'), 'gzip'],
    ['that is much longer than it looks', gzipSync(Buffer.alloc(20 * LONGEST, 'a')), 'gzip'],
    ['that is longer than it looks', gzipSync(Buffer.alloc(LONGEST + 1, 'a')), 'gzip'],
    ['of more than 64 kB', Buffer.alloc(LONGEST + 1, 'a'), 'identity'],
    ['of many times as much', Buffer.alloc(10 * LONGEST, 'a'), 'identity'],
  ])('a body %s is forwarded as it is', async (_, body, coding) => {
    const scene = await startScene({ normalizeErrors: true });
    const headers = { 'content-encoding': coding, 'content-type': 'text/plain' };
    const reply = await meet(scene, refusal(415, body, headers));
    expect([reply.status, reply.complete, reply.body.equals(body)]).toEqual([415, true, true]);
    expect(reply.headers).toMatchObject(headers);
    expect(reply.headers[HINT]).toMatch(/multipart/);
  });

  test('a body of 64 kB is normalized', async () => {
    const scene = await startScene({ normalizeErrors: true });
    const text = 'a'.repeat(LONGEST);
    const reply = await meet(scene, refusal(409, text));
    expectWhole(reply);
    expect(errorIn(reply)['upstream']).toBe(text);
  });

  test.each<Fault>([
    { kind: 'raw', bytes: chunked('{"error":', '"In pieces."}') },
    {
      kind: 'raw',
      bytes: 'HTTP/1.1 409 Conflict\r\nContent-Type: text/plain\r\n\r\n{"error":"In pieces."}',
    },
    {
      kind: 'raw',
      bytes: chunked('{"error":"In pieces."}').replace('text/plain', 'text/event-stream'),
    },
  ])('however the body comes: %j', async (fault) => {
    const scene = await startScene({ normalizeErrors: true });
    const reply = await meet(scene, fault);
    expect(reply.status).toBe(409);
    expectWhole(reply);
    expect(errorIn(reply)).toMatchObject({ message: 'In pieces.', code: 'conflict' });
  });

  test('a body that breaks off is forwarded as far as it came, and is not whole', async () => {
    const scene = await startScene({ normalizeErrors: true });
    const bytes = 'HTTP/1.1 409 Conflict\r\nContent-Length: 99\r\n\r\n{"error":"In';
    const reply = await meet(scene, { kind: 'raw', bytes });
    expect([reply.status, reply.text, reply.complete]).toEqual([409, '{"error":"In', false]);
  });

  test('HEAD stays as it is', async () => {
    const scene = await startScene({ normalizeErrors: true });
    const headers = { 'content-type': 'text/plain', 'content-length': '7' };
    scene.venice.script({ kind: 'answer', status: 410, headers });
    const reply = await send(`${scene.baseUrl}/models`, { method: 'HEAD' });
    expect([reply.status, reply.text]).toEqual([410, '']);
    expect(reply.headers).toMatchObject(headers);
  });

  test('good answers stay as they are', async () => {
    const scene = await startScene({ normalizeErrors: true });
    const direct = await send(`${scene.target}/models`);
    const reply = await send(`${scene.baseUrl}/models`);
    expect([reply.status, reply.text]).toEqual([200, direct.text]);
  });

  test('embeddings whose floats would have become base64', async () => {
    const scene = await startScene({ normalizeErrors: true });
    scene.venice.script(refusal(400, { code: 'INVALID_MODEL', error: 'Invalid model specified' }));
    const body = { model: 'none', input: 'x', encoding_format: 'base64' };
    const reply = await send(`${scene.baseUrl}/embeddings`, { body });
    expectWhole(reply);
    expect(errorIn(reply)['code']).toBe('INVALID_MODEL');
    expect(reply.headers[HINT]).toMatch(/GET \/models/);
  });

  test('a last answer of several keeps what the proxy says of it', async () => {
    const scene = await startScene({ normalizeErrors: true, retries: 1 });
    scene.venice.script({ kind: 'overloaded' });
    const reply = await meet(scene, { kind: 'overloaded' });
    expectWhole(reply);
    expect(reply.headers).toMatchObject({
      'x-venice-proxy-attempts': '2',
      'x-should-retry': 'false',
    });
    expect(errorIn(reply)).toMatchObject({ code: 'MODEL_OVERLOADED', type: 'rate_limit_error' });
  });
});

describe('a client that has the head of a stream already', () => {
  test.each([false, true])('finds the hint in a comment (normalizeErrors: %s)', async (normal) => {
    const scene = await startScene({ heartbeat: 20, normalizeErrors: normal });
    const body = gzipSync('{"code":"INSUFFICIENT_BALANCE","error":"Insufficient balance"}');
    const headers = { 'content-encoding': 'gzip' };
    scene.venice.script({ ...refusal(402, body, headers), delayMs: 150 });
    const { status, text } = await chat(scene, { stream: true });
    expect(status).toBe(200);
    expect(text).toMatch(/^: .*x-venice-proxy-hint=No balance .*\(CF-RAY [\w-]+\)$/m);
    const event = /^data: (.*)$/m.exec(text)?.[1] ?? '{}';
    const { error }: ErrorBody = JSON.parse(event);
    expect(error).toMatchObject({
      message: 'Insufficient balance',
      code: 'INSUFFICIENT_BALANCE',
      status: 402,
    });
  });

  test('finds that of our own errors there, too', async () => {
    const scene = await startScene({ heartbeat: 20, timeout: { firstByte: 150 } });
    scene.venice.script({ kind: 'silent' });
    const { text } = await chat(scene, { stream: true });
    expect(text).toMatch(/^: .*x-venice-proxy-hint=Ask for less .*TIMEOUT/m);
  });
});

describe('the OpenAI SDK', () => {
  const ASKS: readonly [string, (client: OpenAI) => Promise<unknown>][] = [
    [
      'chat',
      (client) =>
        client.chat.completions.create({
          model: CHAT.model,
          messages: [{ role: 'user', content: 'x' }],
        }),
    ],
    [
      'a stream',
      (client) =>
        client.chat.completions.create({
          model: CHAT.model,
          messages: [{ role: 'user', content: 'x' }],
          stream: true,
        }),
    ],
    ['embeddings', (client) => client.embeddings.create({ model: 'm', input: 'x' })],
  ];

  test.each(ASKS)('finds message, type, code and param (%s)', async (_, ask) => {
    const { client, venice } = await startSdk({ proxy: { normalizeErrors: true, retries: 0 } });
    const issue = { code: 'invalid_type', path: ['model'], message: 'Required' };
    venice.script(refusal(400, { error: 'Invalid request parameters', issues: [issue] }));
    const error = await ask(client).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(APIError);
    expect(error).toMatchObject({
      status: 400,
      message: '400 Invalid request parameters: model: Required',
      type: 'invalid_request_error',
      code: 'invalid_request',
      param: 'model',
    });
  });

  test('finds them where Venice says nothing at all', async () => {
    const { client, venice } = await startSdk({ proxy: { normalizeErrors: true, retries: 0 } });
    venice.script({ kind: 'answer', status: 503 });
    const error = await client.models.list().catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      message: '503 The upstream is not available for now.',
      type: 'server_error',
      code: 'service_unavailable',
      error: { upstream: null },
    });
  });
});

function chunked(...pieces: readonly string[]): string {
  const chunks = pieces.map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`).join('');
  const head = 'HTTP/1.1 409 Conflict\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked';
  return `${head}\r\n\r\n${chunks}0\r\n\r\n`;
}
