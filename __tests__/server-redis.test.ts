import { cp, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { redisAddress } from '../examples/server/redis-address.ts';
import { settingsFromEnv } from '../examples/server/settings.ts';
import { startServer } from '../examples/server/start-server.ts';
import { createStandInVenice } from '../examples/stand-in-venice.ts';
import { ROOT, startProgram } from './helpers/program.ts';
import type { Env, Program } from './helpers/program.ts';
import { describeWithRedis, startRedis } from './helpers/redis.ts';
import type { RedisSetUp, TestRedis } from './helpers/redis.ts';
import { closeAfterTest, deserted, listenRaw } from './helpers/scene.ts';
import { listen, send } from './helpers/serve.ts';
import { CHAT, startTestServer } from './helpers/start-test-server.ts';
import { until } from './helpers/until.ts';

const MAIN = path.join(ROOT, 'dist/examples/server/main.js');

/** The server as a program, with a target that answers; killed after the test. */
async function run(env: Env, args: readonly string[] = [], main = MAIN): Promise<Program> {
  const standIn = createStandInVenice({ tokenDelayMs: 1 });
  closeAfterTest(() => standIn.close());
  const OPENAI_BASE_URL = await standIn.listen();
  const fixed = { HOST: '127.0.0.1', PORT: '0', LOG_FORMAT: 'json', OPENAI_BASE_URL };
  const program = startProgram(process.execPath, [main, ...args], { ...fixed, ...env });
  closeAfterTest(() => {
    program.kill('SIGKILL');
    return program.ended;
  });
  return program;
}

async function baseUrl(program: Program): Promise<string> {
  const [, url = ''] = await program.printed(/"message":"listening","url":"([^"]+)"/);
  return url;
}

/** How often something stands in what a program has printed. */
function count(program: Program, text: string): number {
  return program.output.split(text).length - 1;
}

async function redisFor(setUp?: RedisSetUp): Promise<TestRedis> {
  const redis = await startRedis(setUp);
  closeAfterTest(() => redis.close());
  return redis;
}

describe('REDIS_URL', () => {
  const plain = {
    host: '127.0.0.1',
    port: 6_379,
    username: undefined,
    password: undefined,
    database: 0,
    tls: false,
    shown: '127.0.0.1:6379',
  };
  const named = { ...plain, host: 'redis.example', shown: 'redis.example:6379' };
  const accepted: readonly (readonly [string, object])[] = [
    ['redis://127.0.0.1', plain],
    ['valkey://127.0.0.1/', plain],
    [
      'redis://redis.example:7000/2',
      { ...named, port: 7_000, database: 2, shown: 'redis.example:7000' },
    ],
    ['rediss://redis.example', { ...named, tls: true }],
    ['valkeys://redis.example', { ...named, tls: true }],
    ['redis://:p%40ss@127.0.0.1', { ...plain, password: 'p@ss' }],
    ['redis://ann:pass@127.0.0.1', { ...plain, username: 'ann', password: 'pass' }],
    ['redis://[::1]:7000', { ...plain, host: '::1', port: 7_000, shown: '[::1]:7000' }],
  ];
  test.each(accepted)('%s is understood', (text, expected) => {
    expect(
      settingsFromEnv({ REDIS_URL: ` ${text} ` }, { lendsKey: false, isTerminal: false }).redis,
    ).toEqual(expected);
  });

  test.each([
    'hush',
    'hush:6379',
    'http://hush',
    'redis:hush',
    'redis://',
    'redis://:hush@',
    'redis://:hu/sh@127.0.0.1',
    'redis://:hush%@127.0.0.1',
    'redis://hush:70000',
    'redis://hush/path',
    'redis://hush?db=1',
    'redis://hush#1',
    'redis://a b',
    'redis://hush,other',
  ])('%s is refused and not repeated', (text) => {
    const read = (): unknown => redisAddress('REDIS_URL', text);
    expect(read).toThrow(TypeError);
    expect(read).toThrow(
      /^Expected `REDIS_URL` to be a redis:\/\/, rediss:\/\/ or valkey:\/\/ URL/,
    );
    expect(read).toThrow(`, got a string of ${text.length} characters`);
    expect(read).not.toThrow(/hu|a b/);
  });

  test('stops the start when it is no URL, in one line', async () => {
    const program = await run({ REDIS_URL: 'redis//:hush@127.0.0.1' });
    expect(await program.ended).toBe(1);
    expect(program.output).toMatch(/^venice-proxy: Expected `REDIS_URL` to be [^\n]*\n$/);
    expect(program.output).not.toContain('hush');
  });

  test('is nothing to the demo', async () => {
    const program = await run({ REDIS_URL: 'no URL at all' }, ['--demo']);
    const [told] = await program.printed(/Set, but not used in the demo:\n(?: {4}\w+\n)+/);
    expect(told).toContain('REDIS_URL');
  });
});

describe('a Redis that is not there', () => {
  test('stops neither the start nor any request, and is told once', async () => {
    // Takes connections and resets them, so that the attempts can be counted.
    const refusing = await listenRaw((socket) => socket.resetAndDestroy());
    const program = await run({ REDIS_URL: refusing.origin.replace('http', 'redis') });
    const url = await baseUrl(program);
    await until(() => refusing.connections() >= 4);
    expect((await send(`${url}/chat/completions`, { body: CHAT })).status).toBe(200);
    expect(count(program, '"message":"Redis is away"')).toBe(1);
    program.kill('SIGTERM');
    expect(await program.ended).toBe(0);
  });

  test('is told with its host, and never with its password', async () => {
    const { host } = new URL(deserted());
    const program = await run({ REDIS_URL: `redis://ann:hush@${host}/1` });
    await program.printed(/"message":"configuration".*"REDIS_URL":"127\.0\.0\.1:\d+"/);
    const [line] = await program.printed(/.*"message":"Redis is away".*/);
    expect(JSON.parse(line)).toMatchObject({
      name: 'venice-proxy:server',
      redis: host,
      reason: 'ECONNREFUSED',
    });
    expect(program.output).not.toMatch(/hush|ann/);
  });

  test('makes --check fail, with the reason', async () => {
    const { host } = new URL(deserted());
    const program = await run({ REDIS_URL: `redis://:hush@${host}` }, ['--check']);
    expect(await program.ended).toBe(1);
    expect(program.output).toBe(
      `venice-proxy: ${host}: Redis could not be reached: ECONNREFUSED.\n`,
    );
  });

  test('makes --check fail when it only listens', async () => {
    const silent = await listenRaw(() => {});
    const { host } = new URL(silent.origin);
    const program = await run({ REDIS_URL: `redis://${host}` }, ['--check']);
    expect(await program.ended).toBe(1);
    expect(program.output).toBe(`venice-proxy: ${host}: Redis did not answer within 2 s.\n`);
  });
});

describeWithRedis('a Redis that is there', () => {
  test('is asked, and what is known of the windows is in it', async () => {
    const redis = await redisFor();
    const server = await startTestServer({ REDIS_URL: redis.url });
    await redis.clients(1);
    expect((await send(`${server.url}/chat/completions`, { body: CHAT })).status).toBe(200);
    expect(await redis.command('KEYS', 'venice-proxy:*')).toContain(CHAT.model);
  });

  test('may need a password, which is never shown', async () => {
    const password = 'hush-hush';
    const redis = await redisFor({ password });
    const REDIS_URL = `redis://:${password}@127.0.0.1:${redis.port}/3`;
    const program = await run({ REDIS_URL, DEBUG: 'venice-proxy:*' });
    await program.printed(/"message":"Redis is there","redis":"127\.0\.0\.1:\d+","client":"redis"/);
    expect(program.output).not.toContain(password);
  });

  test('is away to whoever has a wrong password, which is never shown', async () => {
    const redis = await redisFor({ password: 'right' });
    const REDIS_URL = `redis://:hush@127.0.0.1:${redis.port}`;
    const program = await run({ REDIS_URL });
    await program.printed(/"message":"Redis is away".*WRONGPASS/);
    const checking = await run({ REDIS_URL }, ['--check']);
    expect(await checking.ended).toBe(1);
    expect(checking.output).toMatch(
      /^venice-proxy: [^\n]*could not be reached: WRONGPASS[^\n]*\.\n$/,
    );
    expect(program.output + checking.output).not.toContain('hush');
  });

  test('makes --check say so', async () => {
    const redis = await redisFor();
    const program = await run({ REDIS_URL: redis.url }, ['--check']);
    expect(await program.ended).toBe(0);
    expect(program.output).toMatch(
      /^The configuration is valid, http:\S+ answers \(status 200\), and/,
    );
    expect(program.output).toContain(`, and so does Redis at 127.0.0.1:${redis.port}.\n`);
  });

  test('may go and come, each told once, and no request fails meanwhile', async () => {
    const redis = await redisFor();
    await redis.kill();
    const program = await run({ REDIS_URL: redis.url });
    const url = await baseUrl(program);
    const ask = (): Promise<unknown> => send(`${url}/chat/completions`, { body: CHAT });
    await program.printed(/Redis is away/);
    expect(await ask()).toMatchObject({ status: 200 });
    await redis.restart();
    await program.printed(/Redis is there/);
    expect(await ask()).toMatchObject({ status: 200 });
    await redis.kill();
    await program.printed(/Redis is away[^]*Redis is away/);
    expect(await ask()).toMatchObject({ status: 200 });
    await redis.restart();
    await program.printed(/Redis is there[^]*Redis is there/);
    expect(count(program, 'Redis is away')).toBe(2);
  });

  test('is left at the shutdown', async () => {
    const redis = await redisFor();
    const program = await run({ REDIS_URL: redis.url });
    await program.printed(/Redis is there/);
    await redis.clients(1);
    program.kill('SIGTERM');
    await program.printed(/"message":"stopped"/);
    expect(await program.ended).toBe(0);
    await redis.clients(0);
  });

  test('is left when a server in a program of somebody else closes, or cannot listen', async () => {
    const redis = await redisFor();
    const other = await listen(() => {});
    closeAfterTest(() => other.close());
    const PORT = new URL(other.origin).port;
    const env = { HOST: '127.0.0.1', DEBUG: '-venice-proxy:*', REDIS_URL: redis.url };
    await expect(startServer({ ...env, PORT }, false)).rejects.toThrow('the port is in use');
    const running = await startServer({ ...env, PORT: '0', SHUTDOWN_GRACE: '0' }, false);
    await running.close();
    await expect(redis.clients(0)).resolves.toBeUndefined();
  });
});

describe('the client', () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'venice-proxy-clients-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** The package as it is installed, beside those clients only; resolves with its program. */
  async function install(...clients: readonly string[]): Promise<string> {
    const home = await mkdtemp(path.join(folder, 'home-'));
    const manifest = await readFile(path.join(ROOT, 'package.json'), 'utf8');
    const { dependencies } = JSON.parse(manifest) as { dependencies: Record<string, string> };
    await mkdir(path.join(home, 'node_modules'));
    await cp(path.join(ROOT, 'dist'), path.join(home, 'dist'), { recursive: true });
    await cp(path.join(ROOT, 'package.json'), path.join(home, 'package.json'));
    await Promise.all(
      [...Object.keys(dependencies), 'express', ...clients].map((name) =>
        symlink(path.join(ROOT, 'node_modules', name), path.join(home, 'node_modules', name)),
      ),
    );
    return path.join(home, 'dist/examples/server/main.js');
  }

  test.each([[[]], [['--check']]])(
    'is asked for in one line where there is none, with arguments %j',
    async (args) => {
      const main = await install();
      const program = await run({ REDIS_URL: 'redis://:hush@127.0.0.1:1' }, args, main);
      expect(await program.ended).toBe(1);
      expect(program.output).toBe(
        'venice-proxy: REDIS_URL needs a Redis client: npm install redis\n',
      );
    },
  );

  test('is not missed without REDIS_URL', async () => {
    expect(await baseUrl(await run({}, [], await install()))).toMatch(/^http:/);
  });

  describeWithRedis('that is installed', () => {
    test.each([[['redis']], [['ioredis']], [['ioredis', 'redis']]])(
      'is used: %j',
      async (names) => {
        const redis = await redisFor();
        const main = await install(...names);
        const program = await run({ REDIS_URL: redis.url }, [], main);
        const [, client] = await program.printed(/"Redis is there",.*"client":"(\w+)"/);
        expect(client).toBe(names.at(-1));
        const url = await baseUrl(program);
        expect((await send(`${url}/chat/completions`, { body: CHAT })).status).toBe(200);
        await redis.kill();
        await program.printed(/Redis is away/);
        expect((await send(`${url}/chat/completions`, { body: CHAT })).status).toBe(200);
        program.kill('SIGTERM');
        expect(await program.ended).toBe(0);
      },
    );
  });
});
