import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createStandInVenice } from '../examples/stand-in-venice.ts';
import type { StandInVenice } from '../examples/stand-in-venice.ts';
import { VERSION } from '../lib/version.ts';
import { listen, send } from './helpers/serve.ts';
import { CHAT } from './helpers/start-test-server.ts';
import { until } from './helpers/until.ts';

/** Built by `npm test`. */
const MAIN = fileURLToPath(new URL('../dist/examples/server/main.js', import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Nothing of the environment around the tests but what a process needs. */
const BARE = { PATH: process.env['PATH'] };

function run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [MAIN, ...args],
      { env: { ...BARE, ...env }, timeout: 10_000 },
      (_error, stdout, stderr) => resolve({ code: child.exitCode, stdout, stderr }),
    );
  });
}

/** A server in a process of its own. */
class ServerProcess {
  readonly child: ChildProcess;
  stderr = '';
  readonly ended: Promise<number | string>;

  constructor(env: Readonly<Record<string, string>>) {
    this.child = spawn(process.execPath, [MAIN], {
      env: { ...BARE, HOST: '127.0.0.1', PORT: '0', ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.ended = once(this.child, 'close').then(([code, signal]: unknown[]) =>
      typeof code === 'number' ? code : String(signal),
    );
  }

  /** Settles with what `pattern` finds in the log, as soon as it does. */
  async logged(pattern: RegExp): Promise<string> {
    await until(() => pattern.test(this.stderr));
    const found = pattern.exec(this.stderr);
    return found?.[1] ?? '';
  }

  baseUrl(): Promise<string> {
    return this.logged(/"message":"listening","url":"([^"]+)"/);
  }
}

let standIn: StandInVenice;
let target: string;
const processes: ServerProcess[] = [];

function start(env: Readonly<Record<string, string>> = {}): ServerProcess {
  const server = new ServerProcess({ OPENAI_BASE_URL: target, LOG_FORMAT: 'json', ...env });
  processes.push(server);
  return server;
}

beforeEach(async () => {
  standIn = createStandInVenice({ tokenDelayMs: 20 });
  target = await standIn.listen();
});

afterEach(async () => {
  for (const { child } of processes.splice(0)) child.kill('SIGKILL');
  await standIn.close();
});

describe('the command line', () => {
  test('--help goes to stdout', async () => {
    const { code, stdout, stderr } = await run(['--help']);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain('Usage: venice-proxy');
    expect(stdout).toContain('OPENAI_BASE_URL');
  });

  test('--version is that of the package', async () => {
    expect(await run(['--version'])).toEqual({ code: 0, stdout: `${VERSION}\n`, stderr: '' });
  });

  test('--check asks the target, says that all is well, and exits with 0', async () => {
    const { code, stdout } = await run(['--check'], { OPENAI_BASE_URL: target, PORT: '0' });
    expect([code, stdout]).toEqual([
      0,
      `The configuration is valid, and ${target} answers (status 200).\n`,
    ]);
    expect(standIn.calls.map(({ url }) => url)).toEqual(['/api/v1/models']);
  });

  test.each([
    [{ OPENAI_BASE_URL: 'http://127.0.0.1:65534/api/v1' }, /could not be reached: ECONNREFUSED/],
    [{ TIMEOUT: 'soon' }, /Expected `TIMEOUT` to be/],
    [{ VENICE_API_KEY: 'k' }, /would lend your key/],
  ])('--check with %j says what is wrong in one line, and exits with 1', async (env, complaint) => {
    const { code, stdout, stderr } = await run(['--check'], env);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(complaint);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  });

  test('--check finds a key that the target does not know, a port in use, and never shows the key', async () => {
    const other = await listen((req, res) => {
      res.statusCode = req.headers.authorization === undefined ? 200 : 401;
      res.end('{}');
    });
    const { port } = new URL(other.origin);
    const { code, stderr } = await run(['--check'], {
      OPENAI_BASE_URL: other.origin,
      VENICE_API_KEY: 'hush',
      HOST: '127.0.0.1',
      PORT: port,
    });
    await other.close();
    expect([code, stderr]).toEqual([
      1,
      `venice-proxy: ${other.origin}/: It does not know VENICE_API_KEY (status 401). ` +
        `Cannot listen on 127.0.0.1:${port}: the port is in use; PORT takes another one.\n`,
    ]);
  });

  test('--check says nothing of a key that is known, or that nobody can be asked about', async () => {
    const env = { VENICE_API_KEY: 'hush', HOST: '127.0.0.1', PORT: '0' };
    expect((await run(['--check'], { OPENAI_BASE_URL: target, ...env })).code).toBe(0);
    expect(standIn.calls.map(({ url }) => url)).toContain('/api/v1/api_keys/rate_limits');
    const other = await listen((req, res) => {
      res.statusCode = req.url === '/models' ? 200 : 404;
      res.end('{}');
    });
    const { code } = await run(['--check'], { OPENAI_BASE_URL: other.origin, ...env });
    await other.close();
    expect(code).toBe(0);
  });

  test('an argument that does not exist is refused in one line', async () => {
    expect(await run(['--demo=maybe'])).toEqual({
      code: 2,
      stdout: '',
      stderr: 'venice-proxy: unknown argument "--demo=maybe"; --help shows those that exist\n',
    });
  });
});

describe('it does not start', () => {
  const rows: readonly (readonly [Record<string, string>, string])[] = [
    [{ TIMEOUT: 'soon' }, 'Expected `TIMEOUT` to be seconds, from 0.001 to 2147483, got "soon"'],
    [{ LOG_FORMAT: 'a\nb' }, 'Expected `LOG_FORMAT` to be pretty or json, got "a\\nb"'],
    [{ VENICE_API_KEY: 'hush' }, 'VENICE_API_KEY without PROXY_API_KEYS would lend your key'],
    [{ VENICE_API_KEY: 'hush hush' }, 'Expected `VENICE_API_KEY` to be visible ASCII characters'],
    [{ HOST: '192.0.2.1', PORT: '0' }, 'Cannot listen on 192.0.2.1:0: this machine does not have'],
  ];
  test.each(rows)('with %j, and says why in one line', async (env, complaint) => {
    const { code, stdout, stderr } = await run([], env);
    expect([code, stdout]).toEqual([1, '']);
    const lines = stderr.trimEnd().split('\n');
    const [last] = lines.slice(-1);
    // Where only listening fails, the configuration is in the log already.
    expect(lines.filter((line) => !line.startsWith('{'))).toHaveLength(1);
    expect(last).toContain(`venice-proxy: ${complaint}`);
    expect(stderr).not.toContain('hush');
    expect(stderr).not.toMatch(/^ +at /m);
  });

  test('on a port that is in use', async () => {
    const other = await listen(() => {});
    const PORT = new URL(other.origin).port;
    const { code, stderr } = await run([], { HOST: '127.0.0.1', PORT });
    await other.close();
    expect(code).toBe(1);
    expect(stderr.trimEnd().split('\n').at(-1)).toBe(
      `venice-proxy: Cannot listen on 127.0.0.1:${PORT}: the port is in use; PORT takes another one`,
    );
  });
});

describe('the log', () => {
  const VENICE_API_KEY = 'secret-of-the-operator';
  const PROXY_API_KEYS = 'secret-of-ann,secret-of-bob';

  test('is one JSON object a line, without keys, prompts or query strings', async () => {
    const server = start({ VENICE_API_KEY, PROXY_API_KEYS, DEBUG: 'venice-proxy:*' });
    const url = await server.baseUrl();
    standIn.script({ kind: 'answer', status: 503, body: { error: 'full' } });
    const headers = { authorization: 'Bearer secret-of-ann' };
    const body = {
      model: 'with\nline end',
      messages: [{ role: 'user', content: 'secret prompt' }],
      logprobs: true,
    };
    await send(`${url}/chat/completions?token=secret-query`, { headers, body });
    await send(`${url}/models?x=secret-query`, { headers: { authorization: 'Bearer secret-eve' } });
    await server.logged(/refused entry/);
    server.child.kill('SIGTERM');
    expect(await server.ended).toBe(0);

    const lines = server.stderr.trimEnd().split('\n');
    const records = lines.map((line): unknown => JSON.parse(line));
    for (const record of records) {
      expect(record).toMatchObject({
        time: expect.stringMatching(/^\d{4}-.*Z$/),
        name: expect.stringMatching(/^venice-proxy:/),
        message: expect.any(String),
      });
    }
    expect(server.stderr).not.toContain('secret');
    expect(records).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          name: 'venice-proxy:server',
          message: 'configuration',
          OPENAI_BASE_URL: target,
          TIMEOUT: '300',
          PORT: '0',
          VENICE_API_KEY: '1 key',
          PROXY_API_KEYS: '2 keys',
          CORS_ORIGIN: 'none',
          LOG_FORMAT: 'json',
          DEBUG: 'venice-proxy:*',
        }),
        expect.objectContaining({ name: 'venice-proxy:forward', attempt: 1, status: 503 }),
        expect.objectContaining({
          name: 'venice-proxy:request-log',
          message: 'POST /chat/completions',
          model: 'with\nline end',
          status: 200,
          attempts: 2,
          dropped: 'logprobs',
        }),
        expect.objectContaining({ message: 'refused entry', path: '/api/v1/models' }),
        expect.objectContaining({ message: 'shutting down' }),
        expect.objectContaining({ message: 'stopped' }),
      ]),
    );
  });

  test('is JSON by itself when nobody watches, and pretty when that is asked for', async () => {
    const byItself = start({ LOG_FORMAT: '' });
    expect(await byItself.baseUrl()).toMatch(/^http:/);
    const pretty = start({ LOG_FORMAT: 'pretty' });
    const line = /^\d\d:\d\d:\d\d\.\d{3} venice-proxy:server listening url=(http:\/\/\S+)$/m;
    expect(await pretty.logged(line)).toMatch(/^http:/);
  });
});

describe.each(['SIGTERM', 'SIGINT'] as const)('%s', (signal) => {
  test('lets a stream end, refuses what is new, and exits with 0', async () => {
    const server = start({ SHUTDOWN_GRACE: '10' });
    const url = await server.baseUrl();
    const streaming = send(`${url}/chat/completions`, {
      body: { ...CHAT, stream: true, x_words: 30 },
    });
    await standIn.arrived(1);
    server.child.kill(signal);
    await server.logged(/shutting down/);
    await expect(send(`${url}/models`)).rejects.toThrow('ECONNREFUSED');
    const reply = await streaming;
    expect(reply.complete).toBe(true);
    expect(reply.text).toContain('data: [DONE]');
    expect(await server.ended).toBe(0);
  });

  test('a second signal ends it at once', async () => {
    const server = start({ SHUTDOWN_GRACE: '60' });
    const url = await server.baseUrl();
    standIn.script({ kind: 'silent' });
    const hanging = send(`${url}/chat/completions`, { body: CHAT }).then(
      () => 'answered',
      () => 'cut off',
    );
    await standIn.arrived(1);
    server.child.kill(signal);
    await server.logged(/shutting down/);
    server.child.kill(signal);
    expect(await server.ended).toBe(signal === 'SIGTERM' ? 143 : 130);
    expect(await hanging).toBe('cut off');
  });
});

test('what is not done within SHUTDOWN_GRACE is cut off with an error event and logged, and the exit is 0', async () => {
  const server = start({ SHUTDOWN_GRACE: '0.2' });
  const url = await server.baseUrl();
  standIn.script({ kind: 'stall-stream', afterEvents: 1 });
  const streaming = send(`${url}/chat/completions`, { body: { ...CHAT, stream: true } });
  await standIn.arrived(1);
  server.child.kill('SIGTERM');
  expect(await server.ended).toBe(0);
  const { complete, text } = await streaming;
  expect(complete).toBe(false);
  expect(text).toMatch(/data: \{"error":\{.*"code":"draining"\}\}\n\n$/);
  expect(server.stderr).toMatch(/"outcome":"broken","code":"draining"/);
});
