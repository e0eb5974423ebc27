import { spawnSync } from 'node:child_process';
import { describe } from '@jest/globals';
import { startProgram } from './program.ts';
import type { Program } from './program.ts';
import { closeAfterTest } from './scene.ts';

/** Whether Debian's `slowhttptest` is there; it has no option that does nothing. */
const hasTool = spawnSync('slowhttptest', ['-h']).error === undefined;

// Where it must be there, the tests run and fail by themselves.
const isSkipped = !hasTool && process.env['REQUIRE_SLOWHTTPTEST'] !== '1';
if (isSkipped)
  console.warn('Skipped: slowhttptest is not installed (apt-get install slowhttptest)');
const block = isSkipped ? describe.skip : describe;

/** Tests that need slowhttptest: skipped without it. */
export function describeWithSlowHttpTest(title: string, tests: () => void): void {
  block(title, tests);
}

/**
 * Attacks over so many connections for at most 20 s, and asks all the time, over another one, for
 * an answer.
 */
export function startAttack(connections: number, url: string, args: readonly string[]): Program {
  const rate = ['-c', String(connections), '-r', String(connections)];
  const limits = ['-l', '20', '-p', '3', '-i', '1'];
  const attack = startProgram('slowhttptest', [...rate, ...limits, ...args, '-u', url]);
  closeAfterTest(() => attack.kill('SIGKILL'));
  return attack;
}

/** What it says of whether the server has answered it, each time that it says so. */
export function availability({ output }: Program): string[] {
  // oxlint-disable-next-line no-control-regex -- it writes in colours
  const plain = output.replaceAll(/\x1b\[[\d;]*m/g, '');
  return [...plain.matchAll(/service available: *(\w+)/g)].map(([, said = '']) => said);
}
