import { describe, expect, test } from '@jest/globals';
import { EventEmitter, once } from 'node:events';
import type { Request } from 'express';
import type { ApiKeySource } from '../lib/index.ts';
import { chat, exchangeRaw, startScene } from './helpers/scene.ts';
import type { Scene } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';

const sentKey = ({ venice }: Scene): string | undefined =>
  venice.calls.at(-1)?.headers.authorization;

describe('apiKey', () => {
  test.each([
    ['a string', 'operators-key'],
    ['a function', () => 'operators-key'],
    ['an async function', () => Promise.resolve('operators-key')],
  ] satisfies [string, ApiKeySource][])(
    "goes upstream in place of the client's: %s",
    async (_name, apiKey) => {
      const scene = await startScene({ apiKey });
      expect((await chat(scene)).status).toBe(200);
      expect(sentKey(scene)).toBe('Bearer operators-key');
      expect(scene.venice.calls[0]?.rawHeaders.join('\n')).not.toContain('test-key');
    },
  );

  test('goes upstream, too, when the client sent none', async () => {
    const scene = await startScene({ apiKey: 'operators-key' });
    const reply = await exchangeRaw(
      scene.origin,
      'GET /api/v1/api_keys HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n',
    );
    expect(reply.statusLine).toBe('HTTP/1.1 200 OK');
    expect(sentKey(scene)).toBe('Bearer operators-key');
  });

  test.each([
    ['a function', () => undefined],
    ['an async function', () => Promise.resolve(undefined)],
  ] satisfies [string, ApiKeySource][])(
    "leaves the client's when %s gives none",
    async (_name, apiKey) => {
      const scene = await startScene({ apiKey });
      expect((await chat(scene)).status).toBe(200);
      expect(sentKey(scene)).toBe('Bearer test-key');
    },
  );

  test('is asked once a request, with the request, however often that is tried', async () => {
    const asked: string[] = [];
    const apiKey = (req: Request): string => {
      const tenant = String(req.headers['x-tenant']);
      asked.push(`${req.method} ${req.originalUrl} ${tenant}`);
      return `key-of-${tenant}`;
    };
    const scene = await startScene({ apiKey });
    scene.venice.script({ kind: 'answer', status: 500 }, { kind: 'answer', status: 500 });
    await send(`${scene.baseUrl}/models?type=text`, { headers: { 'x-tenant': 'a' } });
    await send(`${scene.baseUrl}/models`, { headers: { 'x-tenant': 'b' } });
    expect(asked).toEqual(['GET /api/v1/models?type=text a', 'GET /api/v1/models b']);
    expect(scene.venice.calls.map(({ headers }) => headers.authorization)).toEqual([
      'Bearer key-of-a',
      'Bearer key-of-a',
      'Bearer key-of-a',
      'Bearer key-of-b',
    ]);
  });

  test.each([
    [
      'throws',
      () => {
        throw new Error('the vault says: hunter2');
      },
    ],
    ['rejects', () => Promise.reject(new Error('the vault says: hunter2'))],
    ['rejects with what is no error', () => Promise.reject('hunter2')],
    ['gives an empty string', () => ''],
    ['gives what has a space in it', () => 'hunter2 x'],
    ['gives what has a line break in it', () => 'hunter2\r\nX-Injected: 1'],
    ['gives no string', () => 42 as unknown as string],
    ['gives null', () => Promise.resolve(null as unknown as undefined)],
  ] satisfies [string, ApiKeySource][])(
    'is api_key_unavailable, and no call is made, when the function %s',
    async (_name, apiKey) => {
      const scene = await startScene({ apiKey });
      const reply = await chat(scene);
      expect(reply.status).toBe(500);
      expect(JSON.parse(reply.text)).toEqual({
        error: {
          message: expect.stringMatching(/^The key for the upstream /),
          type: 'server_error',
          param: null,
          code: 'api_key_unavailable',
        },
      });
      expect(reply.text + reply.rawHeaders.join()).not.toContain('hunter2');
      expect(scene.venice.calls).toEqual([]);
      expect(await scene.recorder.ended()).toMatchObject({
        status: 500,
        outcome: 'refused',
        code: 'api_key_unavailable',
        attempts: 0,
      });
    },
  );

  test('that is waited for when the client leaves causes no call', async () => {
    const vault = new EventEmitter();
    const asked = once(vault, 'asked');
    const given = once(vault, 'key');
    const apiKey = async (): Promise<string> => {
      vault.emit('asked');
      const [key] = await given;
      return String(key);
    };
    const scene = await startScene({ apiKey });
    const leaving = new AbortController();
    const gone = fetch(`${scene.baseUrl}/models`, { signal: leaving.signal });
    await asked;
    leaving.abort();
    await expect(gone).rejects.toThrow('abort');
    expect(await scene.recorder.ended()).toMatchObject({ outcome: 'client_left', attempts: 0 });
    vault.emit('key', 'operators-key');
    // Another request goes all the way, so the first would have, too.
    expect((await send(`${scene.baseUrl}/models`)).status).toBe(200);
    expect(scene.venice.calls).toHaveLength(1);
    expect(scene.recorder.attempts).toBe(1);
  });
});

describe('wallets', () => {
  test.each(['SIGN-IN-WITH-X', 'X-Sign-In-With-X'])(
    '%s passes untouched, with an apiKey and without',
    async (name) => {
      for (const apiKey of [undefined, 'operators-key']) {
        // oxlint-disable-next-line no-await-in-loop -- one after the other is enough
        const scene = await startScene({ apiKey });
        // oxlint-disable-next-line no-await-in-loop
        const reply = await exchangeRaw(
          scene.origin,
          'GET /api/v1/api_keys HTTP/1.1\r\nHost: p\r\nConnection: close\r\n' +
            `${name}: eyJ+/=.signed\r\n\r\n`,
        );
        expect(reply.statusLine).toBe('HTTP/1.1 200 OK');
        expect(scene.venice.calls[0]?.headers[name.toLowerCase()]).toBe('eyJ+/=.signed');
        expect(sentKey(scene)).toBe(apiKey && `Bearer ${apiKey}`);
      }
    },
  );

  test('PAYMENT-REQUIRED and X-Venice-TEE-* of an answer pass untouched', async () => {
    const scene = await startScene();
    const headers = {
      'PAYMENT-REQUIRED': 'eyJ4NDAyVmVyc2lvbiI6Mn0=',
      'X-Venice-TEE-Attestation': 'a/b+c==',
    };
    scene.venice.script({ kind: 'answer', status: 402, headers, body: { x402Version: 2 } });
    const reply = await chat(scene);
    expect([reply.status, reply.text]).toEqual([402, '{"x402Version":2}']);
    expect(reply.headers).toMatchObject({
      'payment-required': 'eyJ4NDAyVmVyc2lvbiI6Mn0=',
      'x-venice-tee-attestation': 'a/b+c==',
    });
    expect(reply.rawHeaders).toContain('PAYMENT-REQUIRED');
  });
});
