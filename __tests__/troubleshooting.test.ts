import path from 'node:path';
import { beforeAll, expect, test } from '@jest/globals';
import { blocksOf, readPages } from './helpers/documents.ts';
import { ROOT, startProgram } from './helpers/program.ts';
import type { Env } from './helpers/program.ts';
import { listen, send } from './helpers/serve.ts';
import { CHAT } from './helpers/start-test-server.ts';

const MAIN = path.join(ROOT, 'dist/examples/server/main.js');
const PATIENCE_MS = 60_000;

const pages = (await readPages()).filter(({ file }) => file === 'docs/troubleshooting.md');
const lines = blocksOf(pages).flatMap(({ text }) => text.trim().split('\n'));

/** What differs from run to run is left out; so is the time. */
const constant = (line: string): string =>
  line.replace(/^\d\d:\d\d:\d\d\.\d+ /, '').replaceAll(/\d+(\.\d+)?/g, 'N');

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const heard: string[] = [];

/** Starts the server in front of something that answers so, asks it once, and keeps what it logs. */
async function play(
  answer: Answer | 'break' | 'nothing' | 'nobody',
  ask: Parameters<typeof send>[1] & { readonly path?: string } = {},
  env: Env = {},
): Promise<void> {
  const upstream = await listen((req, res) => {
    req.resume().on('end', () => {
      if (answer === 'nothing' || answer === 'nobody') return;
      if (answer === 'break') {
        res.writeHead(200, { 'content-type': 'text/event-stream' });
        res.write('data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n');
        setTimeout(() => req.socket.destroy(), 50);
        return;
      }
      res.writeHead(answer.status, { 'content-type': 'application/json', 'cf-ray': '8f2c-FRA' });
      res.end(JSON.stringify(answer.body));
    });
  });
  if (answer === 'nobody') await upstream.close();
  const program = startProgram(process.execPath, [MAIN], {
    HOST: '127.0.0.1',
    PORT: '0',
    LOG_FORMAT: 'pretty',
    OPENAI_BASE_URL: `${upstream.origin}/api/v1`,
    BASE_RETRY_DELAY: '0.01',
    ...env,
  });
  const [, origin = ''] = await program.printed(/listening url=(http:\/\/[\d.]+:\d+)/);
  await send(origin + (ask.path ?? '/api/v1/chat/completions'), ask).catch(() => {});
  program.kill('SIGTERM');
  await program.ended;
  if (answer !== 'nobody') await upstream.close();
  heard.push(...program.output.split('\n'));
}

/** What a server says that does not start. */
async function failToStart(env: Env): Promise<void> {
  const program = startProgram(process.execPath, [MAIN], env);
  await program.ended;
  heard.push(...program.output.split('\n'));
}

const chat = (members: object = {}, headers: Record<string, string> = {}) => ({
  body: JSON.stringify({ ...CHAT, ...members }),
  headers: { 'content-type': 'application/json', authorization: 'Bearer key', ...headers },
});
const block = 'Too many failed attempts (> 50) resulting in a non-success status code.';

beforeAll(async () => {
  await play({ status: 401, body: { error: 'Authentication failed' } }, { path: '/api/v1/models' });
  await play({ status: 404, body: { error: 'Route not found' } }, { path: '/api/v1/models' });
  await play({ status: 404, body: { error: 'Model not found' } }, chat({ model: 'gpt-4o' }));
  await play({ status: 200, body: {} }, { path: '/chat/completions' });
  await play({ status: 200, body: {} }, chat(), { PROXY_API_KEYS: 'one' });
  await play({ status: 200, body: {} }, chat({}, { origin: 'https://app.example' }), {
    VENICE_API_KEY: 'lent',
  });
  const refusal = { code: 'unrecognized_keys', keys: ['modalities'], path: [] };
  await play(
    { status: 400, body: { error: 'Invalid', issues: [refusal] } },
    chat({ modalities: [] }),
  );
  await play({ status: 429, body: { error: block } }, chat(), {
    RATE_LIMIT_WAIT: '0.3',
    MAX_WAIT: '0.45',
  });
  await play({ status: 503, body: { error: 'The model is at capacity' } }, chat());
  await play('break', chat({ stream: true }));
  await play('nothing', chat(), { TIMEOUT: '0.2' });
  await play('nobody', chat());
  await failToStart({ MAX_RETRIES: 'five' });
  await failToStart({ VENICE_API_KEY: 'lent' });
}, PATIENCE_MS);

/** The demo says these; they are tested with the README. */
const ofTheDemo = /reason="request limit"|let through .* heldMs=/;

test.each(lines.filter((line) => !ofTheDemo.test(line)))(
  'the server says what the page of troubles shows: %s',
  (line) => {
    expect(heard.map(constant)).toContain(constant(line));
  },
);
