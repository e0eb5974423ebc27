// Measures the proxy beside what could stand in its place. Everything takes most of an hour and is
// written to docs/benchmark.md and docs/benchmark.svg; a part is only printed:
//
//   npm run bench
//   npm run bench -- --only chat,stream --subjects bare-hpm,ours --rounds 5 --seconds 2
//   npm run bench -- --quick                 does it run, are all bytes right?
//   npm run bench -- --only chat --profile   writes a CPU profile of each subject
import { readdirSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { HELP, parseOrder } from './arguments.ts';
import type { Order } from './arguments.ts';
import { closeBench, openBench } from './bench.ts';
import type { Bench, Effort } from './bench.ts';
import { complaints } from './complaints.ts';
import { machine } from './machine.ts';
import { drawReport } from './plot.ts';
import { reportOf, tableOf } from './report.ts';
import type { Chapter } from './report.ts';
import { ROOT } from './root.ts';
import { RunningSubjects } from './running-subjects.ts';

let order: Order | undefined;
try {
  order = parseOrder(process.argv.slice(2));
} catch (error) {
  console.error(`${reasonOf(error)}\n\n${HELP}`);
  process.exitCode = 1;
}
if (order !== undefined) await run(order);

async function run(given: Order): Promise<void> {
  const { effort, out, profiles, sections } = given;
  const bench = await openBench(profiles);
  const subjects = new RunningSubjects(bench, given);
  const chapters: Chapter[] = [];
  const wrong: string[] = [];
  for (const section of sections) {
    const title = section.title(effort);
    try {
      // oxlint-disable-next-line no-await-in-loop -- one at a time, or they disturb each other
      const running = await subjects.of(section);
      if (running.length === 0) continue;
      // oxlint-disable-next-line no-await-in-loop -- the same
      const chapter = { title, result: await section.measure(bench, running, effort) };
      chapters.push(chapter);
      console.log(`\n## ${title}\n\n${tableOf(chapter)}`);
    } catch (error) {
      // The figures of the other sections were long in coming.
      wrong.push(`${title}: ${reasonOf(error)}`);
    } finally {
      // oxlint-disable-next-line no-await-in-loop -- the same
      await subjects.release();
    }
  }
  await subjects.close();
  await closeBench(bench);
  if (out !== undefined) await writeReport(effort, chapters, bench, out);
  wrong.push(...complaints(chapters));
  for (const each of wrong) console.error(each);
  if (wrong.length > 0) process.exitCode = 1;
  if (wrong.length > 0 || profiles) tellFiles(bench);
  else await rm(bench.folder, { recursive: true });
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function writeReport(
  effort: Effort,
  chapters: readonly Chapter[],
  { cores }: Bench,
  out: string,
): Promise<void> {
  const folder = path.resolve(ROOT, out);
  await writeFile(path.join(folder, 'benchmark.svg'), drawReport(chapters));
  await writeFile(
    path.join(folder, 'benchmark.md'),
    reportOf(chapters, machine(effort, cores.subject !== undefined)),
  );
  console.log(`\nWritten to ${folder}: benchmark.md, benchmark.svg`);
}

function tellFiles({ folder }: Bench): void {
  console.log(`\nWhat the parts printed: ${folder}`);
  const profiles = readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'));
  for (const name of profiles) console.log(`CPU profile: ${path.join(folder, name)}`);
}
