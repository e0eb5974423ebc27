import { brotliCompressSync, gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import express from 'express';
import type { Fault } from '../examples/stand-in-venice.ts';
import { startScene } from './helpers/scene.ts';
import type { Scene } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';
import type { Reply } from './helpers/serve.ts';

const JSON_TYPE = { 'content-type': 'application/json' };
// Short vectors: a difference is to be read by people.
const ASK = { model: 'text-embedding-bge-m3', input: ['the sea', 'é🙂', ''], dimensions: 8 };
const BASE64 = { ...ASK, encoding_format: 'base64' };

function embed({ baseUrl }: { baseUrl: string }, body: object | string | Buffer): Promise<Reply> {
  return send(`${baseUrl}/embeddings`, { method: 'POST', headers: JSON_TYPE, body });
}

/** What Venice itself says to the same question. */
function embedDirectly({ target }: Scene, body: object | string | Buffer): Promise<Reply> {
  return embed({ baseUrl: target }, body);
}

function asked({ venice }: Scene): string[] {
  return venice.calls.map(({ body }) => body.toString());
}

function vectorsIn({ text }: Reply): readonly unknown[] {
  const answer: { data: { embedding: unknown }[] } = JSON.parse(text);
  return answer.data.map(({ embedding }) => embedding);
}

function expectWhole(reply: Reply): void {
  expect([reply.status, reply.complete]).toEqual([200, true]);
  expect(reply.headers).toMatchObject({ 'content-length': String(reply.body.length) });
  expect(reply.headers).not.toHaveProperty('content-encoding');
  expect(reply.headers).not.toHaveProperty('transfer-encoding');
}

const JSON_ANSWER = { 'content-type': 'application/json; charset=utf-8' };

function answered(body: string | Buffer, headers = {}): Fault {
  return { kind: 'answer', status: 200, headers: { ...JSON_ANSWER, ...headers }, body };
}

/** An answer with much in it that is no embedding, and two that are. */
function strange(one: string, two: string): string {
  return (
    `{ "id":12345678901234567890,"data" :[{"embedding": ${one} ,"x":1.0},\n` +
    `{"a":"[1]","embedding":${two}}],"embedding":[1],"usage":{"embedding":[2]},` +
    '"__proto__":{"data":[{"embedding":[3]}]} }\n'
  );
}

describe('who asks for base64 gets it', () => {
  test('as Venice would have given it, although Venice is asked for floats', async () => {
    const scene = await startScene();
    const reply = await embed(scene, BASE64);
    expectWhole(reply);
    expect(asked(scene)).toEqual([JSON.stringify({ ...ASK, encoding_format: 'float' })]);
    expect(reply.text).toBe((await embedDirectly(scene, BASE64)).text);
  });

  test('bit for bit the floats that Venice gives', async () => {
    const scene = await startScene();
    const floats = vectorsIn(await embedDirectly(scene, { ...ASK, dimensions: 200 }));
    const base64 = vectorsIn(await embed(scene, { ...BASE64, dimensions: 200 }));
    expect(base64).toEqual(
      floats.map((vector) => {
        if (!Array.isArray(vector)) throw new TypeError('These are no floats.');
        const bytes = Buffer.alloc(4 * vector.length);
        vector.forEach((value: number, place) => bytes.writeFloatLE(value, 4 * place));
        return bytes.toString('base64');
      }),
    );
    expect(base64).toHaveLength(ASK.input.length);
  });

  test.each([{ dimensions: 1 }, { dimensions: 16_384 }, { input: 'one' }, { input: [''] }])(
    'whatever the question: %j',
    async (changes) => {
      const scene = await startScene();
      const reply = await embed(scene, { ...BASE64, ...changes });
      expectWhole(reply);
      const direct = await embedDirectly(scene, { ...BASE64, ...changes });
      expect(reply.body.equals(direct.body)).toBe(true);
    },
  );

  test.each(['gzip', 'br', 'deflate'] as const)(
    'also from an upstream that compresses (%s) although it is asked not to',
    async (compress) => {
      const scene = await startScene();
      const direct = await embedDirectly(scene, BASE64);
      scene.venice.configure({ compress });
      const reply = await send(`${scene.baseUrl}/embeddings`, {
        headers: { 'accept-encoding': 'gzip, deflate, br' },
        body: BASE64,
      });
      expectWhole(reply);
      expect(reply.text).toBe(direct.text);
      expect(scene.venice.calls[1]?.headers['accept-encoding']).toBe('identity');
      expect(scene.venice.calls).toHaveLength(2);
    },
  );

  test.each<Fault>([
    { kind: 'ok', framing: 'chunked' },
    { kind: 'ok', framing: 'close' },
    { kind: 'slow-body', chunkBytes: 100, delayMs: 1 },
    { kind: 'slow-body', chunkBytes: 100, delayMs: 1, framing: 'chunked', compress: 'gzip' },
    { kind: 'ok', headers: { 'content-type': 'APPLICATION/JSON' } },
    { kind: 'ok', headers: { 'content-type': 'application/vnd.x+json;charset=utf-8' } },
  ])('in whichever way the answer comes: %j', async (fault) => {
    const scene = await startScene();
    const direct = await embedDirectly(scene, BASE64);
    scene.venice.script(fault);
    const reply = await embed(scene, BASE64);
    expectWhole(reply);
    expect(reply.text).toBe(direct.text);
  });

  test.each([
    [
      '{ "encoding_format" : "base64" ,\n"input":"x","dimensions":8.0,"user":12345678901234567890,"model":"m" }',
      '{ "encoding_format" : "float" ,\n"input":"x","dimensions":8.0,"user":12345678901234567890,"model":"m" }',
    ],
    [
      '{"model":"m","dimensions":8,"input":"\\u0041é\\/","encoding\\u005fformat":"base6\\u0034","__proto__":{"a":1}}',
      '{"model":"m","dimensions":8,"input":"\\u0041é\\/","encoding\\u005fformat":"float","__proto__":{"a":1}}',
    ],
    [
      '{"model":"m","dimensions":8,"input":"x","encoding_format":"float","encoding_format":"base64"}',
      '{"model":"m","dimensions":8,"input":"x","encoding_format":"float","encoding_format":"float"}',
    ],
    [
      '{"model":"m","dimensions":8,"encoding_format":"base64","input":"x","encoding_format":"base64"}',
      '{"model":"m","dimensions":8,"encoding_format":"float","input":"x","encoding_format":"float"}',
    ],
  ])('however it says so, and every other byte of the question stays: %s', async (body, wanted) => {
    const scene = await startScene();
    const direct = await embedDirectly(scene, body);
    const reply = await embed(scene, body);
    expectWhole(reply);
    expect(asked(scene)).toEqual([body, wanted]);
    expect(reply.text).toBe(direct.text);
  });

  test('under a path with a slash at its end or a query, too', async () => {
    const scene = await startScene();
    const floats = await embedDirectly(scene, ASK);
    const base64 = await embedDirectly(scene, BASE64);
    for (const end of ['/', '?x=y']) {
      const body = Buffer.from(floats.text);
      scene.venice.script({ kind: 'answer', status: 200, headers: JSON_ANSWER, body });
      // oxlint-disable-next-line no-await-in-loop
      const reply = await send(`${scene.baseUrl}/embeddings${end}`, { body: BASE64 });
      expect(reply.text).toBe(base64.text);
    }
  });

  test('behind express.json()', async () => {
    const scene = await startScene({}, {}, { before: (app) => app.use(express.json()) });
    const direct = await embedDirectly(scene, BASE64);
    const reply = await embed(scene, BASE64);
    expectWhole(reply);
    expect(reply.text).toBe(direct.text);
    expect(asked(scene)[1]).toBe(JSON.stringify({ ...ASK, encoding_format: 'float' }));
  });

  test('from Venice itself when the question is compressed, which nobody reads', async () => {
    const scene = await startScene();
    const reply = await send(`${scene.baseUrl}/embeddings`, {
      headers: { ...JSON_TYPE, 'content-encoding': 'gzip' },
      body: gzipSync(JSON.stringify(BASE64)),
    });
    expectWhole(reply);
    expect(reply.text).toBe((await embedDirectly(scene, BASE64)).text);
  });

  test('in an answer of which every other byte stays', async () => {
    const scene = await startScene();
    const body = strange('[ 1, -0.5 ]', '[1e-3,12345678901234567890]');
    scene.venice.script({ kind: 'answer', status: 200, headers: JSON_ANSWER, body });
    const reply = await embed(scene, BASE64);
    expectWhole(reply);
    expect(reply.text).toBe(strange('"AACAPwAAAL8="', '"bxKDOqpUK18="'));
  });

  test('without the marks of bytes that it has not', async () => {
    const scene = await startScene();
    const marks = {
      etag: '"x"',
      'content-md5': 'x',
      digest: 'x',
      'content-digest': 'x',
      'repr-digest': 'x',
    };
    scene.venice.script({ kind: 'ok', headers: { ...marks, 'x-kept': 'x' } });
    const { headers } = await embed(scene, BASE64);
    expect(Object.keys(headers).filter((name) => name in marks)).toEqual([]);
    expect(headers['x-kept']).toBe('x');
  });
});

describe('who asks for floats gets floats', () => {
  test.each([
    JSON.stringify(ASK),
    JSON.stringify({ ...ASK, encoding_format: 'float' }),
    JSON.stringify({ ...ASK, encoding_format: 'float', logprobs: true, dimensions: 3 }),
    '{ "model":"m","input":"x" , "dimensions":8.0,"user":12345678901234567890 }',
    '{"model":"m","dimensions":8,"input":"x","encoding_format":"base64","encoding_format":"float"}',
    '{"model":"m","dimensions":8,"input":"x","user":{"encoding_format":"base64"}}',
  ])('byte for byte, in question and answer: %s', async (body) => {
    const scene = await startScene();
    const direct = await embedDirectly(scene, body);
    const reply = await embed(scene, body);
    expectWhole(reply);
    expect(asked(scene)).toEqual([body, body]);
    expect(reply.text).toBe(direct.text);
    expect(vectorsIn(reply)[0]).toEqual(expect.arrayContaining([expect.any(Number)]));
  });

  test.each(['gzip', 'br', 'deflate'] as const)(
    'compressed (%s), if they are',
    async (compress) => {
      const scene = await startScene({}, { compress });
      const direct = await embedDirectly(scene, ASK);
      const reply = await embed(scene, ASK);
      expect(reply.body.equals(direct.body)).toBe(true);
      expect(reply.headers).toMatchObject({
        'content-encoding': compress,
        'content-length': String(direct.body.length),
      });
    },
  );

  test.each(['null', '"Base64"', '"base64 "', '["base64"]', '64'])(
    'and who asks for neither (%s) is answered by Venice',
    async (format) => {
      const scene = await startScene();
      const body = `{"model":"m","dimensions":8,"input":"x","encoding_format":${format}}`;
      const direct = await embedDirectly(scene, body);
      const reply = await embed(scene, body);
      expect(asked(scene)).toEqual([body, body]);
      expect([reply.status, reply.text]).toEqual([direct.status, direct.text]);
    },
  );

  test('base64 is nothing special on other paths', async () => {
    const scene = await startScene();
    const body = JSON.stringify(BASE64);
    for (const path of [
      '/x/embeddings',
      '/embeddings/x',
      '/stand-in/echo',
      '/images/generations',
    ]) {
      // oxlint-disable-next-line no-await-in-loop
      await send(scene.baseUrl + path, { headers: JSON_TYPE, body });
    }
    expect(asked(scene)).toEqual([body, body, body, body]);
  });
});

describe('of an answer to base64', () => {
  test('an error stays as it is', async () => {
    const scene = await startScene();
    const wrong = { ...BASE64, dimensions: 'many' };
    const direct = await embedDirectly(scene, wrong);
    const reply = await embed(scene, wrong);
    expect([reply.status, reply.text]).toEqual([400, direct.text]);
    expect(reply.headers['content-length']).toBe(String(direct.body.length));
  });

  test.each(['gzip', 'br', 'deflate'] as const)(
    'an error that is compressed (%s) stays so',
    async (compress) => {
      const scene = await startScene({}, { compress });
      const wrong = { ...BASE64, dimensions: 'many' };
      const direct = await embedDirectly(scene, wrong);
      const reply = await embed(scene, wrong);
      expect([reply.status, reply.complete]).toEqual([400, true]);
      expect(reply.headers).toMatchObject({
        'content-encoding': compress,
        'content-length': String(direct.body.length),
      });
      expect(reply.body.equals(direct.body)).toBe(true);
    },
  );

  test.each([400, 500])('a long error (%i) comes whole', async (status) => {
    const scene = await startScene({ retries: 0 });
    const body = JSON.stringify({ error: 'x'.repeat(300_000) });
    const headers = { ...JSON_ANSWER, etag: '"e"' };
    scene.venice.script({ kind: 'answer', status, headers, body });
    const reply = await embed(scene, BASE64);
    expect([reply.status, reply.complete, reply.text === body]).toEqual([status, true, true]);
    expect(reply.headers).toMatchObject({ 'content-length': String(body.length), etag: '"e"' });
  });

  test('a refusal is waited for, and what comes then is converted', async () => {
    const scene = await startScene();
    const direct = await embedDirectly(scene, BASE64);
    scene.venice.script({ kind: 'abuse-block' }, { kind: 'answer', status: 503 });
    const reply = await embed(scene, BASE64);
    expectWhole(reply);
    expect(reply.text).toBe(direct.text);
    const wanted = JSON.stringify({ ...ASK, encoding_format: 'float' });
    expect(asked(scene).slice(1)).toEqual([wanted, wanted, wanted]);
    expect(scene.recorder.retries.map(({ status }) => status)).toEqual([429, 503]);
    const [blocked, other] = scene.recorder.delays;
    expect(blocked).toBe(50);
    expect(other).toBeLessThanOrEqual(2);
  });

  const cut = '{"data":[{"embedding":[0.1,0.2';

  const broken: [string, Fault, code: string][] = [
    ['closed', { kind: 'cut-body', bytes: 100 }, 'upstream_disconnected'],
    ['reset', { kind: 'cut-body', bytes: 100, ending: 'reset' }, 'upstream_disconnected'],
    ['reset at once', { kind: 'reset-after-head' }, 'upstream_disconnected'],
    ['shorter than it says', { kind: 'wrong-length', delta: 7 }, 'upstream_disconnected'],
    ['cut', { kind: 'cut-body', bytes: 100, ending: 'end' }, 'upstream_invalid'],
    ['cut where it closes', { kind: 'cut-body', bytes: 100, framing: 'close' }, 'upstream_invalid'],
    ['half an array', answered(cut), 'upstream_invalid'],
    ['no JSON', answered('<html></html>'), 'upstream_invalid'],
    ['empty', answered(''), 'upstream_invalid'],
    [
      'cut and compressed',
      answered(gzipSync(cut), { 'content-encoding': 'gzip' }),
      'upstream_invalid',
    ],
    [
      'compressed and cut',
      { kind: 'cut-body', bytes: 100, ending: 'end', compress: 'gzip' },
      'upstream_invalid',
    ],
    [
      'compressed in another way',
      answered(gzipSync('{}'), { 'content-encoding': 'br' }),
      'upstream_invalid',
    ],
    ['compressed in no way', answered('{}', { 'content-encoding': 'gzip' }), 'upstream_invalid'],
  ];

  test('one in a coding that nobody can read is not paid for twice', async () => {
    const scene = await startScene();
    scene.venice.script(answered('{}', { 'content-encoding': 'zst' }));
    const reply = await embed(scene, BASE64);
    expect([reply.status, JSON.parse(reply.text).error.code]).toEqual([502, 'upstream_invalid']);
    expect(scene.venice.calls).toHaveLength(1);
  });

  test.each(broken)('one that is %s is asked for again', async (_how, fault) => {
    const scene = await startScene();
    const direct = await embedDirectly(scene, BASE64);
    scene.venice.script(fault);
    const reply = await embed(scene, BASE64);
    expectWhole(reply);
    expect(reply.text).toBe(direct.text);
    expect(scene.venice.calls).toHaveLength(3);
    expect(reply.headers['x-venice-proxy-attempts']).toBe('2');
    expect(scene.recorder.retries.map(({ attempt, status }) => [attempt, status])).toEqual([
      [1, undefined],
    ]);
    expect(scene.recorder.delays[0]).toBeLessThanOrEqual(1);
  });

  test.each(broken)('one that is %s again and again is an error', async (_how, fault, code) => {
    const scene = await startScene({ retries: 2 });
    scene.venice.script(fault, fault, fault);
    const reply = await embed(scene, BASE64);
    expect([reply.status, reply.complete]).toEqual([502, true]);
    expect(JSON.parse(reply.text)).toEqual({
      error: {
        message: expect.stringContaining('3 attempts'),
        type: 'server_error',
        param: null,
        code,
      },
    });
    expect(reply.headers).toMatchObject({
      'x-venice-proxy-attempts': '3',
      'x-should-retry': 'false',
    });
    expect([scene.venice.calls.length, scene.recorder.delays.length]).toEqual([3, 2]);
  });

  const alreadyBase64 =
    '{"object":"list", "data":[ {"embedding":"AACAPw==","index":0} ],"id":12345678901234567890}\n';

  const unmoved = [
    alreadyBase64,
    '{"data":[]}',
    '{"data":null}',
    '{"data":[{"embedding":[1,null]}]}',
    '[]',
  ];

  test.each(unmoved)('one without floats is left alone: %j', async (body) => {
    const scene = await startScene();
    scene.venice.script(answered(body, { etag: '"e"', 'content-length': body.length }));
    const reply = await embed(scene, BASE64);
    expectWhole(reply);
    expect(reply.text).toBe(body);
    expect(reply.headers['etag']).toBe('"e"');
    expect(scene.venice.calls).toHaveLength(1);
  });

  test.each(unmoved)('one without floats is left as it was compressed: %j', async (text) => {
    const scene = await startScene();
    const body = brotliCompressSync(text);
    scene.venice.script(answered(body, { 'content-encoding': 'br' }));
    const reply = await embed(scene, BASE64);
    expect([reply.status, reply.body.equals(body)]).toEqual([200, true]);
    expect(reply.headers).toMatchObject({
      'content-encoding': 'br',
      'content-length': String(body.length),
    });
    expect(scene.venice.calls).toHaveLength(1);
  });

  test('one that is no JSON stays as it is, compressed or not', async () => {
    const scene = await startScene();
    const headers = { 'content-type': 'text/plain', 'content-encoding': 'gzip' };
    const body = gzipSync('hello');
    scene.venice.script({ kind: 'answer', status: 200, headers, body });
    const reply = await embed(scene, BASE64);
    expect(reply.headers).toMatchObject({ ...headers, 'content-length': String(body.length) });
    expect(gunzipSync(reply.body).toString()).toBe('hello');
  });
});
