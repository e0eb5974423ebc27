import { existsSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

/** Where the package begins, whether this file runs as it is or compiled into a cache. */
export const ROOT = findRoot(import.meta.dirname);

function findRoot(from: string): string {
  if (existsSync(path.join(from, 'package.json'))) return from;
  const parent = path.dirname(from);
  if (parent === from) throw new Error('There is no package.json above the benchmark');
  return findRoot(parent);
}

/** A file of the built package, for `import()`. */
export function built(file: string): string {
  return pathToFileURL(path.join(ROOT, 'dist', file)).href;
}
