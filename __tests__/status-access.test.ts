import { describe, expect, test } from '@jest/globals';
import { send } from './helpers/serve.ts';
import type { Reply } from './helpers/serve.ts';
import { CHAT, startTestServer } from './helpers/start-test-server.ts';

const ANYWHERE = { HOST: '0.0.0.0' };
const KEYED = { PROXY_API_KEYS: 'first-key,second:key' };

function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

/** HEAD, as the answer to GET has no end. */
async function askForBoth(
  origin: string,
  headers: Record<string, string> = {},
): Promise<readonly Reply[]> {
  const page = await send(`${origin}/status`, { headers });
  const events = await send(`${origin}/status/events`, { method: 'HEAD', headers });
  return [page, events];
}

const statuses = (replies: readonly Reply[]): number[] => replies.map(({ status }) => status);

describe('the status page', () => {
  test.each([
    ['is shown on loopback', {}, 200],
    ['is not shown on other addresses', ANYWHERE, 404],
    ['is shown there with STATUS_PAGE=1', { ...ANYWHERE, STATUS_PAGE: '1' }, 200],
    ['is not shown on loopback with STATUS_PAGE=0', { STATUS_PAGE: '0' }, 404],
    ['is not shown to who has a key with STATUS_PAGE=0', { ...KEYED, STATUS_PAGE: '0' }, 404],
    ['asks for a key on other addresses', { ...ANYWHERE, ...KEYED }, 401],
    ['asks for a key on loopback', KEYED, 401],
    ['asks for a key with STATUS_PAGE=1', { ...KEYED, STATUS_PAGE: '1' }, 401],
  ])('%s', async (_rule, env, status) => {
    const { origin } = await startTestServer(env);
    // What `send` brings by itself is a key that nobody knows.
    expect(statuses(await askForBoth(origin))).toEqual([status, status]);
  });

  test.each([
    ['the password of any user', basic('anybody', 'first-key'), 200],
    ['the password of nobody', basic('', 'first-key'), 200],
    ['a password with a colon', basic('me', 'second:key'), 200],
    ['a bearer token', 'Bearer first-key', 200],
    ['a wrong password', basic('me', 'other-key'), 401],
    ['the user name', basic('first-key', ''), 401],
    ['an empty password', basic('', ''), 401],
    ['broken base64', 'Basic %%%', 401],
    ['another scheme', basic('me', 'first-key').replace('Basic', 'Digest'), 401],
  ])('takes the key as %s or not', async (_how, authorization, status) => {
    const { origin } = await startTestServer({ ...ANYWHERE, ...KEYED });
    const replies = await askForBoth(origin, { authorization });
    expect(statuses(replies)).toEqual([status, status]);
    for (const { headers, text } of replies) {
      expect(headers['www-authenticate']?.startsWith('Basic realm=') ?? false).toBe(status === 401);
      expect(text).not.toMatch(/first-key|second:key|other-key/);
    }
  });

  test('lets in nobody who has only the key of Venice', async () => {
    const { origin } = await startTestServer({ ...KEYED, VENICE_API_KEY: 'operators-key' });
    const replies = await askForBoth(origin, { authorization: 'Bearer operators-key' });
    expect(statuses(replies)).toEqual([401, 401]);
  });

  test.each([
    ['localhost', { host: 'localhost:9000' }, 200],
    ['a name below localhost', { host: 'venice.localhost' }, 200],
    ['::1', { host: '[::1]:9000' }, 200],
    ['a name that was pointed at this machine', { host: 'evil.example:9000' }, 403],
    ['a name that only looks like localhost', { host: 'localhost.evil.example' }, 403],
    ['a link on another page', crossSite('navigate', 'document'), 200],
    ['a frame on another page', crossSite('navigate', 'iframe'), 403],
    ['a script on another page', crossSite('cors', 'empty'), 403],
    ['an image on another port', { ...crossSite('no-cors', 'image', 'same-site') }, 403],
    ['its own script', { ...crossSite('cors', 'empty', 'same-origin') }, 200],
    ['who comes through a proxy', { 'x-forwarded-for': '203.0.113.7' }, 403],
    ['who comes through a proxy of another kind', { via: '1.1 front' }, 403],
    ['the address bar', { ...crossSite('navigate', 'document', 'none') }, 200],
  ])('on loopback, %s gets what it should', async (_who, headers, status) => {
    const { origin } = await startTestServer();
    expect(statuses(await askForBoth(origin, headers))).toEqual([status, status]);
  });

  test('with STATUS_PAGE=1 it has any name, and no other page may read it', async () => {
    const { origin } = await startTestServer({ STATUS_PAGE: '1', CORS_ORIGIN: '*' });
    expect(statuses(await askForBoth(origin, { host: 'proxy.example' }))).toEqual([200, 200]);
    const headers = { origin: 'https://evil.example' };
    for (const reply of await askForBoth(origin, headers)) {
      expect(reply.headers['access-control-allow-origin']).toBeUndefined();
    }
    const attack = await askForBoth(origin, crossSite('cors', 'empty'));
    expect(statuses(attack)).toEqual([403, 403]);
  });

  test('goes out with headers that let nothing else in', async () => {
    const { origin } = await startTestServer();
    const { headers, text } = await send(`${origin}/status`);
    expect(headers['content-type']).toBe('text/html; charset=utf-8');
    expect(headers['cache-control']).toBe('no-store');
    expect(headers['x-frame-options']).toBe('DENY');
    expect(headers['x-content-type-options']).toBe('nosniff');
    expect(headers['referrer-policy']).toBe('no-referrer');
    const policy = headers['content-security-policy'];
    expect(policy).toMatch(/^default-src 'none'; script-src 'sha256-\S+'; style-src 'sha256-\S+';/);
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toContain('unsafe');
    // One file: nothing is loaded from anywhere.
    expect(text).not.toMatch(/\b(src|href)="(?!data:|#)/);
    expect(text).not.toMatch(/url\(|@import|style="|\son\w+="|innerHTML/);
  });

  test('where it is not shown, the answer says what shows it', async () => {
    const { origin } = await startTestServer(ANYWHERE);
    expect((await send(`${origin}/status`)).text).toContain('STATUS_PAGE=1');
    expect((await send(`${origin}/other`)).text).not.toContain('STATUS_PAGE');
  });

  test('is there with a slash at its end, too', async () => {
    const { origin } = await startTestServer();
    expect((await send(`${origin}/status/`)).headers['content-type']).toMatch('text/html');
  });

  test('answers GET alone, and nothing below it but its events', async () => {
    const { origin } = await startTestServer();
    const posted = await send(`${origin}/status`, { method: 'POST' });
    const below = await send(`${origin}/status/more`);
    expect([posted.status, below.status]).toEqual([404, 404]);
  });

  test('stands beside an API at the root', async () => {
    const { origin, url, standIn } = await startTestServer({ PROXY_PATH_PREFIX: '/' });
    expect((await send(`${origin}/status`)).status).toBe(200);
    expect((await send(`${url}/chat/completions`, { body: CHAT })).status).toBe(200);
    expect(standIn.calls).toHaveLength(1);
  });
});

function crossSite(mode: string, dest: string, site = 'cross-site'): Record<string, string> {
  return { 'sec-fetch-site': site, 'sec-fetch-mode': mode, 'sec-fetch-dest': dest };
}
