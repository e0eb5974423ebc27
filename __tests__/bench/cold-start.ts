import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Effort } from './bench.ts';
import { freePort } from './free-port.ts';
import { ROOT } from './root.ts';

/** How long a program takes from its start until it can be connected to, in milliseconds. */
export interface ColdStart {
  readonly title: string;
  readonly rounds: readonly number[];
}

/** The first of them is what the others are compared with. */
const PROGRAMS = [
  {
    title: 'Express 5 + http-proxy-middleware',
    file: path.join(import.meta.dirname, 'bare-server.js'),
  },
  {
    title: '**the bundled server**, everything on',
    file: path.join(ROOT, 'dist/examples/server/main.js'),
  },
];

const LONGEST_START_MS = 20_000;

/** Starts each program anew, in turns. */
export async function measureColdStart({ rounds }: Effort): Promise<readonly ColdStart[]> {
  const results = PROGRAMS.map(({ title, file }) => ({ title, file, rounds: [] as number[] }));
  for (let round = 0; round < rounds; round += 1) {
    for (const { file, rounds: times } of results) {
      // oxlint-disable-next-line no-await-in-loop -- in turns, or they disturb each other
      times.push(await startOnce(file));
    }
  }
  return results;
}

async function startOnce(file: string): Promise<number> {
  const port = await freePort();
  const env = {
    PATH: process.env['PATH'],
    OPENAI_BASE_URL: 'http://127.0.0.1:1/api/v1',
    HOST: '127.0.0.1',
    PORT: String(port),
  };
  const begunAt = performance.now();
  const program = spawn(process.execPath, [file], { env, stdio: 'ignore' });
  const ended = once(program, 'exit');
  try {
    /* oxlint-disable no-await-in-loop -- until it listens */
    while (!(await canConnect(port))) {
      const ms = performance.now() - begunAt;
      if (program.exitCode !== null || ms > LONGEST_START_MS) {
        throw new Error(`${path.basename(file)} did not listen within ${ms.toFixed(0)} ms`);
      }
      await sleep(1);
    }
    /* oxlint-enable no-await-in-loop */
    return performance.now() - begunAt;
  } finally {
    program.kill('SIGKILL');
    await ended;
  }
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
