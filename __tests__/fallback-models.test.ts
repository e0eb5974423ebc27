import { describe, expect, jest, test } from '@jest/globals';
import type { Fault } from '../examples/stand-in-venice.ts';
import { isModelBusy } from '../lib/fallback-models.ts';
import { CHAT, chat, startScene } from './helpers/scene.ts';
import type { Scene } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';

const MODEL = 'x-venice-proxy-model';
const FALLBACKS = { 'model-a': ['model-b', 'model-c'] };
const AT_CAPACITY: Fault = { kind: 'answer', status: 503, body: { error: 'MODEL_AT_CAPACITY' } };
const OFFLINE: Fault = { kind: 'answer', status: 503, body: '' };

/** The models of the calls that went upstream, in order. */
function asked({ venice }: Scene): unknown[] {
  return venice.calls.map(({ body }) => {
    const { model }: { model?: unknown } = JSON.parse(String(body));
    return model;
  });
}

function start(options: Parameters<typeof startScene>[0] = {}): Promise<Scene> {
  return startScene({ fallbacks: FALLBACKS, retries: 1, ...options });
}

describe('another model is asked', () => {
  test.each<[string, Fault]>([
    ['503 MODEL_AT_CAPACITY', AT_CAPACITY],
    ['503 without a word', OFFLINE],
    ['429 overloaded', { kind: 'overloaded' }],
    ['429 overloaded that tells of no window', { kind: 'overloaded', headers: false }],
  ])('after its retries, where one answers with %s', async (_, fault) => {
    const scene = await start();
    scene.venice.script(fault, fault);
    const reply = await chat(scene, { model: 'model-a' });
    expect(reply.status).toBe(200);
    expect(asked(scene)).toEqual(['model-a', 'model-a', 'model-b']);
    expect(reply.headers).toMatchObject({ [MODEL]: 'model-b', 'x-venice-proxy-attempts': '3' });
    expect(JSON.parse(reply.text)).toMatchObject({ model: 'model-b' });
    const ended = await scene.recorder.ended();
    expect(ended).toMatchObject({ attempts: 3, request: { model: 'model-b' } });
  });

  test('where the first event of a stream says it', async () => {
    const scene = await start({ retries: 0 });
    const error = { message: 'The model is offline', code: 'MODEL_OFFLINE' };
    scene.venice.script({ kind: 'sse-error-first', error });
    const reply = await chat(scene, { model: 'model-a', stream: true });
    expect(asked(scene)).toEqual(['model-a', 'model-b']);
    expect(reply.text).toMatch(/"model":"model-b"[^]*\[DONE\]/);
  });

  test('behind an early head, whose comment says which', async () => {
    const scene = await start({ retries: 0, heartbeat: 20 });
    scene.venice.script({ ...AT_CAPACITY, delayMs: 100 });
    const reply = await chat(scene, { model: 'model-a', stream: true });
    expect(reply.text).toMatch(/^: .*x-venice-proxy-model=model-b$/m);
    expect(reply.text).toMatch(/"model":"model-b"[^]*\[DONE\]/);
  });

  test('each with retries of its own, until there is none left; the last answer counts', async () => {
    const scene = await start();
    const last: Fault = { kind: 'answer', status: 503, body: 'the last' };
    scene.venice.script(...Array.from({ length: 5 }, () => AT_CAPACITY), last);
    const reply = await chat(scene, { model: 'model-a' });
    expect([reply.status, reply.text]).toEqual([503, 'the last']);
    expect(asked(scene)).toEqual(['a', 'a', 'b', 'b', 'c', 'c'].map((each) => `model-${each}`));
    expect(reply.headers[MODEL]).toBe('model-c');
  });

  test('with a backoff that begins anew', async () => {
    const scene = await start({ retries: 2, baseRetryDelay: 20 });
    const random = jest.spyOn(Math, 'random').mockReturnValue(1);
    scene.venice.script(...Array.from({ length: 5 }, () => AT_CAPACITY));
    const reply = await chat(scene, { model: 'model-a' });
    random.mockRestore();
    expect(reply.headers[MODEL]).toBe('model-b');
    expect(scene.recorder.delays).toEqual([20, 40, 20, 40]);
  });

  test('and the answer before it is let go', async () => {
    const scene = await start({ retries: 0 });
    scene.venice.script({ kind: 'answer', status: 503, body: 'x'.repeat(20_000_000) });
    expect((await chat(scene, { model: 'model-a' })).status).toBe(200);
    // Left alone, it would wait for a reader for ever.
    await expect(scene.venice.calls[0]?.over).resolves.toBeUndefined();
  });

  test('by the id, with the features, and nothing else of the bytes', async () => {
    const scene = await start({ retries: 0 });
    scene.venice.script(AT_CAPACITY);
    const body = '{"model": "model-a:x=on", "n": 1.0, "messages":[{"role":"user","content":"a"}]}';
    const headers = { 'content-type': 'application/json' };
    const { status } = await send(`${scene.baseUrl}/chat/completions`, { headers, body });
    expect(status).toBe(200);
    const bodies = scene.venice.calls.map((call) => String(call.body));
    expect(bodies).toEqual([body, body.replace('model-a', 'model-b')]);
    const [, second] = scene.venice.calls;
    expect(second?.headers['content-length']).toBe(String(body.length));
  });

  test('with what only the one before refused', async () => {
    const scene = await start({ retries: 0, dropParams: ['seed'] });
    scene.venice.script({ kind: 'unknown-field', field: 'user', shape: 'zod' }, AT_CAPACITY);
    const reply = await chat(scene, { model: 'model-a', user: 'u', seed: 1 });
    expect(reply.status).toBe(200);
    const bodies = scene.venice.calls.map(({ body }) => JSON.parse(String(body)) as object);
    expect(bodies).toEqual([
      { ...CHAT, model: 'model-a', user: 'u' },
      { ...CHAT, model: 'model-a' },
      { ...CHAT, model: 'model-b', user: 'u' },
    ]);
    expect(reply.headers['x-venice-proxy-dropped']).toBe('seed');
  });

  test('for what is billed by the call, too: nothing was done', async () => {
    const scene = await start({ retries: 0 });
    scene.venice.script(AT_CAPACITY);
    const body = { model: 'model-a', prompt: 'the sea' };
    expect((await send(`${scene.baseUrl}/image/generate`, { body })).status).toBe(200);
    expect(asked(scene)).toEqual(['model-a', 'model-b']);
  });

  test('of an alias by its real name', async () => {
    const scene = await start({ retries: 0, models: { fast: 'model-a' } });
    scene.venice.script(AT_CAPACITY);
    expect((await chat(scene, { model: 'fast' })).headers[MODEL]).toBe('model-b');
    expect(asked(scene)).toEqual(['model-a', 'model-b']);
  });

  test('where the gate holds requests back because it refused others', async () => {
    const scene = await start({ retries: 0, maxWait: 0, baseRetryDelay: 20_000 });
    scene.venice.script({ kind: 'overloaded', headers: false });
    await chat(scene, { model: 'model-a' });
    const second = await chat(scene, { model: 'model-a' });
    expect([second.status, second.headers[MODEL]]).toEqual([200, 'model-b']);
  });
});

describe('no other model is asked', () => {
  test.each<[string, Fault, number]>([
    ['the rate limit refused it', { kind: 'rate-limited', resetMs: 60_000 }, 429],
    ['the key is blocked', { kind: 'abuse-block' }, 429],
    ['it failed in another way', { kind: 'answer', status: 500, body: 'overloaded' }, 500],
    ['it was refused for good', { kind: 'answer', status: 400, body: 'offline' }, 400],
  ])('where %s', async (_, fault, status) => {
    const scene = await start({ retries: 0 });
    scene.venice.script(fault);
    const reply = await chat(scene, { model: 'model-a' });
    expect([reply.status, reply.headers[MODEL]]).toEqual([status, undefined]);
    expect(scene.venice.calls).toHaveLength(1);
  });

  test.each(['model-b', 'toString'])('for %s, which has none', async (model) => {
    const scene = await start({ retries: 0 });
    scene.venice.script(AT_CAPACITY);
    expect((await chat(scene, { model })).status).toBe(503);
    expect(scene.venice.calls).toHaveLength(1);
  });

  test('for what is never replayed', async () => {
    const scene = await start({ replay: () => 'never' });
    scene.venice.script(AT_CAPACITY);
    expect((await chat(scene, { model: 'model-a' })).status).toBe(503);
    expect(scene.venice.calls).toHaveLength(1);
  });

  test('when the client has left', async () => {
    const scene = await start({ retries: 0 });
    scene.venice.script({ ...AT_CAPACITY, delayMs: 100 });
    const given = new AbortController();
    const url = `${scene.baseUrl}/chat/completions`;
    const headers = { 'content-type': 'application/json', authorization: 'Bearer k' };
    const body = JSON.stringify({ ...CHAT, model: 'model-a' });
    const left = fetch(url, { method: 'POST', headers, body, signal: given.signal });
    await scene.venice.arrived(1);
    given.abort();
    await expect(left).rejects.toThrow(/abort/);
    expect((await scene.recorder.ended()).outcome).toBe('client_left');
    await scene.venice.calls[0]?.over;
    expect(scene.venice.calls).toHaveLength(1);
  });
});

test.each([
  [503, '', true, true],
  [429, 'The model is currently overloaded', false, true],
  [429, 'The model is currently overloaded', true, false],
  [429, 'Too many requests', false, false],
  [429, '{"code":"MODEL_AT_CAPACITY"}', false, true],
  [200, 'data: {"error":{"message":"The model is offline"}}', false, true],
  [200, 'data: {"error":{"message":"INFERENCE_FAILED"}}', false, false],
  [500, 'overloaded', false, false],
])('%d %j, within a window: %j, is a busy model: %j', (status, text, isWindow, isBusy) => {
  expect(isModelBusy(status, text, isWindow)).toBe(isBusy);
});
