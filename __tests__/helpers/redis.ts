import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe } from '@jest/globals';
import { until } from './until.ts';

/** Whether Debian's `redis-server` is there. */
export const hasRedis = spawnSync('redis-server', ['--version']).status === 0;

// Where it must be there, the tests run and fail by themselves.
const isSkipped = !hasRedis && process.env['REQUIRE_REDIS'] !== '1';
if (isSkipped)
  console.warn('Skipped: redis-server is not installed (apt-get install redis-server)');
const block = isSkipped ? describe.skip : describe;

/** Tests that need a Redis: skipped without one. */
export function describeWithRedis(title: string, tests: () => void): void {
  block(title, tests);
}

/** A Redis of a test's own. */
export interface TestRedis {
  readonly port: number;
  readonly url: string;
  /** Sends one command without a client and resolves with the reply as it is on the wire. */
  command(...words: readonly string[]): Promise<string>;
  /** Resolves when so many clients are connected. */
  clients(count: number): Promise<void>;
  /** As a machine dies: at once, without a word. */
  kill(): Promise<void>;
  /** Stops answering, but keeps its connections, until `resume`. */
  pause(): void;
  resume(): void;
  /** On the same port, knowing nothing. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

export interface RedisSetUp {
  /** A cluster of one node that has all slots: it refuses keys of two slots in one command. */
  readonly cluster?: boolean;
  readonly password?: string;
}

/** Starts a Redis on a free port that writes nothing to the disk. */
export async function startRedis({ cluster, password }: RedisSetUp = {}): Promise<TestRedis> {
  if (!hasRedis) throw new Error('redis-server is not installed: apt-get install redis-server');
  const folder = await mkdtemp(path.join(tmpdir(), 'venice-proxy-redis-'));
  const port = await freePort();
  const flags = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder];
  flags.push('--save', '', '--appendonly', 'no');
  // A node that has met no other one does not know its address, for which ioredis asks.
  if (cluster === true)
    flags.push('--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1');
  if (password !== undefined) flags.push('--requirepass', password);
  let child: ChildProcess;

  function command(...words: readonly string[]): Promise<string> {
    const login = password === undefined ? [] : [['AUTH', password]];
    return exchange(port, [...login, words]);
  }

  async function start(): Promise<void> {
    const started = spawn('redis-server', flags, { stdio: ['ignore', 'pipe', 'inherit'] });
    child = started;
    let output = '';
    started.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    await until(() => {
      if (started.exitCode !== null) throw new Error(`redis-server has ended: ${output}`);
      return output.includes('Ready to accept connections');
    });
    if (cluster === true) await takeAllSlots(command);
  }

  async function kill(): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  await start();
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    command,
    clients: (count) =>
      untilReply(
        () => command('CLIENT', 'LIST'),
        // The one that asks is in the list.
        (reply) => (reply.match(/^id=/gm) ?? []).length === count + 1,
      ),
    kill,
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    async restart() {
      await kill();
      await start();
    },
    async close() {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function takeAllSlots(command: TestRedis['command']): Promise<void> {
  const slots = Array.from({ length: 16_384 }, (_, slot) => String(slot));
  // Not `ADDSLOTSRANGE`, which Redis 6 does not know; the node keeps them over a restart.
  await command('CLUSTER', 'ADDSLOTS', ...slots);
  await untilReply(
    () => command('CLUSTER', 'INFO'),
    (reply) => reply.includes('cluster_state:ok'),
  );
}

/** Asks again and again, until the reply is as it should be. */
async function untilReply(
  ask: () => Promise<string>,
  isSo: (reply: string) => boolean,
): Promise<void> {
  const begunAt = performance.now();
  for (;;) {
    // oxlint-disable-next-line no-await-in-loop -- looks again and again
    const reply = await ask();
    if (isSo(reply)) return;
    if (performance.now() - begunAt > 8_000) throw new Error(`Not so within 8 s: ${reply}`);
    // oxlint-disable-next-line no-await-in-loop -- looks again and again
    await sleep(20);
  }
}

/** Sends commands on a connection of their own; resolves with the reply to the last one. */
function exchange(port: number, commands: readonly (readonly string[])[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    const socket = net.connect(port, '127.0.0.1');
    socket.on('error', reject).on('data', (piece) => pieces.push(piece));
    socket.on('close', () => {
      // Each one before the last is answered in one line; so is `QUIT`, after which it closes.
      const lines = Buffer.concat(pieces).toString().split('\r\n');
      resolve(lines.slice(commands.length - 1, -2).join('\r\n'));
    });
    for (const words of [...commands, ['QUIT']]) {
      socket.write(`*${words.length}\r\n`);
      socket.write(words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join(''));
    }
  });
}

/**
 * Below those that the system gives to whoever asks for any (32 768 and up, on Linux), and so is the
 * port of the cluster's own connections, 10 000 above.
 */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 12_000);
    // oxlint-disable-next-line no-await-in-loop -- until one is free
    if ((await isFree(port)) && (await isFree(port + 10_000))) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
