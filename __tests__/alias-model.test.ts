import { describe, expect, test } from '@jest/globals';
import { KnownModels } from '../lib/known-models.ts';
import { CHAT, chat, startScene } from './helpers/scene.ts';
import type { Scene } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';

const MODEL = 'x-venice-proxy-model';
const HINT = 'x-venice-proxy-hint';
const UNKNOWN = {
  kind: 'answer',
  status: 404,
  body: { error: 'Specified model not found' },
} as const;

function bodies({ venice }: Scene): string[] {
  return venice.calls.map(({ body }) => String(body));
}

describe('models', () => {
  test('replaces an alias, and nothing else of the bytes', async () => {
    const scene = await startScene({ models: { 'gpt-4o': 'qwen3-235b' } });
    const body =
      '{ "n": 1.0, "mod\\u0065l" :"gpt-4o" ,"messages":[{"role":"user","content":"gpt-4o"}]}';
    const headers = { 'content-type': 'application/json' };
    const reply = await send(`${scene.baseUrl}/chat/completions`, { headers, body });
    expect(bodies(scene)).toEqual([body.replace('"gpt-4o" ', '"qwen3-235b" ')]);
    expect(reply.headers[MODEL]).toBe('qwen3-235b');
    expect(JSON.parse(reply.text)).toMatchObject({ model: 'qwen3-235b' });
    expect(await scene.recorder.ended()).toMatchObject({ request: { model: 'qwen3-235b' } });
  });

  test.each([
    ['gpt-4o:enable_web_search=on', 'llama:enable_web_search=on'],
    ['fast:a=b', 'qwen:strip=on&a=b'],
    ['exact:a=b', 'other'],
  ])('keeps the features of %s', async (model, expected) => {
    const models = { 'gpt-4o': 'llama', fast: 'qwen:strip=on', exact: 'no', 'exact:a=b': 'other' };
    const scene = await startScene({ models });
    await chat(scene, { model });
    expect(JSON.parse(bodies(scene)[0] ?? '')).toEqual({ ...CHAT, model: expected });
  });

  test("replaces once: what an alias stands for is Venice's name", async () => {
    const scene = await startScene({ models: { a: 'b', b: 'a' } });
    expect((await chat(scene, { model: 'a' })).headers[MODEL]).toBe('b');
  });

  test.each([CHAT.model, 'constructor', '', 1, null])('leaves %j alone', async (model) => {
    const scene = await startScene({ models: { 'gpt-4o': 'llama' } });
    const reply = await chat(scene, { model });
    expect(bodies(scene)).toEqual([JSON.stringify({ ...CHAT, model })]);
    expect(reply.headers[MODEL]).toBeUndefined();
  });

  test('counts the request against the window of the model that is asked', async () => {
    const options = { requests: { limit: 1, windowMs: 60_000 } };
    const scene = await startScene({ models: { alias: CHAT.model }, maxWait: 0 }, options);
    expect((await chat(scene)).status).toBe(200);
    expect((await chat(scene, { model: 'alias' })).status).toBe(429);
    expect(scene.venice.calls).toHaveLength(1);
  });

  test('says behind an early head, too, which model was asked', async () => {
    const scene = await startScene(
      { models: { alias: 'llama' }, heartbeat: 20 },
      { latencyMs: 100 },
    );
    const { text } = await chat(scene, { model: 'alias', stream: true });
    expect(text).toMatch(/^: .* x-venice-proxy-model=llama$/m);
  });
});

describe('a model that Venice does not know', () => {
  test('gets its own 404, with the names that are nearest as a hint', async () => {
    const scene = await startScene({ models: { 'my-fast-model': 'qwen3-235b' } });
    scene.venice.script(UNKNOWN);
    const reply = await chat(scene, { model: 'my-fastmodel' });
    expect([reply.status, reply.text]).toEqual([404, JSON.stringify(UNKNOWN.body)]);
    expect(reply.headers[HINT]).toMatch(/^Did you mean my-fast-model\? GET \/models/);
  });

  test('is compared with the lists of models that have passed by, untouched', async () => {
    const scene = await startScene({ models: { a: 'b' } });
    const list = await send(`${scene.baseUrl}/models`);
    expect(list.text).toBe((await send(`${scene.target}/models`)).text);
    scene.venice.script(UNKNOWN);
    const reply = await chat(scene, { model: 'LLama3.3-70b:enable_web_search=on' });
    expect(reply.headers[HINT]).toMatch(/^Did you mean llama-3\.3-70b\?/);
  });

  test('that is like no other one gets no name', async () => {
    const scene = await startScene({ models: { a: 'b' } });
    scene.venice.script(UNKNOWN);
    expect((await chat(scene, { model: 'gpt-4o' })).headers[HINT]).toMatch(/^GET \/models/);
  });
});

describe('the nearest names', () => {
  test('are three at most, in the order of their nearness, and fit into a header', () => {
    const known = new KnownModels([
      'model-1234',
      'model-123',
      'model-12',
      'model-1',
      'model-äöü',
      'x',
    ]);
    expect(known.nearest('model-123')).toEqual(['model-123', 'model-1234', 'model-12']);
    expect(known.nearest('')).toEqual(['x']);
    expect(known.nearest('y'.repeat(100_000))).toEqual([]);
  });
});
