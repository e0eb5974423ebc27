import { execFile } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { VERSION } from '../lib/version.ts';
import { startProgram } from './helpers/program.ts';
import { listen } from './helpers/serve.ts';
import type { Running } from './helpers/serve.ts';

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, '..');
const INSTALL_MS = 120_000;

let folder: string;
let tarball: string;
let files: string[];
let upstream: Running;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'venice-proxy-package-'));
  const { stdout } = await run(
    'npm',
    ['pack', '--json', '--ignore-scripts', '--pack-destination', folder],
    { cwd: root },
  );
  files = [...stdout.matchAll(/"path": "([^"]+)"/g)].map(([, name]) => name ?? '');
  const packed = (await readdir(folder)).find((name) => name.endsWith('.tgz'));
  tarball = path.join(folder, packed ?? '');
  upstream = await listen((req, res) => {
    req.resume().on('end', () => res.end(JSON.stringify({ path: req.url })));
  });
}, INSTALL_MS);

afterAll(async () => {
  await upstream.close();
  await rm(folder, { recursive: true, force: true });
});

const BODY = `
  const app = express();
  app.use('/api/v1', createVeniceProxy({ target: process.argv[2] }));
  const server = app.listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    fetch('http://127.0.0.1:' + port + '/api/v1/models')
      .then((answer) => answer.text())
      .then((text) => { console.log(text); server.close(); process.exit(0); });
  });
`;

const APPS = {
  'app.mjs': `
    import express from 'express';
    import { createVeniceProxy } from 'venice-proxy';
    ${BODY}`,
  'app.cjs': `
    const express = require('express');
    const { createVeniceProxy } = require('venice-proxy');
    ${BODY}`,
};

const TYPED_APP = `
  import express from 'express';
  import { createHealthCheck, createVeniceProxy, optionsFromEnv } from 'venice-proxy';
  import type { RetryEvent, VeniceProxy, VeniceProxyOptions } from 'venice-proxy';
  const options: VeniceProxyOptions = {
    ...optionsFromEnv(),
    on: { retry: (event: RetryEvent) => console.log(event.delayMs.toFixed(), event.request.path) },
    apiKey: async (request) => request.get('x-key'),
  };
  const proxy: VeniceProxy = createVeniceProxy(options);
  const inFlight: number = proxy.inFlight;
  const app = express();
  app.use('/api/v1', proxy);
  app.get('/health', createHealthCheck(proxy));
  // @ts-expect-error an option that does not exist
  createVeniceProxy({ retires: inFlight });
`;

describe.each([
  ['Express 5', '5', '5'],
  ['Express 4', '4', '4.17'],
])('the packed package in an app with %s', (_name, express, types) => {
  let app: string;

  beforeAll(async () => {
    app = await mkdtemp(path.join(folder, 'app-'));
    await writeFile(path.join(app, 'package.json'), '{"private":true}');
    await run(
      'npm',
      [
        'install',
        '--no-audit',
        '--no-fund',
        '--prefer-offline',
        '--loglevel=error',
        tarball,
        `express@${express}`,
        `@types/express@${types}`,
        '@types/node@20',
      ],
      { cwd: app },
    );
    await Promise.all(
      Object.entries(APPS).map(([name, text]) => writeFile(path.join(app, name), text)),
    );
  }, INSTALL_MS);

  test.each(Object.keys(APPS))('serves from %s', async (file) => {
    const { stdout } = await run(process.execPath, [file, `${upstream.origin}/up`], { cwd: app });
    expect(JSON.parse(stdout)).toEqual({ path: '/up/models' });
  });

  test('type-checks, and refuses options that do not exist', async () => {
    await writeFile(path.join(app, 'app.mts'), TYPED_APP);
    const tsc = path.join(root, 'node_modules/typescript/bin/tsc');
    const flags = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023'];
    const checked = run(process.execPath, [tsc, ...flags, '--types', 'node', 'app.mts'], {
      cwd: app,
    });
    await expect(checked).resolves.toMatchObject({ stdout: '' });
  }, 30_000);

  test('brings a venice-proxy command', async () => {
    const bin = path.join(app, 'node_modules/.bin/venice-proxy');
    const { stdout } = await run(bin, ['--version']);
    expect(stdout.trim()).toBe(VERSION);
  });

  test('shows the demo', async () => {
    const main = path.join(app, 'node_modules/venice-proxy/dist/examples/server/main.js');
    const demo = startProgram(process.execPath, [main, '--demo'], { PORT: '0' });
    try {
      expect(await demo.printed(/status 200 on attempt 2/)).not.toBeNull();
    } finally {
      demo.kill('SIGTERM');
      await demo.ended;
    }
  });
});

/** What npm downloads. The rest of the room is for what is still to come. */
const LARGEST_BYTES = 100_000;

describe('the package', () => {
  test('holds what its exports and its command name, and nothing that only developers need', async () => {
    const manifest = await readFile(path.join(root, 'package.json'), 'utf8');
    const { bin, exports } = JSON.parse(manifest) as { bin: unknown; exports: unknown };
    const targets = [...JSON.stringify({ bin, exports }).matchAll(/"(?:\.\/)?(dist\/[^"]+)"/g)];
    expect(targets.length).toBeGreaterThan(4);
    expect(files).toEqual(expect.arrayContaining(targets.map(([, file]) => file)));
    expect(files).toEqual(expect.arrayContaining(['LICENSE', 'README.md']));
    const needless = files.filter((file) => !/^(dist|docs|[^/]+$)/.test(file));
    expect(needless).toEqual([]);
    expect(files.filter((file) => /\.map$|(?<!\.d)\.ts$/.test(file))).toEqual([]);
  });

  test('is small', async () => {
    expect((await stat(tarball)).size).toBeLessThan(LARGEST_BYTES);
  });

  // A forgotten one would be an `any` to whoever skips the check of libraries.
  test('holds every declaration that its declarations import', async () => {
    const declarations = files.filter((file) => file.endsWith('.d.ts'));
    const imported = await Promise.all(
      declarations.map(async (file) => {
        const text = await readFile(path.join(root, file), 'utf8');
        return [...text.matchAll(/from '(\..+?)\.ts'/g)].map(([, name = '']) =>
          path.join(path.dirname(file), `${name}.d.ts`),
        );
      }),
    );
    expect(declarations).toEqual(expect.arrayContaining([...new Set(imported.flat())]));
  });
});

test('no function is born in an assignment to a member, where V8 makes it old', async () => {
  const born =
    /[\w$\])]\.#?[\w$]+(?:\?\?|\|\||&&)?=(?:async ?)?(?:\([^()]*\)=>|[\w$]+=>|function\b)/g;
  const lib = path.join(root, 'dist/lib');
  const scripts = (await readdir(lib, { recursive: true })).filter((name) => name.endsWith('.js'));
  expect(scripts).toContain('index.js');
  const sources = await Promise.all(scripts.map((name) => readFile(path.join(lib, name), 'utf8')));
  const found = sources.flatMap((source) => source.match(born) ?? []);
  // Once a process, and known to be found: the formatter of debug's.
  expect(found).toEqual([expect.stringMatching(/\.F\?\?=/)]);
});

test('the version in the code is that of package.json and stands in the changelog', async () => {
  const manifest = await readFile(path.join(root, 'package.json'), 'utf8');
  const { version } = JSON.parse(manifest) as { version: string };
  expect(VERSION).toBe(version);
  expect(await readFile(path.join(root, 'CHANGELOG.md'), 'utf8')).toContain(`## [${version}]`);
});
