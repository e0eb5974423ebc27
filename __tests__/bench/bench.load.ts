import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { startProgram } from '../helpers/program.ts';
import { SECTIONS } from './sections.ts';

// Of figures nothing is expected: they are made in a hurry, on machines that do other things, too.
jest.setTimeout(120_000);

// Of its own: a benchmark that runs meanwhile starts subjects from where it was compiled.
const OUT_DIR = 'node_modules/.cache/bench-test';
const MAIN = path.join(OUT_DIR, '__tests__/bench/main.js');

async function run(...args: string[]): Promise<{ code: number | null; output: string }> {
  const program = startProgram(process.execPath, args);
  const code = await program.ended;
  return { code, output: program.output };
}

describe('the benchmark', () => {
  let out = '';
  let quick = { code: null as number | null, output: '' };

  beforeAll(async () => {
    out = await mkdtemp(path.join(tmpdir(), 'venice-proxy-bench-test-'));
    const tsc = 'node_modules/typescript/bin/tsc';
    const compiled = await run(tsc, '-p', '__tests__/bench', '--outDir', OUT_DIR);
    if (compiled.code !== 0) throw new Error(compiled.output);
    quick = await run(MAIN, '--quick', '--out', out);
  });
  afterAll(() => rm(out, { recursive: true, force: true }));

  test('runs, and its subjects return the bytes that they should', () => {
    expect(quick).toEqual({ code: 0, output: expect.stringContaining('Written to') });
  });

  test('reports every section, with figures of the bundled server', async () => {
    const report = await readFile(path.join(out, 'benchmark.md'), 'utf8');
    const chapters = report.split(/^## /m).slice(1);
    expect(chapters).toHaveLength(SECTIONS.length);
    for (const chapter of chapters) {
      // A reason would stand there, or nothing where the machine was too busy for the crowd.
      expect(chapter).toMatch(/^\| \*\*the bundled server\*\*, everything on \| (\d|– \|)/m);
    }
  });

  test('says of a subject without figures why it has none', async () => {
    const report = await readFile(path.join(out, 'benchmark.md'), 'utf8');
    expect(report).toMatch(/^\| `@fastify\/http-proxy` \| – only relays it/m);
  });

  test('draws the costs and the growth', async () => {
    const picture = await readFile(path.join(out, 'benchmark.svg'), 'utf8');
    expect(picture.match(/<rect class="ours"/g)).toHaveLength(7);
    expect(picture.match(/<path class="line ours"/g)).toHaveLength(3);
    expect(picture).not.toContain('NaN');
  });

  test('refuses names that it does not know, and says which there are', async () => {
    const { code, output } = await run(MAIN, '--only', 'chat,chatt');
    expect(code).toBe(1);
    expect(output).toContain('--only knows no "chatt", but chat, chat-drop, stream');
  });
});
