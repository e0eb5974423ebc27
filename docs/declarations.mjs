// Makes of the declarations that tsc has written what the package ships: those that its exports
// reach, with the first sentence of each comment and the default. The rest stands in `docs/api.md`.
//
//   node docs/declarations.mjs
//
// Plain JavaScript, as the build must run on Nodes that take no TypeScript.
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.resolve(import.meta.dirname, '..');
const DECLARATIONS = path.join(ROOT, 'dist/lib');

const { exports } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
const shipped = new Set();
for (const { types } of Object.values(exports)) if (types) reach(path.join(ROOT, types));

for (const name of readdirSync(DECLARATIONS, { recursive: true })) {
  const file = path.join(DECLARATIONS, name);
  if (!name.endsWith('.d.ts')) continue;
  if (shipped.has(file)) writeFileSync(file, shorten(readFileSync(file, 'utf8')));
  else rmSync(file);
}

function reach(file) {
  if (shipped.has(file)) return;
  shipped.add(file);
  for (const [, from] of readFileSync(file, 'utf8').matchAll(/ from '(\..+?)\.ts'/g))
    reach(path.join(path.dirname(file), `${from}.d.ts`));
}

function shorten(text) {
  return text.replaceAll(/\/\*\*((?:(?!\*\/).)*)\*\//gs, (_, inside) => {
    const [prose, ...tags] = inside
      .replaceAll(/\s*\n\s*\* ?/g, ' ')
      .trim()
      .split(/ ?(?=@[a-z]+)/i);
    const [sentence] = /^.*?\.(?=\s|$)/.exec(prose) ?? [prose];
    const fallback = tags.find((tag) => tag.startsWith('@defaultValue'));
    return `/** ${[sentence, fallback].filter(Boolean).join(' ').trim()} */`;
  });
}
