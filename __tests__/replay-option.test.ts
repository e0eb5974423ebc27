import { describe, expect, jest, test } from '@jest/globals';
import type { ReplayRule } from '../lib/index.ts';
import { chat, startScene } from './helpers/scene.ts';
import type { Scene } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';
import type { Reply } from './helpers/serve.ts';

function image(scene: Scene): Promise<Reply> {
  return send(`${scene.baseUrl}/image/generate`, { body: { model: 'flux', prompt: 'the sea' } });
}

describe('replay', () => {
  test('decides whether a lost answer is asked for again', async () => {
    const scene = await startScene({ replay: () => 'always' });
    scene.venice.script({ kind: 'reset', after: 'body' });
    expect([(await image(scene)).status, scene.venice.calls.length]).toEqual([200, 2]);
  });

  test.each([
    ['never', 503, 1],
    ['refused-only', 503, 2],
    ['refused-only', 500, 1],
    ['always', 500, 2],
  ] as const)('%s after %d means %d calls', async (replay, status, calls) => {
    const scene = await startScene({ replay: () => replay });
    scene.venice.script({ kind: 'answer', status });
    const reply = await chat(scene);
    expect([reply.status, scene.venice.calls.length]).toEqual([calls === 1 ? status : 200, calls]);
  });

  test('is told of the request, but neither of its body nor of its headers', async () => {
    const rule = jest.fn<ReplayRule>();
    const scene = await startScene({ replay: rule });
    await chat(scene);
    expect(rule).toHaveBeenCalledTimes(1);
    expect(rule).toHaveBeenCalledWith({
      id: expect.any(String),
      method: 'POST',
      path: '/chat/completions',
      model: 'llama-3.3-70b',
      stream: false,
    });
  });

  test.each<[string, () => never]>([
    ['undefined', () => undefined as never],
    ['anything else', () => 'perhaps' as never],
    [
      'an error',
      () => {
        throw new Error('no idea');
      },
    ],
  ])('leaves it to the table with %s', async (_name, replay) => {
    const scene = await startScene({ replay });
    scene.venice.script({ kind: 'reset', after: 'body' });
    expect([(await image(scene)).status, scene.venice.calls.length]).toEqual([502, 1]);
    scene.venice.script({ kind: 'reset', after: 'body' });
    expect([(await chat(scene)).status, scene.venice.calls.length]).toEqual([200, 3]);
  });
});
