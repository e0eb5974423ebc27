import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { ROOT } from '../helpers/program.ts';
import { idsIn } from './requests.ts';

/** What the server's process holds; bytes. */
export interface Holdings {
  /** Of the heap, and outside of it for what is in the heap. */
  readonly heapBytes: number;
  readonly residentBytes: number;
  /** What keeps the process alive, by kind. */
  readonly resources: Readonly<Record<string, number>>;
}

/** How the server says that a request ended: the line is made of what the `answer` hook hears. */
export interface Logged {
  readonly outcome: string;
  readonly status?: number | undefined;
  readonly code?: string | undefined;
  readonly attempts: number;
}

/** A line of the log, as far as it is read. */
interface Line extends Partial<Logged> {
  readonly name?: string;
  readonly message?: string;
  readonly model?: string;
  readonly url?: string;
  readonly reason?: string;
}

// Runs in the server's process, in front of the server: answers each message with what is held.
const PRELOAD = `process.on('message', async (message) => {
  for (let i = 0; message === 'collect' && i < 4; i += 1) {
    globalThis.gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const resources = {};
  for (const kind of process.getActiveResourcesInfo()) {
    if (kind !== 'Immediate') resources[kind] = (resources[kind] ?? 0) + 1;
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  process.send({ heapBytes: heapUsed + external, residentBytes: rss, resources });
});
process.on('disconnect', () => process.exit(1));
process.channel?.unref();`;

/** The bundled server in a process of its own, from what was built. */
export class Subject {
  readonly #child: ChildProcess;
  /** Its log lines about requests that have ended, by request. */
  readonly logged = new Map<string, Logged[]>();
  /** Those whose clients left before all of the body, and so the name, had come. */
  unnamed = 0;
  /** Held in the gate for a window that was used up. */
  held = 0;
  readonly #complaints: string[] = [];
  #onListening: (url: string) => void = () => {};
  #isStopping = false;
  #asked: Promise<unknown> = Promise.resolve();

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.once('exit', (code, signal) => {
      if (!this.#isStopping) this.#complaints.push(`the server has ended (${signal ?? code})`);
    });
    for (const stream of [child.stdout, child.stderr]) {
      if (stream !== null) createInterface(stream).on('line', (line) => this.#read(line));
    }
  }

  /** @param env - the server's, beside the address */
  static async start(
    env: Readonly<Record<string, string>>,
  ): Promise<{ readonly subject: Subject; readonly baseUrl: string }> {
    const main = path.join(ROOT, 'dist/examples/server/main.js');
    const preload = `data:text/javascript,${encodeURIComponent(PRELOAD)}`;
    const child = spawn(process.execPath, ['--expose-gc', '--import', preload, main], {
      cwd: ROOT,
      env: { PATH: process.env['PATH'], HOST: '127.0.0.1', PORT: '0', LOG_FORMAT: 'json', ...env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    const subject = new Subject(child);
    const baseUrl = await new Promise<string>((resolve, reject) => {
      subject.#onListening = resolve;
      child.once('exit', () => reject(new Error(subject.complaints.join('\n'))));
    });
    return { subject, baseUrl };
  }

  /** Lines that are no log lines (a warning, an uncaught error), and an exit that was not asked for. */
  get complaints(): readonly string[] {
    return this.#complaints;
  }

  /** As it is; after a collection of garbage with `collect`. */
  holdings(how: 'look' | 'collect'): Promise<Holdings> {
    // One question after the other: the answers do not say what they answer.
    const holdings = this.#asked.then(() => this.#ask(how));
    this.#asked = holdings.catch(() => {});
    return holdings;
  }

  async #ask(how: 'look' | 'collect'): Promise<Holdings> {
    const answer = once(this.#child, 'message');
    this.#child.send(how);
    const [holdings] = (await answer) as [Holdings];
    return holdings;
  }

  /** Resolves with the exit code, when the whole log has been read. */
  async stop(): Promise<number | null> {
    if (this.#child.exitCode !== null) return this.#child.exitCode;
    this.#isStopping = true;
    const closed = once(this.#child, 'close');
    this.#child.kill('SIGTERM');
    await closed;
    return this.#child.exitCode;
  }

  #read(text: string): void {
    if (!text.startsWith('{')) {
      this.#complaints.push(text.slice(0, 300));
      return;
    }
    const { name, message = '', url = '', model = '', reason, ...line } = JSON.parse(text) as Line;
    if (message === 'listening') this.#onListening(url);
    if (message === 'held' && reason === 'request limit') this.held += 1;
    if (name !== 'venice-proxy:request-log') return;
    const { outcome = '', status, code, attempts = 0 } = line;
    // The model of what is JSON, else the path.
    const [id] = idsIn(`${model} ${message}`);
    if (id === undefined) {
      if (outcome === 'client_left' && attempts === 0) this.unnamed += 1;
      else this.#complaints.push(`a request that nobody made: ${text.slice(0, 300)}`);
      return;
    }
    const lines = this.logged.get(id);
    if (lines === undefined) this.logged.set(id, [{ outcome, status, code, attempts }]);
    else lines.push({ outcome, status, code, attempts });
  }
}
