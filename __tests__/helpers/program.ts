import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

/** Where the package begins. */
export const ROOT = path.resolve(import.meta.dirname, '../..');

export type Env = Readonly<Record<string, string>>;

/** A program that runs, and what it has printed on either stream. */
export interface Program {
  readonly output: string;
  /** Resolves with the first match in what it has printed; rejects when it ends without one. */
  printed(pattern: RegExp): Promise<RegExpExecArray>;
  /** Resolves with the exit code. */
  readonly ended: Promise<number | null>;
  kill(signal: NodeJS.Signals): void;
}

/** Starts a program in the root of the package, with this environment and `PATH` only. */
export function startProgram(file: string, args: readonly string[], env: Env = {}): Program {
  const child = spawn(file, args, {
    cwd: ROOT,
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let isOver = false;
  const waiting: (() => void)[] = [];
  const wake = (): void => {
    for (const resolve of waiting.splice(0)) resolve();
  };
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      wake();
    });
  }
  child.once('close', () => {
    isOver = true;
    wake();
  });
  const ended = once(child, 'close').then(() => child.exitCode);
  return {
    ended,
    get output() {
      return output;
    },
    async printed(pattern) {
      for (;;) {
        const match = pattern.exec(output);
        if (match !== null) return match;
        if (isOver) throw new Error(`It ended without ${pattern}: ${output}`);
        // oxlint-disable-next-line no-await-in-loop -- until it is there
        await new Promise<void>((resolve) => {
          waiting.push(resolve);
        });
      }
    },
    kill: (signal) => void child.kill(signal),
  };
}
