import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, release, totalmem, type } from 'node:os';
import path from 'node:path';
import type { Effort } from './bench.ts';
import { ROOT } from './root.ts';

const PACKAGES = [
  'express',
  'http-proxy-middleware',
  'fastify',
  '@fastify/http-proxy',
  '@portkey-ai/gateway',
];

/** One line each: where, with what, when, and how long was measured. */
export function machine({ rounds, seconds }: Effort, isPinned: boolean): string[] {
  const [cpu] = cpus();
  const gigabytes = (totalmem() / 2 ** 30).toFixed(0);
  return [
    `${new Date().toISOString().slice(0, 10)}, Node ${process.versions.node}, ${type()} ${release()}`,
    `${cpu?.model.trim() ?? 'unknown processor'}, ${availableParallelism()} cores, ${gigabytes} GB; ` +
      (isPinned ? 'the subject alone on one of them' : 'no core for the subject alone'),
    ['venice-proxy', ...PACKAGES].map((name) => `${name} ${versionOf(name)}`).join(', '),
    `${rounds} rounds, ${seconds} s for each load`,
  ];
}

function versionOf(name: string): string {
  const folder =
    name === 'venice-proxy'
      ? ROOT
      : (createRequire(path.join(ROOT, 'package.json'))
          .resolve.paths(name)
          ?.map((each) => path.join(each, name))
          .find((each) => readManifest(each) !== undefined) ?? '');
  return readManifest(folder) ?? 'unknown';
}

/** Not every package lets its manifest be imported. */
function readManifest(folder: string): string | undefined {
  try {
    const { version } = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')) as {
      version: string;
    };
    return version;
  } catch {
    return undefined;
  }
}
