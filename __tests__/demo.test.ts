import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from '@jest/globals';
import { listen, send } from './helpers/serve.ts';
import { CHAT } from './helpers/start-test-server.ts';
import { until } from './helpers/until.ts';

/** Built by `npm test`. */
const MAIN = fileURLToPath(new URL('../dist/examples/server/main.js', import.meta.url));

const children: ChildProcess[] = [];

interface Show {
  readonly child: ChildProcess;
  /** stdout and stderr, as a terminal shows them. */
  both: string;
  stdout: string;
  stderr: string;
  /** When the words of the streamed answer came. */
  readonly wordsAt: number[];
}

function startDemo(env: Readonly<Record<string, string>> = {}): Show {
  const child = spawn(process.execPath, [MAIN, '--demo'], {
    env: { PATH: process.env['PATH'], HOST: '127.0.0.1', PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  const show: Show = { child, both: '', stdout: '', stderr: '', wordsAt: [] };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    show.stdout += text;
    show.both += text;
    if (show.stdout.includes('3. A streamed answer')) show.wordsAt.push(performance.now());
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    show.stderr += text;
    show.both += text;
  });
  return show;
}

function printed(show: Show, pattern: RegExp): Promise<void> {
  return until(() => pattern.test(show.both));
}

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

describe('--demo', () => {
  test('shows a limited, a failing and a streamed request, and goes on serving', async () => {
    const begunAt = performance.now();
    // What would lead it elsewhere, or close its door, does not count.
    const show = startDemo({
      OPENAI_BASE_URL: 'http://127.0.0.1:1',
      VENICE_API_KEY: 'key-of-the-operator',
      PROXY_API_KEYS: 'entry-key',
      MAX_RETRIES: '0',
      LOG_FORMAT: 'json',
      PROXY_PATH_PREFIX: '/venice',
    });
    await printed(show, /API key +any-key[^]*--help/);
    expect(performance.now() - begunAt).toBeLessThan(8_000);

    const [introduction, limited, failing, streamed] = show.both.split(/^ {2}\d\. /m);
    const url = /http:\/\/127\.0\.0\.1:\d+\/venice/.exec(introduction ?? '')?.[0];
    expect(url).toBeDefined();

    expect(limited).toMatch(/ > .*\n\d\d:\d\d:\d\d\.\d{3} venice-proxy:forward trying again/);
    expect(limited).toMatch(/status=429/);
    expect(limited).toMatch(/ < The stand-in for Venice heard: .*\n +status 200 on attempt 2,/);

    expect(failing).toMatch(/status=503[^]*venice-proxy:forward trying again[^]*ECONNRESET/);
    expect(failing).toMatch(/ < The stand-in for Venice heard: .*\n +status 200 on attempt 3,/);

    expect(streamed).toMatch(/ < The stand-in for Venice heard: .*\n/);
    expect(streamed).toMatch(/status 200 on attempt 1,/);
    // One by one, not all at once.
    expect(show.wordsAt.length).toBeGreaterThan(8);
    const words = show.wordsAt.slice(0, -1);
    expect((words.at(-1) ?? 0) - (words[0] ?? 0)).toBeGreaterThan(500);

    expect(show.both).toContain(`curl ${url}/chat/completions`);
    expect(show.both).toContain(`base URL  ${url}\n`);
    expect(show.both).toContain(`in a browser at\n\n    ${url?.replace('/venice', '/status')}\n`);
    // The transcript is what a program reads, the log is what tells why.
    expect(show.stdout).not.toContain('venice-proxy:forward');
    expect(show.stderr).not.toContain('stand-in');
    for (const line of show.stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80);

    const reply = await send(`${url}/chat/completions`, {
      headers: { authorization: 'Bearer whatever' },
      body: { ...CHAT, model: 'any-model' },
    });
    expect(reply.status).toBe(200);

    show.child.kill('SIGTERM');
    expect(await once(show.child, 'close')).toEqual([0, null]);
  }, 15_000);

  test('can be stopped in the middle of its show', async () => {
    const show = startDemo();
    await printed(show, /trying again/);
    show.child.kill('SIGINT');
    expect(await once(show.child, 'close')).toEqual([0, null]);
    expect(show.stderr).not.toMatch(/^venice-proxy: /m);
  });

  test('tells in one line why it cannot start', async () => {
    const other = await listen(() => {});
    const show = startDemo({ PORT: new URL(other.origin).port });
    expect(await once(show.child, 'close')).toEqual([1, null]);
    await other.close();
    expect(show.both).toMatch(/^venice-proxy: Cannot listen on .* the port is in use.*\n$/);
  });

  test('on all addresses it is found at localhost', async () => {
    const show = startDemo({ HOST: '0.0.0.0' });
    await printed(show, /status 200 on attempt 2/);
    expect(show.stdout).toMatch(/^ {4}http:\/\/localhost:\d+\/api\/v1$/m);
  });
});
