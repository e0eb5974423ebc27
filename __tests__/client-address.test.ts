import { describe, expect, test } from '@jest/globals';
import { CHAT, startScene } from './helpers/scene.ts';
import type { Scene } from './helpers/scene.ts';
import { EXPRESSES, send } from './helpers/serve.ts';

const SPOOFED = {
  'x-forwarded-for': '203.0.113.7, 198.51.100.2',
  'x-forwarded-proto': 'https',
  'x-forwarded-host': 'public.example',
};

async function seen(scene: Scene): Promise<Record<string, unknown>> {
  await send(`${scene.baseUrl}/chat/completions`, { body: CHAT, headers: SPOOFED });
  const headers = Object.entries(scene.venice.calls[0]?.headers ?? {});
  return Object.fromEntries(headers.filter(([name]) => name.startsWith('x-forwarded-')));
}

describe.each(EXPRESSES)('the address of the client, in %s', (_name, express) => {
  test('is not told by default, nor is what it says of itself', async () => {
    const scene = await startScene({}, {}, { express });
    expect(await seen(scene)).toEqual({});
  });

  test('is told with forwardClientAddress: its own word does not count', async () => {
    const scene = await startScene({ forwardClientAddress: true }, {}, { express });
    expect(await seen(scene)).toEqual({
      'x-forwarded-for': expect.stringMatching(/^(::ffff:)?127\.0\.0\.1$/),
      'x-forwarded-proto': 'http',
      'x-forwarded-host': new URL(scene.origin).host,
    });
  });

  test('is appended to what the app trusts', async () => {
    const scene = await startScene(
      { forwardClientAddress: true },
      {},
      { express, before: (app) => void app.set('trust proxy', ['loopback', '198.51.100.0/24']) },
    );
    expect(await seen(scene)).toEqual({
      'x-forwarded-for': expect.stringMatching(/^203\.0\.113\.7, 198\.51\.100\.2, (::ffff:)?127/),
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'public.example',
    });
  });
});
