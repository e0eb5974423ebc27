import { describe, expect, test } from '@jest/globals';
import { causeOfFirstEvent, hasEvent } from '../lib/first-event.ts';
import { chat, startScene } from './helpers/scene.ts';

const chunks = (...texts: readonly string[]): readonly Buffer[] =>
  texts.map((text) => Buffer.from(text));

describe('a first event that is an error', () => {
  test.each([
    ['data: {"error":{"message":"full","code":"MODEL_AT_CAPACITY"}}\n\n', 'refused'],
    ['data: {"error":{"message":"no","code":503}}\n\n', 'refused'],
    ['data: {"error":{"message":"no","status":"500"}}\n\n', 'failed'],
    ['data: {"error":"failed","code":"INFERENCE_FAILED"}\n\n', 'failed'],
    ['data: {"error":{"message":"oh","type":"server_error"}}\n\n', 'failed'],
    [': hello\n\ndata: {"error":"The model is currently overloaded."}\n\n', 'refused'],
    ['event: error\r\ndata: {"error":\r\ndata: {"code":"REQUEST_TIMEOUT"}}\r\n\r\n', 'timeout'],
    ['data: {"error":{"message":"Your key is wrong","code":401}}\n\n', 'final'],
    ['data: {"error":{"message":"who knows"}}\n\n', 'final'],
    ['data: {"choices":[],"error":{"code":503}}\n\n', 'final'],
    ['data: {"choices":[{"delta":{"content":"\\"error\\""}}]}\n\n', 'final'],
    ['data: {"error"\n\n', 'final'],
    ['data: "error"\n\n', 'final'],
  ])('tells how the answer failed: %j', (text, cause) => {
    expect(causeOfFirstEvent(chunks(text))).toBe(cause);
    const middle = text.indexOf('"error"') + 9;
    expect(causeOfFirstEvent(chunks(text.slice(0, middle), text.slice(middle)))).toBe(cause);
  });

  test('is looked for in the first event only', () => {
    const text = 'data: {"choices":[]}\n\ndata: {"error":{"code":503}}\n\n';
    expect(causeOfFirstEvent(chunks(text))).toBe('final');
  });
});

test.each([
  ['data: 1\n\n', true],
  [': one\n\n', false],
  [': one\r\n\r\n\r\n: two\n', false],
  ['\n\n: one\n\ndata: 2', true],
  ['', false],
])('comments are no event: %j', (text, isEvent) => {
  expect(hasEvent(chunks(text))).toBe(isEvent);
});

describe('a stream that begins with an error', () => {
  test('is asked for again, where the error may pass', async () => {
    const scene = await startScene();
    const error = { message: 'The model is at capacity.', code: 'MODEL_AT_CAPACITY' };
    scene.venice.script({ kind: 'sse-error-first', error });
    const reply = await chat(scene, { stream: true });
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 2]);
    expect(reply.text).not.toContain('MODEL_AT_CAPACITY');
    expect(reply.text).toMatch(/\[DONE\]\n\n$/);
    expect(scene.recorder.retries).toEqual([
      expect.objectContaining({ status: 200, reason: 'error event' }),
    ]);
  });

  test('is forwarded as it came when no retries are left', async () => {
    const error = { message: 'The model is at capacity.', code: 'MODEL_AT_CAPACITY' };
    const scene = await startScene(
      { retries: 1 },
      { onCall: () => ({ kind: 'sse-error-first', error }) },
    );
    const reply = await chat(scene, { stream: true });
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 2]);
    expect(reply.text).toContain(JSON.stringify({ error }));
  });

  test('is forwarded at once where the error would be the same again', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'sse-error-first', error: { message: 'No.', code: 401 } });
    const reply = await chat(scene, { stream: true });
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 1]);
    expect(reply.text).toContain('"No."');
  });
});
