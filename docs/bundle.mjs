// Bundles what the package ships, and the examples, which run in a checkout only:
//
//   node docs/bundle.mjs
//
// Plain JavaScript, as the build must run on Nodes that take no TypeScript.
import { chmodSync, existsSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { build, transform } from 'esbuild';

process.chdir(path.resolve(import.meta.dirname, '..'));

const COMMON = {
  bundle: true,
  charset: 'utf8',
  format: 'esm',
  logLevel: 'warning',
  outbase: '.',
  outdir: 'dist',
  packages: 'external',
  platform: 'node',
  target: 'node20',
};

/** What the status page sends to browsers is text to the bundler: made small here. */
const smallPage = {
  name: 'small-page',
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]status[\\/]page-(script|style)\.ts$/ }, async ({ path: file }) => {
      const source = await readFile(file, 'utf8');
      const [, head, text] = /^(.*?= )(?:String\.raw)?`(.*)`;\s*$/s.exec(source);
      const loader = file.endsWith('style.ts') ? 'css' : 'js';
      const { code } = await transform(text, {
        format: loader === 'js' ? 'iife' : undefined,
        loader,
        minify: true,
      });
      return { contents: `${head}${JSON.stringify(code)};`, loader: 'ts' };
    });
  },
};

const subpaths = readdirSync('lib')
  .map((name) => `lib/${name}/index.ts`)
  .filter((file) => existsSync(file));
await build({
  ...COMMON,
  entryPoints: ['lib/index.ts', ...subpaths, 'examples/server/main.ts'],
  chunkNames: 'chunks/[name]-[hash]',
  minify: true,
  plugins: [smallPage],
  splitting: true,
});
chmodSync('dist/examples/server/main.js', 0o755);

const examples = readdirSync('examples').filter((name) => name.endsWith('.ts'));
await build({ ...COMMON, entryPoints: examples.map((name) => `examples/${name}`) });
