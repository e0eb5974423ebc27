import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, jest, test } from '@jest/globals';
import type { Express } from 'express';
import type OpenAI from 'openai';
import request from 'supertest';
import { createApp as createAuthApp } from '../examples/behind-auth.ts';
import type { Authenticate } from '../examples/behind-auth.ts';
import { createApp as createMountedApp } from '../examples/mount-in-app.ts';
import { ask, createApp as createSdkApp } from '../examples/openai-sdk.ts';
import { createStandInVenice } from '../examples/stand-in-venice.ts';
import type { StandInOptions } from '../examples/stand-in-venice.ts';
import { listen, QUICK } from './helpers/serve.ts';
import { ROOT, startProgram } from './helpers/program.ts';
import type { Env, Program } from './helpers/program.ts';
import { closeAfterTest } from './helpers/scene.ts';
import { sdkFor } from './helpers/start-sdk.ts';

const CHAT = {
  model: 'llama-3.3-70b',
  messages: [{ role: 'user' as const, content: 'Why is the sky blue?' }],
};

async function startStandIn(options: StandInOptions = {}) {
  const venice = createStandInVenice({ tokenDelayMs: 1, ...options });
  closeAfterTest(() => venice.close());
  return { venice, target: await venice.listen() };
}

/** The OpenAI SDK in front of an app that listens. */
async function sdkOf(app: Express, apiKey = 'sdk-key'): Promise<OpenAI> {
  const running = await listen(app);
  closeAfterTest(() => running.close());
  return sdkFor(`${running.origin}/api/v1`, { apiKey });
}

describe('mount-in-app', () => {
  test("serves the app's routes and the proxy beside each other", async () => {
    const { venice, target } = await startStandIn();
    const app = createMountedApp({ target });
    await request(app)
      .get('/')
      .expect(200, /An app of your own/);
    await request(app)
      .post('/api/v1/chat/completions')
      .set('authorization', 'Bearer key')
      .send(CHAT)
      .expect(200)
      .expect('x-venice-proxy-attempts', '1')
      .expect(/Why is the sky blue\?/);
    await request(app)
      .post('/notes')
      .send({ a: 1 })
      .expect(200, { noted: { a: 1 } });
    await request(app).get('/elsewhere').expect(404);
    expect(venice.calls).toHaveLength(1);
  });

  test('tells of its health, and of the last answer of the target', async () => {
    const { target } = await startStandIn();
    const app = createMountedApp({ target });
    const before = await request(app).get('/health').expect(200);
    expect(before.body).toMatchObject({ status: 'healthy', target, inFlight: 0 });
    expect(before.body).not.toHaveProperty('lastHeard');
    await request(app).get('/api/v1/models').expect(200);
    const after = await request(app).get('/health').expect(200);
    expect(after.body).toMatchObject({ status: 'healthy', lastHeard: { status: 200 } });
  });

  test('tells of a retry through its hook, and gives up after 3 of them', async () => {
    const { venice, target } = await startStandIn({
      onCall: () => ({ kind: 'answer', status: 500, body: { error: 'No.' } }),
    });
    const said = jest.spyOn(console, 'error').mockImplementation(() => {});
    const app = createMountedApp({ target, ...QUICK });
    await request(app).post('/api/v1/chat/completions').send(CHAT).expect(500);
    const lines = said.mock.calls.map(([line]) => String(line));
    said.mockRestore();
    expect(venice.calls).toHaveLength(4);
    expect(lines).toHaveLength(3);
    for (const line of lines) {
      expect(line).toMatch(/^\/chat\/completions is tried again in [0-4] ms: status 500$/);
    }
  });
});

const authenticate: Authenticate = (asking) =>
  asking.get('authorization') === 'Bearer token-of-ann'
    ? { name: 'Ann', veniceKey: 'venice-key-of-ann' }
    : undefined;

describe('behind-auth', () => {
  test('keeps out who has not signed in, in words that an OpenAI client shows', async () => {
    const { venice, target } = await startStandIn();
    const client = await sdkOf(createAuthApp(authenticate, { target }), 'token-of-eve');
    await expect(client.chat.completions.create(CHAT)).rejects.toMatchObject({
      status: 401,
      message: '401 Sign in first.',
      code: 'signed_out',
    });
    expect(venice.calls).toHaveLength(0);
  });

  test("sends the user's Venice key upstream, and never the user's token", async () => {
    const { venice, target } = await startStandIn();
    const client = await sdkOf(createAuthApp(authenticate, { target }), 'token-of-ann');
    const { choices } = await client.chat.completions.create(CHAT);
    expect(choices[0]?.message.content).toContain('Why is the sky blue?');
    expect(venice.calls[0]?.headers.authorization).toBe('Bearer venice-key-of-ann');
    expect(venice.calls[0]?.rawHeaders.join('\n')).not.toContain('token-of-ann');
  });

  test('sends it with every attempt', async () => {
    const { venice, target } = await startStandIn();
    venice.script({ kind: 'overloaded' });
    const client = await sdkOf(createAuthApp(authenticate, { ...QUICK, target }), 'token-of-ann');
    await client.chat.completions.create(CHAT);
    expect(venice.calls.map(({ headers }) => headers.authorization)).toEqual(
      Array.from({ length: 2 }, () => 'Bearer venice-key-of-ann'),
    );
  });
});

describe('openai-sdk', () => {
  test('hands over the words of an answer one by one', async () => {
    const { target } = await startStandIn();
    const words: string[] = [];
    const client = await sdkOf(createSdkApp({ target }));
    await ask(client, 'Why is the sky blue?', (each) => words.push(each));
    expect(words.length).toBeGreaterThan(5);
    expect(words.join('')).toBe('The stand-in for Venice heard: Why is the sky blue?');
  });

  test('fails when the answer breaks', async () => {
    const { venice, target } = await startStandIn();
    venice.script({ kind: 'cut-stream', afterEvents: 3 });
    const words: string[] = [];
    const client = await sdkOf(createSdkApp({ target }));
    const asking = ask(client, 'Why is the sky blue?', (each) => words.push(each));
    await expect(asking).rejects.toMatchObject({ code: 'upstream_disconnected' });
    expect(words.join('')).toBe('The stand-in ');
  });
});

/** Runs `dist/examples/<name>.js`, as its first lines say. */
function start(name: string, env: Env, args: readonly string[] = []): Program {
  const program = startProgram(process.execPath, [path.join('dist/examples', name), ...args], env);
  closeAfterTest(() => {
    program.kill('SIGKILL');
    return program.ended;
  });
  return program;
}

describe('as a program', () => {
  test('mount-in-app listens and forwards', async () => {
    const { venice, target } = await startStandIn();
    const program = start('mount-in-app.js', { PORT: '0', OPENAI_BASE_URL: target });
    const [, port] = await program.printed(/port: (\d+)/);
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/models`);
    expect(answer.status).toBe(200);
    await answer.arrayBuffer();
    expect(venice.calls.map(({ url }) => url)).toEqual(['/api/v1/models']);
  });

  test('behind-auth listens and lends its key', async () => {
    const { venice, target } = await startStandIn();
    const env = { PORT: '0', OPENAI_BASE_URL: target, VENICE_API_KEY: 'lent-key' };
    const program = start('behind-auth.js', env);
    const [, port] = await program.printed(/port: (\d+)/);
    const client = sdkFor(`http://127.0.0.1:${port}/api/v1`, { apiKey: 'token-of-ann' });
    await client.chat.completions.create(CHAT);
    expect(venice.calls[0]?.headers.authorization).toBe('Bearer lent-key');
  });

  test.each(['behind-auth.js', 'openai-sdk.js'])('%s says what is missing', async (name) => {
    const program = start(name, { PORT: '0' });
    expect(await program.ended).toBe(1);
    expect(program.output).toContain('VENICE_API_KEY is not set');
  });

  test('openai-sdk prints the answer and ends', async () => {
    const { venice, target } = await startStandIn();
    const env = { OPENAI_BASE_URL: target, VENICE_API_KEY: 'sdk-key' };
    const program = start('openai-sdk.js', env, ['Is this on?']);
    expect(await program.ended).toBe(0);
    expect(program.output).toBe('The stand-in for Venice heard: Is this on?\n');
    expect(venice.calls[0]?.headers.authorization).toBe('Bearer sdk-key');
  });

  test('openai-sdk fails when the answer does', async () => {
    const { venice, target } = await startStandIn();
    venice.script({ kind: 'answer', status: 401, body: { error: 'Authentication failed' } });
    const env = { OPENAI_BASE_URL: target, VENICE_API_KEY: 'sdk-key' };
    const program = start('openai-sdk.js', env);
    expect(await program.ended).toBe(1);
    expect(program.output).toContain('Authentication failed');
  });

  test('stand-in-venice answers without a key or a network', async () => {
    const program = start('stand-in-venice.js', {}, ['--port', '0']);
    const [url] = await program.printed(/http:\/\/127\.0\.0\.1:\d+\/api\/v1/);
    const client = sdkFor(url, { apiKey: 'any' });
    const { choices } = await client.chat.completions.create(CHAT);
    expect(choices[0]?.message.content).toContain('Why is the sky blue?');
  });

  test('there is no example that is not tried here', async () => {
    const files = await readdir(path.join(ROOT, 'examples'), { withFileTypes: true });
    const programs = files.filter((file) => file.isFile() && file.name !== 'is-main.ts');
    expect(programs.map(({ name }) => name).toSorted()).toEqual(
      // The cluster, which needs Redis, and the repair of tool calls have tests of their own.
      [
        'behind-auth',
        'cluster',
        'mount-in-app',
        'openai-sdk',
        'repair-tool-calls',
        'stand-in-venice',
      ].map((name) => `${name}.ts`),
    );
  });
});
