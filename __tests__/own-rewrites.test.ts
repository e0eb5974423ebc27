import { EventEmitter, once } from 'node:events';
import { runInNewContext } from 'node:vm';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import type { JsonObject, RequestInfo } from '../lib/index.ts';
import { CHAT, chat, startScene } from './helpers/scene.ts';
import type { Scene } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';
import { DONE, EVENTS, dial } from './helpers/wire.ts';

function sent({ venice }: Scene): unknown {
  return JSON.parse(String(venice.calls[0]?.body));
}

describe('rewriteRequest', () => {
  test('changes what goes upstream, before parameters are dropped', async () => {
    const scene = await startScene({
      rewriteRequest: (body) => ({ ...body, model: 'other', logprobs: true, user: 'ü' }),
    });
    const reply = await chat(scene);
    expect(reply.status).toBe(200);
    expect(sent(scene)).toEqual({ ...CHAT, model: 'other', user: 'ü' });
    expect(reply.headers['x-venice-proxy-dropped']).toBe('logprobs');
    expect(await scene.recorder.ended()).toMatchObject({ request: { model: 'other' } });
  });

  test('may take its time, and every attempt is made with what it returned', async () => {
    const scene = await startScene({
      rewriteRequest: async (body) => {
        await new Promise(setImmediate);
        return { ...body, n: 2 };
      },
    });
    scene.venice.script({ kind: 'answer', status: 500 });
    expect((await chat(scene)).status).toBe(200);
    const bodies = scene.venice.calls.map(({ body }) => String(body));
    expect(bodies).toEqual(Array(2).fill(JSON.stringify({ ...CHAT, n: 2 })));
  });

  test('may change a body of another charset: what goes upstream is UTF-8', async () => {
    const scene = await startScene({ rewriteRequest: () => ({ user: 'ü' }) });
    const headers = { 'content-type': 'application/json; charset=latin1' };
    await send(`${scene.baseUrl}/chat/completions`, { headers, body: '{}' });
    expect(scene.venice.calls[0]?.headers['content-type']).toBe('application/json; charset=utf-8');
  });

  test('is told of the request what the body says of it', async () => {
    const told: RequestInfo[] = [];
    const scene = await startScene({ rewriteRequest: (_, info) => void told.push(info) });
    await chat(scene, { stream: true });
    expect(told).toEqual([
      {
        id: expect.any(String),
        method: 'POST',
        path: '/chat/completions',
        model: CHAT.model,
        stream: true,
      },
    ]);
  });

  test('that returns nothing leaves every byte, whatever it did to the object', async () => {
    const scene = await startScene({ rewriteRequest: (body) => void delete body['n'] });
    const body = '{ "n" : 12345678901234567890, "model":"m" ,"messages":[] }';
    const headers = { 'content-type': 'application/json' };
    await send(`${scene.baseUrl}/chat/completions`, { headers, body });
    expect(String(scene.venice.calls[0]?.body)).toBe(body);
  });

  test.each([
    ['no object', '[1]', {}],
    ['no JSON', '{"a":', {}],
    ['encoded', gzipSync('{}'), { 'content-encoding': 'gzip' }],
    ['of another type', '{}', { 'content-type': 'text/plain' }],
  ])('is not asked about a body that is %s', async (_, body, headers) => {
    const scene = await startScene({ rewriteRequest: () => ({ changed: true }) });
    const all = { 'content-type': 'application/json', ...headers };
    await send(`${scene.baseUrl}/chat/completions`, { headers: all, body });
    expect(scene.venice.calls[0]?.body).toEqual(Buffer.from(body));
  });

  test.each<[string, () => JsonObject]>([
    ['throws', () => fail('a secret')],
    ['rejects', () => Promise.reject(new Error('a secret')) as never],
    ['returns no object', () => [] as never],
    ['returns what is no JSON', () => ({ n: 1n })],
  ])('that %s makes a 500, and nothing is sent', async (_, rewriteRequest) => {
    const scene = await startScene({ rewriteRequest });
    const reply = await chat(scene);
    expect(reply.status).toBe(500);
    expect(JSON.parse(reply.text)).toEqual({
      error: {
        message: '`rewriteRequest` of this proxy failed.',
        type: 'server_error',
        param: null,
        code: 'internal_error',
      },
    });
    expect(scene.venice.calls).toHaveLength(0);
  });
});

function fail(message: string): never {
  throw new Error(message);
}

describe('rewriteAnswer', () => {
  test('changes the JSON of an answer, and its length', async () => {
    const scene = await startScene({
      rewriteAnswer: async ({ id }, { path }) => {
        await new Promise(setImmediate);
        return { id: typeof id, path, long: 'ü'.repeat(100_000) };
      },
    });
    const reply = await chat(scene);
    expect(JSON.parse(reply.text)).toEqual({
      id: 'string',
      path: '/chat/completions',
      long: 'ü'.repeat(100_000),
    });
    expect(reply.headers['content-length']).toBe(String(reply.body.length));
    expect(reply.headers['etag']).toBeUndefined();
    expect(reply.complete).toBe(true);
  });

  test.each(['gzip', 'br', 'deflate'] as const)('changes an answer in %s', async (coding) => {
    const scene = await startScene({ rewriteAnswer: () => ({ a: 1 }) }, { compress: coding });
    const reply = await chat(scene);
    expect(reply.text).toBe('{"a":1}');
    expect(reply.headers['content-encoding']).toBeUndefined();
    expect(scene.venice.calls[0]?.headers['accept-encoding']).toBe('identity');
  });

  test.each<[string, () => JsonObject | undefined]>([
    ['returns nothing', () => undefined],
    ['throws', () => fail('no')],
    ['rejects', () => Promise.reject(new Error('no')) as never],
    ['returns no object', () => 'text' as never],
  ])('that %s leaves every byte and header', async (_, rewriteAnswer) => {
    const body = '{ "n": 12345678901234567890 }';
    const scene = await startScene({ rewriteAnswer });
    const headers = { 'content-type': 'application/json', etag: '"x"' };
    scene.venice.script({ kind: 'answer', status: 200, headers, body });
    const reply = await chat(scene);
    expect([reply.text, reply.headers['etag']]).toEqual([body, '"x"']);
  });

  test('is not asked about errors, other bodies, and what has none', async () => {
    const scene = await startScene({ rewriteAnswer: () => ({ changed: true }) });
    const text = { 'content-type': 'text/plain' };
    scene.venice.script(
      { kind: 'answer', status: 404, body: { error: 'none' } },
      { kind: 'answer', status: 200, headers: text, body: '{}' },
      { kind: 'bodiless', status: 204 },
    );
    expect((await chat(scene)).text).toBe('{"error":"none"}');
    expect((await chat(scene)).text).toBe('{}');
    expect((await chat(scene)).status).toBe(204);
    const head = await send(`${scene.baseUrl}/models`, { method: 'HEAD' });
    expect([head.status, head.headers['content-length']]).toEqual([200, undefined]);
  });

  test('comes after the attempt: an answer that breaks before it is asked for again', async () => {
    const scene = await startScene({ rewriteAnswer: () => ({ a: 1 }) });
    scene.venice.script({ kind: 'cut-body', bytes: 10 });
    const reply = await chat(scene);
    expect([reply.status, reply.text]).toEqual([200, '{"a":1}']);
    expect(scene.venice.calls).toHaveLength(2);
  });

  test('costs the client that leaves meanwhile nothing but its answer', async () => {
    const asked = new EventEmitter();
    const scene = await startScene({
      rewriteAnswer: async () => {
        asked.emit('begun');
        await once(asked, 'finish');
        return { a: 1 };
      },
    });
    const begun = once(asked, 'begun');
    const line = await dial(scene.origin);
    await line.write('GET /api/v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\n\r\n');
    await begun;
    line.reset();
    const ended = await scene.recorder.ended();
    asked.emit('finish');
    expect(ended.outcome).toBe('client_left');
    expect((await chat({ ...scene, baseUrl: scene.target })).status).toBe(200);
  });
});

/** One stream of chat in these chunks. */
async function streamOf(
  rewriteEvent: (data: JsonObject) => JsonObject | null | undefined,
  chunks: readonly string[],
  delayMs = 0,
): Promise<string> {
  const scene = await startScene({ rewriteEvent });
  scene.venice.script({ kind: 'raw-stream', chunks, delayMs });
  const reply = await chat(scene, { stream: true });
  expect(reply.headers['content-type']).toBe('text/event-stream');
  return reply.text;
}

describe('rewriteEvent', () => {
  test('changes each event, its other lines stay', async () => {
    const text = await streamOf(
      ({ n }) => ({ n: Number(n) + 1 }),
      ['event: a\nid: 7\ndata: {"n":1}\n\n: comment\n\n', 'data: {"n":\r\ndata: 2}\r\n\r\n', DONE],
    );
    expect(text).toBe(`event: a\nid: 7\ndata: {"n":2}\n\n: comment\n\ndata: {"n":3}\n\n${DONE}`);
  });

  test('gets events whole, wherever the chunks cut them', async () => {
    const stream = `data: {"n":"語"}\n\ndata: {"n":"ü"}\r\n\r\n${DONE}`;
    const bytes = Buffer.from(stream);
    const scene = await startScene({ rewriteEvent: ({ n }) => ({ n: `${String(n)}!` }) });
    const chunks = [...bytes].map((byte) => Buffer.of(byte));
    scene.venice.script({ kind: 'raw-stream', chunks, delayMs: 1 });
    const { text } = await chat(scene, { stream: true });
    // The LF of a CRLF that was cut may follow as an empty line.
    expect(text.replace(/\n{3}/, '\n\n')).toBe(`data: {"n":"語!"}\n\ndata: {"n":"ü!"}\n\n${DONE}`);
  });

  test('leaves an event byte for byte, or drops it', async () => {
    const kept = 'data:{ "n": 12345678901234567890 }\r\n\r\n';
    const text = await streamOf(
      ({ drop }) => (drop === true ? null : undefined),
      [kept, 'event: gone\ndata: {"drop":true}\n\n', 'data: [1]\n\ndata: no JSON\n\n', DONE],
    );
    expect(text).toBe(`${kept}data: [1]\n\ndata: no JSON\n\n${DONE}`);
  });

  test.each<[string, () => JsonObject]>([
    ['throws', () => fail('no')],
    ['returns a promise', () => Promise.reject(new Error('no')) as never],
    ['returns a promise of another realm', () => runInNewContext('Promise.reject(1)') as never],
    ['returns no object', () => 1 as never],
  ])('that %s leaves the event', async (_, rewriteEvent) => {
    const chunks = ['data: {"n":1}\n\n', DONE];
    expect(await streamOf(rewriteEvent, chunks)).toBe(chunks.join(''));
  });

  test('an event of up to 16 MiB is changed', async () => {
    const long = `data: {"n":"${'x'.repeat(3_000_000)}"}\n\n`;
    expect(await streamOf(() => ({ n: 1 }), [long, DONE])).toBe(`data: {"n":1}\n\n${DONE}`);
  });

  test('a compressed stream is decoded for it', async () => {
    const scene = await startScene({ rewriteEvent: () => ({ n: 1 }) });
    const whole = gzipSync(`data: {"n":0}\n\n${DONE}`);
    const headers = { 'content-type': EVENTS, 'content-encoding': 'gzip' };
    scene.venice.script({ kind: 'answer', status: 200, headers, body: whole });
    const reply = await chat(scene, { stream: true });
    expect([reply.text, reply.headers['content-encoding']]).toEqual([
      `data: {"n":1}\n\n${DONE}`,
      undefined,
    ]);
  });

  test('a stream in a coding that nobody here knows is left alone', async () => {
    const scene = await startScene({ rewriteEvent: () => null });
    const headers = { 'content-type': EVENTS, 'content-encoding': 'zstd' };
    scene.venice.script({ kind: 'answer', status: 200, headers, body: 'data: {}\n\n' });
    const reply = await chat(scene, { stream: true });
    expect([reply.text, reply.headers['content-encoding']]).toEqual(['data: {}\n\n', 'zstd']);
  });

  test('behind a heartbeat it changes events, too, but not what was no event', async () => {
    const options = {
      heartbeat: 20,
      rewriteEvent: () => ({ n: 1 }),
      rewriteAnswer: () => ({ n: 2 }),
    };
    const scene = await startScene(options);
    scene.venice.script(
      { kind: 'raw-stream', chunks: ['data: {"n":0}\n\n', DONE] },
      { kind: 'answer', status: 200, body: { n: 0 } },
    );
    scene.venice.configure({ latencyMs: 100 });
    const stream = await chat(scene, { stream: true });
    const late = { kind: 'answer', status: 200, body: { n: 0 }, delayMs: 100 } as const;
    scene.venice.script(late);
    await chat(scene, { stream: true });
    const body = await chat(scene, { stream: true });
    expect(stream.text).toContain('data: {"n":1}\n\ndata: [DONE]');
    expect(body.text).toMatch(/data: \{"n":2\}\n\n$/);
  });

  test('a stream that breaks ends with its error event', async () => {
    const scene = await startScene({ rewriteEvent: () => ({ n: 1 }) });
    scene.venice.script({ kind: 'cut-stream', afterEvents: 2, midEvent: true });
    const reply = await chat(scene, { stream: true });
    expect(reply.text).toMatch(
      /^data: \{"n":1\}\n\ndata: \{"n":1\}\n\ndata: \{"error":.*"upstream_disconnected"/,
    );
    expect(reply.complete).toBe(false);
  });

  test('whether a stream is complete is judged by what the upstream sent', async () => {
    const chunks = ['data: {"choices":[{"finish_reason":"stop"}]}\n\n'];
    expect(await streamOf(() => null, chunks)).toBe('');
    const text = await streamOf(
      () => ({ choices: [{ finish_reason: 'stop' }] }),
      ['data: {"n":1}\n\n'],
    );
    expect(text).toMatch(/upstream_disconnected/);
  });
});

test.each([
  ['rewriteRequest', 503],
  ['rewriteAnswer', 200],
  ['apiKey', 503],
])('%s that never settles holds no shutdown up, and costs no answer', async (option, status) => {
  const asked = new EventEmitter();
  const begun = once(asked, 'begun');
  const never = (): Promise<undefined> => {
    asked.emit('begun');
    return new Promise(() => {});
  };
  const scene = await startScene({ [option]: never });
  const reply = chat(scene);
  await begun;
  await scene.proxy.drain(1);
  expect(await reply).toMatchObject({ status, complete: true });
});

test('all three are given one and the same request, whatever fits into a WeakMap by it', async () => {
  const seen = new WeakMap<RequestInfo, number>();
  const count = (info: RequestInfo): number => {
    const next = (seen.get(info) ?? 0) + 1;
    seen.set(info, next);
    return next;
  };
  const scene = await startScene({
    rewriteRequest: (body, info) => ({ ...body, seed: count(info) }),
    rewriteAnswer: (_, info) => ({ n: count(info) }),
    rewriteEvent: (_, info) => ({ n: count(info) }),
  });
  expect((await chat(scene)).text).toBe('{"n":2}');
  expect((await chat(scene, { stream: true })).text).toMatch(/^data: \{"n":2\}\n\ndata: \{"n":3\}/);
});

test('Ollama gets what they made of it', async () => {
  const scene = await startScene({
    ollama: true,
    models: { 'my-model': CHAT.model },
    rewriteRequest: (body) => ({ ...body, seed: 1 }),
    rewriteAnswer: (body) => ({
      ...body,
      choices: [{ message: { role: 'assistant', content: 'whole' }, finish_reason: 'stop' }],
    }),
    rewriteEvent: (body) => ({
      ...body,
      choices: [{ delta: { content: 'piece' }, finish_reason: 'stop' }],
    }),
  });
  const ask = (stream: boolean) =>
    send(`${scene.baseUrl}/api/chat`, { body: { ...CHAT, model: 'my-model', stream } });
  expect(JSON.parse((await ask(false)).text)).toMatchObject({ message: { content: 'whole' } });
  const [line = ''] = (await ask(true)).text.split('\n');
  expect(JSON.parse(line)).toMatchObject({ message: { content: 'piece' } });
  expect(sent(scene)).toMatchObject({ model: CHAT.model, seed: 1 });
});

test('Ollama hears nothing before its answer, which has no place for comments', async () => {
  const scene = await startScene({ ollama: true, heartbeat: 20 });
  scene.venice.script({ kind: 'answer', status: 404, body: { error: 'none' }, delayMs: 100 });
  const reply = await send(`${scene.baseUrl}/api/chat`, { body: { ...CHAT, stream: true } });
  expect(reply.status).toBe(404);
});

test('Ollama gets its last line at the end of a stream that says no [DONE]', async () => {
  const scene = await startScene({ ollama: true });
  const last = { choices: [{ delta: { content: 'x' }, finish_reason: 'stop' }] };
  scene.venice.script({ kind: 'raw-stream', chunks: [`data: ${JSON.stringify(last)}\n\n`] });
  const reply = await send(`${scene.baseUrl}/api/chat`, { body: { ...CHAT, stream: true } });
  expect(reply.text).toMatch(/"done":false\}\n[^\n]*"done":true/);
});

test('Ollama gets what came before an event that nobody can read, and an error behind it', async () => {
  const scene = await startScene({ ollama: true });
  const piece = JSON.stringify({ choices: [{ delta: { content: 'x' } }] });
  scene.venice.script({ kind: 'raw-stream', chunks: [`data: ${piece}\n\ndata: {\n\n${DONE}`] });
  const reply = await send(`${scene.baseUrl}/api/chat`, { body: { ...CHAT, stream: true } });
  const lines = reply.text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as object);
  expect(lines).toEqual([
    expect.objectContaining({ message: { role: 'assistant', content: 'x' } }),
    { error: expect.any(String) },
  ]);
  expect(reply.complete).toBe(false);
});
