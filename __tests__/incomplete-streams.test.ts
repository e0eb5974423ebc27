import { describe, expect, test } from '@jest/globals';
import type { Fault } from '../examples/stand-in-venice.ts';
import { chat, startScene } from './helpers/scene.ts';
import type { Scene } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';
import type { Reply } from './helpers/serve.ts';

const DELTA = 'data: {"choices":[{"delta":{"content":"x"},"finish_reason":null}]}\n\n';
const CREATED = 'data: {"type":"response.created"}\n\n';
const EARLY =
  'data: {"error":{"message":"The upstream ended the stream before its answer was complete.",' +
  '"type":"server_error","param":null,"code":"upstream_disconnected"}}\n\n';

const stream = (...chunks: string[]): Fault => ({ kind: 'raw-stream', chunks, delayMs: 40 });

function respond({ baseUrl }: Scene): Promise<Reply> {
  return send(`${baseUrl}/responses`, { body: { model: 'm', input: 'x', stream: true } });
}

const ASK: Readonly<Record<string, (scene: Scene) => Promise<Reply>>> = {
  '/chat/completions': (scene) => chat(scene, { stream: true }),
  '/responses': respond,
};

describe('a stream that ends in good order without having said that it is complete', () => {
  test.each([
    ['/chat/completions', [DELTA, DELTA], DELTA + DELTA],
    ['/chat/completions', [DELTA, 'data: {"choi'], DELTA],
    ['/responses', [CREATED], CREATED],
  ])('%s: %j ends with the error event, and broken', async (route, chunks, whole) => {
    const scene = await startScene();
    scene.venice.script(stream(...chunks));
    const reply = await ASK[route]?.(scene);
    expect(reply).toMatchObject({ status: 200, text: whole + EARLY, complete: false });
    expect(scene.venice.calls).toHaveLength(1);
    expect(await scene.recorder.ended()).toMatchObject({
      outcome: 'broken',
      code: 'upstream_disconnected',
    });
  });

  test('does so behind an early head, too', async () => {
    const scene = await startScene({ heartbeat: 30 });
    scene.venice.script({ kind: 'raw-stream', chunks: [': 1\n\n', DELTA, DELTA], delayMs: 60 });
    const reply = await chat(scene, { stream: true });
    expect(reply.complete).toBe(false);
    expect(reply.text.endsWith(DELTA + DELTA + EARLY)).toBe(true);
  });

  test.each(Object.keys(ASK))('%s: without an event it is asked for again', async (route) => {
    const scene = await startScene({ retries: 1 });
    scene.venice.script(stream(': only a comment\n\n'));
    const reply = await ASK[route]?.(scene);
    expect(reply).toMatchObject({ status: 200, complete: true });
    expect(scene.venice.calls).toHaveLength(2);
  });

  test('without an event, and with no retry left, it is an error with its status', async () => {
    const scene = await startScene({ retries: 0 });
    scene.venice.script(stream(''));
    const reply = await chat(scene, { stream: true });
    expect(reply.status).toBe(502);
    expect(reply.text).toContain('"code":"upstream_disconnected"');
    expect(reply.text).toContain('ended the stream before its first event');
    expect(scene.venice.calls).toHaveLength(1);
  });
});

test.each([
  ['[DONE]', ['data: [DONE]\n\n']],
  ['a finish_reason', ['data: {"choices":[{"finish_reason":"length"}]}\n\n', ': bye\n\n']],
  ['an error of the upstream', ['data: {"error":{"message":"m"}}\n\n']],
  ['[DONE] without its blank line', ['data: [DONE]']],
])('a stream that ends with %s stays as it is', async (_name, last) => {
  const scene = await startScene();
  scene.venice.script(stream(DELTA, ...last));
  const reply = await chat(scene, { stream: true });
  expect(reply).toMatchObject({ status: 200, text: DELTA + last.join(''), complete: true });
  expect(await scene.recorder.ended()).toMatchObject({ outcome: 'answered', code: undefined });
});

test('events of other routes need no ending', async () => {
  const scene = await startScene();
  scene.venice.script(stream('data: 1\n\n'));
  const reply = await send(`${scene.baseUrl}/augment/search`, { body: {} });
  expect(reply).toMatchObject({ status: 200, text: 'data: 1\n\n', complete: true });
});
