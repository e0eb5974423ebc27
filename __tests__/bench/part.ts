import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';

/** What a part can be asked over its channel; names with functions of structured-clonable values. */
type Calls = object;

type Arguments<C extends Calls, K extends keyof C> = C[K] extends (...values: infer A) => unknown
  ? A
  : never;

type Result<C extends Calls, K extends keyof C> = C[K] extends (...values: never[]) => infer R
  ? Awaited<R>
  : never;

interface Question {
  readonly id: number;
  readonly name: string;
  readonly values: readonly unknown[];
}

interface Reply {
  readonly id: number;
  readonly value?: unknown;
  readonly failure?: string;
}

/** How a part is started. */
export interface PartOptions {
  /** The compiled file beside this one, without its ending. */
  readonly file: string;
  readonly args?: readonly string[];
  /** For Node itself. */
  readonly execArgv?: readonly string[];
  /** The core that it gets for itself; `undefined` leaves it to the system. */
  readonly core: number | undefined;
  /** Where it writes what it prints: a file descriptor. */
  readonly logFd: number;
}

/** A part of the benchmark in a process of its own, asked over a channel that costs it little. */
export class Part<C extends Calls> {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  readonly #name: string;
  #nextId = 0;

  constructor({ file, args = [], execArgv = [], core, logFd }: PartOptions) {
    this.#name = [file, ...args.slice(0, 1)].join(' ');
    const command = [
      ...(core === undefined ? [] : ['taskset', '-c', String(core)]),
      process.execPath,
      ...execArgv,
      path.join(import.meta.dirname, `${file}.js`),
      ...args,
    ];
    const [program = process.execPath, ...rest] = command;
    this.#child = spawn(program, rest, {
      env: { PATH: process.env['PATH'], NODE_ENV: 'production' },
      serialization: 'advanced',
      stdio: ['ignore', logFd, logFd, 'ipc'],
    });
    this.#child.on('message', (reply: Reply) => {
      this.#waiting.get(reply.id)?.(reply);
      this.#waiting.delete(reply.id);
    });
    this.#child.once('exit', (code, signal) => {
      const failure = `${this.#name} ended (${signal ?? code}); its output tells why`;
      for (const [id, settle] of this.#waiting) settle({ id, failure });
      this.#waiting.clear();
    });
  }

  /** Calls a function of the part. */
  async call<K extends keyof C & string>(
    name: K,
    ...values: Arguments<C, K>
  ): Promise<Result<C, K>> {
    const id = (this.#nextId += 1);
    const reply = await new Promise<Reply>((resolve) => {
      this.#waiting.set(id, resolve);
      this.#child.send({ id, name, values } satisfies Question, (error) => {
        if (error === null) return;
        this.#waiting.delete(id);
        resolve({ id, failure: error.message });
      });
    });
    if (reply.failure !== undefined) throw new Error(reply.failure);
    return reply.value as Result<C, K>;
  }

  /** Lets it write its profile, if it makes one, and waits until it is gone. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    if (this.#child.connected) this.#child.disconnect();
    const impatience = setTimeout(() => this.#child.kill('SIGKILL'), 5_000);
    await gone;
    clearTimeout(impatience);
  }
}

/** Makes this process a part: answers what it is asked, and ends when nobody asks any more. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- gives the calls their types
export function becomePart<C extends Calls>(calls: C): void {
  process.on('disconnect', () => process.exit(0));
  process.on('message', ({ id, name, values }: Question) => {
    void answer(id, (calls as Record<string, (...all: unknown[]) => unknown>)[name], values);
  });
}

async function answer(
  id: number,
  call: ((...values: unknown[]) => unknown) | undefined,
  values: readonly unknown[],
): Promise<void> {
  let reply: Reply;
  try {
    if (call === undefined) throw new Error('There is no such call');
    reply = { id, value: await call(...values) };
  } catch (error) {
    reply = { id, failure: error instanceof Error ? error.message : String(error) };
  }
  if (process.connected) process.send?.(reply);
}

/** Which part gets which core: the subject shares its with nobody. */
export interface Cores {
  readonly subject: number | undefined;
  readonly upstream: number | undefined;
  readonly generator: number | undefined;
}

/** The cores that this process may use, given out; all `undefined` where that cannot be done. */
export function chooseCores(): Cores {
  const [subject, upstream, generator = upstream] = allowedCores();
  const canPin =
    upstream !== undefined && spawnSync('taskset', ['-c', String(upstream), 'true']).status === 0;
  return canPin
    ? { subject, upstream, generator }
    : { subject: undefined, upstream: undefined, generator: undefined };
}

function allowedCores(): number[] {
  let status: string;
  try {
    status = readFileSync('/proc/self/status', 'utf8');
  } catch {
    return [];
  }
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(status)?.[1] ?? '';
  return list.split(',').flatMap((range) => {
    const [first = Number.NaN, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}
