import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { expect } from '@jest/globals';
import { ROOT } from './program.ts';
import { closeAfterTest } from './scene.ts';
import { send } from './serve.ts';

/** Asked for once, before anything is measured. */
export const FIRST_PATH = '/first';

/** The proxy, from what `npm test` builds. */
const PROXY = `
  import express from 'express';
  import { createVeniceProxy } from './dist/lib/index.js';
  const [, target, options] = process.argv;
  const proxy = createVeniceProxy({ ...JSON.parse(options), target });
  const handler = express().use('/api/v1', proxy);
`;

/** What a proxy is at the least. */
const PIPE = `
  import http from 'node:http';
  const handler = (req, res) => {
    const path = req.url.slice('/api/v1'.length);
    const { method, headers } = req;
    const call = http.request(process.argv[1] + path, { method, headers, agent: false });
    call.on('response', (answer) => {
      res.writeHead(answer.statusCode, answer.headers);
      answer.pipe(res);
    });
    req.pipe(call);
  };
`;

const WATCH = `
  import { createServer } from 'node:http';
  let peak = 0;
  const look = () => { peak = Math.max(peak, process.memoryUsage.rss()); };
  setInterval(look, 10);
  process.on('message', (message) => {
    look();
    process.send({ peak });
    if (message === 'forget') peak = 0;
  });
  process.on('disconnect', () => process.exit());
  process.on('warning', (warning) => process.send({ warning: warning.message }));
  const server = createServer(handler);
  server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
`;

interface Report {
  readonly port?: number;
  readonly peak?: number;
  readonly warning?: string;
}

const MB = 1_000_000;

/** A proxy in a process whose memory is watched: the one that runs the tests is no measure. */
class Watched {
  readonly #child: ChildProcess;
  readonly warnings: string[] = [];
  baseUrl = '';
  #before = 0;

  constructor(program: string, target: string, options: object) {
    const args = ['--input-type=module', '-e', program + WATCH, target, JSON.stringify(options)];
    this.#child = spawn(process.execPath, args, {
      cwd: ROOT,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child.on('message', ({ warning }: Report) => {
      if (warning !== undefined) this.warnings.push(warning);
    });
    closeAfterTest(async () => {
      const ended = once(this.#child, 'exit');
      this.#child.kill();
      await ended;
    });
  }

  /** Starts to measure, after a request that loads what is loaded only once. */
  async begin(): Promise<void> {
    const { port = 0 } = await this.#report();
    this.baseUrl = `http://127.0.0.1:${port}/api/v1`;
    await send(this.baseUrl + FIRST_PATH);
    await this.#ask('forget');
    this.#before = await this.#ask('peak');
  }

  /** By how much the process has grown at most, in MB. */
  async growth(): Promise<number> {
    return ((await this.#ask('peak')) - this.#before) / MB;
  }

  async #ask(what: 'forget' | 'peak'): Promise<number> {
    const report = this.#report();
    this.#child.send(what);
    return (await report).peak ?? Number.NaN;
  }

  async #report(): Promise<Report> {
    for (;;) {
      // oxlint-disable-next-line no-await-in-loop -- the first that is no warning
      const [report] = (await once(this.#child, 'message')) as [Report];
      if (report.warning === undefined) return report;
    }
  }
}

/**
 * By how many MB a proxy's process grows at most while it is used.
 *
 * @param exercise - uses the proxy with this base URL
 * @param options - the proxy's
 * @param program - what takes its place: the first lines of a module that makes a `handler`
 */
export async function growthOf(
  target: string,
  exercise: (baseUrl: string) => Promise<void>,
  options: object = {},
  program: string = PROXY,
): Promise<number> {
  const watched = new Watched(program, target, options);
  await watched.begin();
  await exercise(watched.baseUrl);
  expect(watched.warnings).toEqual([]);
  return watched.growth();
}

/**
 * Node 24 lets buffers lie about for long before it collects them, also those of a bare pipe.
 * Where the limit is passed, the pipe shows how much of that is Node's.
 */
export async function expectBounded(
  target: string,
  limitMb: number,
  exercise: (baseUrl: string) => Promise<void>,
): Promise<void> {
  const growth = await growthOf(target, exercise);
  const limit = growth < limitMb ? limitMb : 2 * (await growthOf(target, exercise, {}, PIPE));
  expect(growth).toBeLessThan(Math.max(limit, limitMb));
}
