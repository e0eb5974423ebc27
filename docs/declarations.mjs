// Makes of the declarations that tsc has written what the package ships: those that its exports
// reach, with the first sentence of each comment and the default. The rest of the comments stands in
// `docs/api.md`. What the main export reaches becomes one file.
//
//   node docs/declarations.mjs
//
// Plain JavaScript, as the build must run on Nodes that take no TypeScript.
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.resolve(import.meta.dirname, '..');
const FOLDER = path.join(ROOT, 'dist/lib');
const MAIN = path.join(FOLDER, 'index.d.ts');
const JOINED = path.join(FOLDER, 'types.d.ts');
const OWN_IMPORT = /(?<= from ')(\..+?)\.ts(?=')/g;

const { exports } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
const entries = Object.values(exports).flatMap(({ types }) => types ?? []);

const texts = new Map();
for (const name of readdirSync(FOLDER, { recursive: true })) {
  const file = path.join(FOLDER, name);
  if (!name.endsWith('.d.ts')) continue;
  texts.set(file, readFileSync(file, 'utf8'));
  rmSync(file);
}

const joined = reach(MAIN, new Set());
joined.delete(MAIN);
const apart = new Set();
for (const entry of entries) reach(path.join(ROOT, entry), apart);

writeFileSync(JOINED, joinedText());
for (const file of apart) {
  if (joined.has(file)) continue;
  const text = texts.get(file).replaceAll(OWN_IMPORT, (own, from) => {
    if (!joined.has(imported(file, from))) return own;
    const there = path.posix.relative(path.dirname(file), JOINED.replace('.d.ts', '.ts'));
    return there.startsWith('.') ? there : `./${there}`;
  });
  writeFileSync(file, shorten(text));
}

function imported(file, from) {
  return path.join(path.dirname(file), `${from}.d.ts`);
}

/** Adds a declaration file, and whatever it imports, to those that are there. */
function reach(file, found) {
  if (found.has(file)) return found;
  found.add(file);
  for (const [, from] of texts.get(file).matchAll(OWN_IMPORT)) reach(imported(file, from), found);
  return found;
}

function joinedText() {
  const foreign = new Map();
  let declarations = '';
  for (const file of joined) {
    for (const [, names, from] of texts
      .get(file)
      .matchAll(/^import .*?{ (.+) } from '([^.].*)';$/gm))
      foreign.set(from, new Set([...(foreign.get(from) ?? []), ...names.split(', ')]));
    declarations += shorten(texts.get(file).replaceAll(/^(?:import .*|export {};)\n/gm, ''));
  }
  const imports = [...foreign].map(
    ([from, names]) => `import type { ${[...names].join(', ')} } from '${from}';\n`,
  );
  return imports.join('') + declarations;
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
