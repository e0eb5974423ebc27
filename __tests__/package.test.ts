import { execFile } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { VERSION } from '../lib/version.ts';
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
});

test('the package holds what is needed and nothing else', () => {
  expect(files).toEqual(
    expect.arrayContaining(['dist/lib/index.js', 'dist/lib/index.d.ts', 'lib/index.ts', 'LICENSE']),
  );
  expect(files.filter((file) => /^(__tests__|docs\/.*\.ts|\.ci|coverage)/.test(file))).toEqual([]);
});

test('the version in the code is that of package.json and stands in the changelog', async () => {
  const manifest = await readFile(path.join(root, 'package.json'), 'utf8');
  const { version } = JSON.parse(manifest) as { version: string };
  expect(VERSION).toBe(version);
  expect(await readFile(path.join(root, 'CHANGELOG.md'), 'utf8')).toContain(`## [${version}]`);
});
