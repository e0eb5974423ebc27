import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { ROOT } from '../helpers/program.ts';

/** What the server's process holds. */
export interface Holdings {
  readonly heapBytes: number;
  readonly residentBytes: number;
  readonly sockets: number;
  readonly timers: number;
}

// Runs in the server's process, in front of the server: answers each message with what is held.
const PRELOAD = `process.on('message', () => {
  for (let i = 0; i < 4; i += 1) globalThis.gc();
  const held = process.getActiveResourcesInfo();
  const count = (kind) => held.filter((each) => each === kind).length;
  const { heapUsed: heapBytes, rss: residentBytes } = process.memoryUsage();
  process.send({ heapBytes, residentBytes, sockets: count('TCPSocketWrap'), timers: count('Timeout') });
});
process.channel?.unref();`;

/** The bundled server in a process of its own. */
export class Subject {
  readonly #child: ChildProcess;
  /** Ended requests, by how they ended: from the log. */
  readonly outcomes = new Map<string, number>();
  /** Requests that were held for the limit of a window: from the log. */
  held = 0;
  readonly #ended = new Set<string>();
  readonly #strange: string[] = [];
  #exit: number | null | undefined;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.once('exit', (code) => {
      this.#exit = code;
    });
    for (const stream of [child.stdout, child.stderr]) {
      if (stream !== null) createInterface(stream).on('line', (line) => this.#read(line));
    }
  }

  /** @param env - the server's, beside the port */
  static async start(port: number, env: Readonly<Record<string, string>>): Promise<Subject> {
    const main = path.join(ROOT, 'dist/examples/server/main.js');
    const preload = `data:text/javascript,${encodeURIComponent(PRELOAD)}`;
    const child = spawn(process.execPath, ['--expose-gc', '--import', preload, main], {
      cwd: ROOT,
      env: { PATH: process.env['PATH'], HOST: '127.0.0.1', PORT: String(port), ...env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    const subject = new Subject(child);
    await subject.#listening;
    return subject;
  }

  /** Lines that are no log lines (a warning, an uncaught error), and the exit, if there was one. */
  get complaints(): readonly string[] {
    return this.#exit === undefined
      ? this.#strange
      : [...this.#strange, `the server has ended with ${this.#exit}`];
  }

  /** After a collection of garbage. */
  async holdings(): Promise<Holdings> {
    const answer = once(this.#child, 'message');
    this.#child.send('holdings');
    const [holdings] = (await answer) as [Holdings];
    return holdings;
  }

  /** Resolves with the exit code. */
  async stop(): Promise<number | null> {
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await ended;
    return this.#child.exitCode;
  }

  #onListening: () => void = () => {};
  readonly #listening = new Promise<void>((resolve) => {
    this.#onListening = resolve;
  });

  #read(line: string): void {
    if (!line.startsWith('{')) {
      this.#strange.push(line.slice(0, 300));
      return;
    }
    const { name, message, outcome, reason, id } = JSON.parse(line) as Record<
      string,
      string | undefined
    >;
    if (message === 'listening') this.#onListening();
    if (message === 'held' && reason === 'request limit') this.held += 1;
    if (name !== 'venice-proxy:request-log' || outcome === undefined) return;
    if (this.#ended.has(String(id))) this.#strange.push(`request ${id} has ended twice`);
    this.#ended.add(String(id));
    this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1);
  }
}
