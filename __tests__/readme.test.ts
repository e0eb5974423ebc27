import {
  access,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { PROXY_VARIABLES, SERVER_VARIABLES } from '../examples/server/variables.ts';
import { PROXY_ERRORS } from '../lib/errors.ts';
import { ANSWER_HEADERS } from '../lib/headers.ts';
import { HOOK_NAMES } from '../lib/hooks.ts';
import { optionsFromEnv } from '../lib/options-from-env.ts';
import { DEFAULTS, OPTION_NAMES, resolveOptions } from '../lib/options.ts';
import * as documents from './helpers/documents.ts';
import { ROOT, startProgram } from './helpers/program.ts';
import type { Env, Program } from './helpers/program.ts';
import { closeAfterTest, startScene } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';

const read = (file: string): Promise<string> => readFile(path.join(ROOT, file), 'utf8');

const pages = await documents.readPages();
const blocks = documents.blocksOf(pages);
const everything = pages.map(({ text }) => text).join('\n');
const manifest = JSON.parse(await read('package.json')) as { scripts: Record<string, string> };
const VARIABLES = { ...PROXY_VARIABLES, ...SERVER_VARIABLES };

const tableOf = (marker: string): string[][] => documents.tableOf(pages, marker);

/** The blocks of code in one language; the reference holds signatures, which no program can be. */
function blocksOf(language: string): string[] {
  const own = blocks.filter((block) => block.language === language && block.file !== 'docs/api.md');
  return own.map(({ text }) => text);
}

const code = (text: string): string => `\`${text}\``;

/** A default as it is written in TypeScript. */
function literal(value: string | number | boolean | readonly string[]): string {
  if (typeof value === 'string') return `'${value}'`;
  return typeof value === 'object' ? `[${value.map(literal).join(', ')}]` : String(value);
}

describe('the tables in the README', () => {
  test('tell of every option and its default', () => {
    const rows = tableOf('options');
    const told = rows.map(([name, fallback]) => [name, fallback]);
    const names = Object.keys(OPTION_NAMES);
    expect(told.map(([name]) => name)).toEqual(names.map(code));
    const defaults = Object.entries(DEFAULTS).map(([name, value]) => [
      code(name),
      code(literal(value)),
    ]);
    expect(told.filter(([, fallback]) => fallback?.startsWith('`'))).toEqual(defaults);
    for (const [, , meaning] of rows) expect(meaning).not.toBe('');
  });

  test('tell of every variable and its default, as --help does', () => {
    const told = tableOf('environment').map(([name, fallback]) => `${name} ${fallback}`);
    const known = Object.entries(VARIABLES).map(
      ([name, { fallback, shown }]) => `${code(name)} ${shown ?? code(fallback)}`,
    );
    expect(told.toSorted()).toEqual(known.toSorted());
  });

  test('tell of every header that the proxy adds', () => {
    const told = tableOf('headers').map(([name]) => name);
    expect(told).toEqual(Object.values(ANSWER_HEADERS).map(code));
  });

  test('tell of every error that a user may meet, with its status', async () => {
    const own = Object.entries(PROXY_ERRORS).map(([name, { status }]) => [
      String(status),
      code(name),
    ]);
    const files = await readdir(path.join(ROOT, 'examples/server'), { recursive: true });
    const sources = await Promise.all(
      files.filter((file) => file.endsWith('.ts')).map((file) => read(`examples/server/${file}`)),
    );
    const theServers = [...sources.join('').matchAll(/sendError\(\s*res,\s*(\d+),\s*'(\w+)'/g)].map(
      ([, status, name = '']) => [status, code(name)],
    );
    expect(theServers.length).toBeGreaterThan(2);
    const unique = new Set([...own, ...theServers].map((row) => row.join(' ')));
    const told = tableOf('errors').map(([status, name]) => `${status} ${name}`);
    expect(told.toSorted()).toEqual([...unique].toSorted());
  });

  test('name every hook', () => {
    for (const name of Object.keys(HOOK_NAMES))
      expect(everything).toMatch(new RegExp(`^    ${name}:`, 'm'));
  });
});

describe('the documentation in the code', () => {
  test('tells the defaults of the options as they are', async () => {
    const source = await read('lib/options.ts');
    const comments = source.matchAll(/\/\*\*((?:(?!\*\/).)*)\*\/\s+(\w+)\?:/gs);
    const told = new Map<string, string>();
    for (const [, comment = '', name = ''] of comments) {
      const [, fallback = ''] = /@defaultValue ((?:(?! \* @).)*)/s.exec(comment) ?? [];
      const text = fallback.replaceAll(/\s+\*?\s*/g, ' ').trim();
      told.set(name, text.replaceAll('`', '').replaceAll(/(?<=\d)_(?=\d)/g, ''));
    }
    for (const name of Object.keys(OPTION_NAMES))
      expect([name, told.get(name) ?? '']).not.toEqual([name, '']);
    for (const [name, value] of Object.entries(DEFAULTS)) {
      expect([name, told.get(name)]).toEqual([name, literal(value)]);
    }
    const { connectMs, firstByteMs, idleMs } = resolveOptions({});
    expect(told.get('connect')).toMatch(new RegExp(`^${connectMs}\\b`));
    expect([told.get('firstByte'), told.get('idle')]).toEqual([`${firstByteMs}`, `${idleMs}`]);
  });

  test('tells which variable is which option', async () => {
    const source = await read('lib/options-from-env.ts');
    const rows = [...source.matchAll(/^ \* \| `(\w+)` \| `(\w+)` \|/gm)];
    expect(rows.map(([, variable = '']) => variable).toSorted()).toEqual(
      Object.keys(PROXY_VARIABLES).toSorted(),
    );
    for (const [, variable = '', option] of rows) {
      const text = Object.entries(PROXY_VARIABLES).find(([name]) => name === variable)?.[1]
        .fallback;
      const options = optionsFromEnv({ [variable]: text === '' ? 'some-key' : text });
      expect([variable, ...Object.keys(options)]).toEqual([variable, option]);
    }
  });
});

/** The names under which the headings of a page can be linked to. */
function anchorsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}

describe('links', () => {
  test('lead to files and headings that are there', async () => {
    const files = [...pages.map(({ file }) => file), 'CHANGELOG.md', 'docs/llms.txt'];
    const links: (readonly [string, string, string])[] = [];
    for (const page of files) {
      // oxlint-disable-next-line no-await-in-loop -- a handful of files
      for (const [, link = ''] of (await read(page)).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
        const [file = '', anchor = ''] = link.split('#');
        links.push([link, file === '' ? page : path.join(path.dirname(page), file), anchor]);
      }
    }
    expect(links.length).toBeGreaterThan(6);
    for (const [link, target, anchor] of links) {
      // oxlint-disable-next-line no-await-in-loop -- rejects when it is not there
      const anchors = anchor === '' ? [''] : anchorsOf(await read(target));
      // oxlint-disable-next-line no-await-in-loop
      await access(path.join(ROOT, target));
      expect([link, anchors.includes(anchor)]).toEqual([link, true]);
    }
  });

  test('npm scripts that are named exist', () => {
    const named = [...everything.matchAll(/(?:`|^|&& )npm (?:run )?([\w:]+)/gm)].map(
      ([, name = '']) => name,
    );
    const scripts = named.filter((name) => !['ci', 'install'].includes(name));
    expect(scripts).toEqual(expect.arrayContaining(['start', 'test', 'check']));
    for (const name of scripts) expect(Object.keys(manifest.scripts)).toContain(name);
  });
});

/** What `npm start` runs when everything is built. */
const START = 'node dist/examples/server/main.js --demo=auto';
const PATIENCE_MS = 60_000;

/** Runs a line for a shell; its program is the child, and both of its streams are one. */
function startLine(line: string, env: Env = {}): Program {
  const command = line
    .replace(/\s+#.*$/, '')
    .replace('npm ci && ', '')
    .replace('npm start', START)
    .replace('npx venice-proxy', 'node dist/examples/server/main.js');
  return startProgram('sh', ['-c', `exec env ${command} 2>&1`], env);
}

/** What stays the same from run to run. */
const constant = (text: string): string => text.replaceAll(/\d+(\.\d+)?/g, 'N');

/** Rows end where a picture does, and what is joined again has lost its white space. */
const squeezed = (text: string): string => constant(text).replaceAll(/[\sN]+/g, '');

describe('what the README shows', () => {
  let demo: Program;
  let origin: string;
  let folder: string;

  beforeAll(async () => {
    demo = startLine('npm start', { PORT: '0' });
    const [, port] = await demo.printed(/http:\/\/localhost:(\d+)\/api\/v1/);
    origin = `http://127.0.0.1:${port}`;

    // An app that has installed the package.
    folder = await mkdtemp(path.join(tmpdir(), 'venice-proxy-readme-'));
    await mkdir(path.join(folder, 'node_modules'));
    const installed = ['express', 'openai', 'prom-client', 'redis', '@opentelemetry', '@types'].map(
      (name) => [name, `node_modules/${name}`],
    );
    for (const [name = '', place = ''] of [['venice-proxy', '.'], ...installed]) {
      // oxlint-disable-next-line no-await-in-loop -- a handful of links
      await symlink(path.join(ROOT, place), path.join(folder, 'node_modules', name));
    }
  }, PATIENCE_MS);

  afterAll(async () => {
    demo.kill('SIGTERM');
    await demo.ended;
    await rm(folder, { recursive: true, force: true });
  });

  test(
    'is what the demo shows',
    async () => {
      await demo.printed(/Now it is yours/);
      const shown = constant(demo.output);
      // Those of the page of troubles are of other scenes; a test of its own plays them.
      const transcripts = blocks
        .filter(({ file, language }) => language === 'console' && !file.includes('troubleshooting'))
        .map(({ text }) => text);
      expect(transcripts.join('')).toContain('venice-proxy:forward');
      for (const transcript of transcripts) expect(shown).toContain(constant(transcript));
    },
    PATIENCE_MS,
  );

  test(
    'in its picture is what the demo shows',
    async () => {
      await demo.printed(/Now it is yours/);
      // Drawn by `npm run docs:demo`, which is to be run when this fails.
      const picture = await read('docs/demo.svg');
      const drawn = [...picture.matchAll(/<text x[^>]*>([^<]*)<\/text>/g)].map(([, text]) => text);
      const text = drawn.join('').replaceAll('&lt;', '<').replaceAll('&gt;', '>');
      const [show = ''] = demo.output.split('Now it is yours');
      expect(squeezed(text)).toBe(squeezed(`$ npx venice-proxy --demo ${show}`));
    },
    PATIENCE_MS,
  );

  test(
    'in TypeScript passes the type check',
    async () => {
      const snippets = blocksOf('ts');
      expect(snippets.length).toBeGreaterThan(3);
      await Promise.all(
        snippets.map((snippet, place) => writeFile(path.join(folder, `${place}.mts`), snippet)),
      );
      const options = { noEmit: true, rootDir: '/', noUnusedLocals: false, skipLibCheck: true };
      const config = {
        extends: path.join(ROOT, 'tsconfig.json'),
        compilerOptions: options,
        include: ['*.mts'],
      };
      await writeFile(path.join(folder, 'tsconfig.json'), JSON.stringify(config));
      const tsc = startProgram(process.execPath, ['node_modules/typescript/bin/tsc', '-p', folder]);
      expect([await tsc.ended, tsc.output]).toEqual([0, '']);
    },
    PATIENCE_MS,
  );

  test(
    'of the OpenAI SDK runs',
    async () => {
      await demo.printed(/Now it is yours/);
      const snippet = blocksOf('ts').find((block) => block.includes("from 'openai'")) ?? '';
      const file = path.join(folder, 'sdk.mjs');
      await writeFile(file, snippet.replace('http://localhost:9000', origin));
      const program = startProgram(process.execPath, [file]);
      expect(await program.ended).toBe(0);
      expect(program.output).toBe('The stand-in for Venice heard: Why is the sky blue?');
    },
    PATIENCE_MS,
  );

  test('of an app of your own runs', async () => {
    const snippet = blocksOf('ts').find((block) => block.includes('createHealthCheck')) ?? '';
    const file = path.join(folder, 'app.mjs');
    const listening = 'app.listen(0, function () { console.log(this.address().port); });';
    await writeFile(file, snippet.replace('app.listen(3000);', listening));
    const program = startProgram(process.execPath, [file]);
    closeAfterTest(() => {
      program.kill('SIGKILL');
      return program.ended;
    });
    const [port] = await program.printed(/\d+/);
    const reply = await send(`http://127.0.0.1:${port}/health`);
    expect(JSON.parse(reply.text)).toMatchObject({ status: 'healthy', target: DEFAULTS.target });
  });

  test('to gain speed is what the bundled server does', async () => {
    const snippet = blocksOf('ts').find((block) => block.includes('AppRequest')) ?? '';
    const source = await read('examples/server/http-server.ts');
    const lines = snippet.split('\n').filter((line) => /^(class|Object)\b/.test(line));
    expect(lines).toHaveLength(5);
    for (const line of lines) expect(source).toContain(line);
  });
});

/** How the blocks of each kind are tried; what stands here only says why they are not. */
const TRIED: Readonly<Record<string, string>> = {
  'README.md ts': 'passes the type check; some run',
  'README.md sh': 'runs',
  'README.md console': 'is what the demo shows',
  'docs/api.md ts': 'is made from the types',
  'docs/clients.md js': 'runs, in clients-page.test.ts',
  'docs/clients.md json': 'are settings of other programs',
  'docs/clients.md yaml': 'are settings of other programs',
  'docs/clients.md python': 'needs Python and its SDK, which are not installed here',
  'docs/clients.md sh': 'runs',
  'docs/deployment.md nginx': 'fits the defaults, in recipes.test.ts',
  'docs/deployment.md sh': 'runs, but for what changes the machine',
  'docs/development.md sh': 'runs',
  'docs/express.md ts': 'passes the type check',
  'docs/observing.md ts': 'passes the type check',
  'docs/rate-limits.md ts': 'passes the type check',
  'docs/rate-limits.md console': 'is what the demo shows',
  'docs/troubleshooting.md console': 'is what the server says, in troubleshooting.test.ts',
};

test('each documented snippet is tried, or it is known why not', () => {
  const kinds = new Set(blocks.map(({ file, language }) => `${file} ${language}`));
  expect([...kinds].toSorted()).toEqual(Object.keys(TRIED).toSorted());
});

describe('a line for the shell', () => {
  const lines = blocksOf('sh').flatMap((block) => block.trim().split('\n'));
  // What changes the machine; the files that it names are read in recipes.test.ts.
  const machine = lines.filter((line) => /^(npm install|install|cp|systemctl|kubectl) /.test(line));
  const docker = lines.filter((line) => line.startsWith('docker build '));
  const compose = lines.filter((line) => line === 'docker compose up');
  const envFile = lines.filter((line) => line.startsWith('node --env-file='));
  const help = lines.filter((line) => line.includes('--help'));
  const curl = lines.filter((line) => line.startsWith('curl '));
  const standIn = lines.filter((line) => line.startsWith('node dist/examples/stand-in'));
  const check = lines.filter((line) => line.includes('--check'));
  const tried = [help, curl, standIn, check, envFile, docker, compose, machine];
  const others = new Set(tried.flat());
  const servers = lines.filter((line) => !others.has(line));

  test('that starts the server begins with the build', () => {
    expect(manifest.scripts['start']).toBe(`npm run build && ${START}`);
    expect(lines).toContain('npm ci && npm start');
  });

  test.each(servers)('starts a server that serves and stops: %s', async (line) => {
    const program = startLine(line, { PORT: '0' });
    closeAfterTest(() => {
      program.kill('SIGKILL');
      return program.ended;
    });
    // In the log, or in the words of the demo; not the target's in the configuration.
    const listens = /(?:"url":"|url=|\n {4})http:\/\/(?:localhost|127\.0\.0\.1):(\d+)\/api\/v1/;
    const [, port] = await program.printed(listens);
    const reply = await send(`http://127.0.0.1:${port}/health`);
    const isElsewhere = /--demo|^npm ci && npm start$|OPENAI_BASE_URL/.test(line);
    const { status, target } = JSON.parse(reply.text) as { status: string; target: string };
    expect(status).toBe('healthy');
    expect(target === DEFAULTS.target).toBe(!isElsewhere);
    program.kill('SIGTERM');
    expect(await program.ended).toBe(0);
  });

  test.each(standIn)('starts the stand-in that the next line wants: %s', async (line) => {
    const [command = '', port = ''] = line.split(' --port ');
    expect(lines).toContain(`OPENAI_BASE_URL=http://127.0.0.1:${port}/api/v1 npx venice-proxy`);
    const program = startLine(`${command} --port 0`);
    closeAfterTest(() => {
      program.kill('SIGKILL');
      return program.ended;
    });
    const [url] = await program.printed(/http:\/\/127\.0\.0\.1:\d+\/api\/v1/);
    expect((await send(`${url}/models`)).status).toBe(200);
  });

  test.each(curl)('gets an answer: %s', async (line) => {
    const scene = await startScene();
    const url = /http:\/\/localhost:9000(\S+)/.exec(line)?.[1] ?? '';
    const headers = [...line.matchAll(/-H '([^:]+): ([^']+)'/g)].map(([, name, value]) => [
      name,
      value,
    ]);
    const body = /-d '([^']+)'/.exec(line)?.[1];
    const reply = await send(scene.origin + url, { headers: Object.fromEntries(headers), body });
    expect([reply.status, reply.text]).toEqual([200, expect.stringContaining('chat.completion')]);
  });

  test.each(check)('says whether all is well: %s', async (line) => {
    const { target } = await startScene();
    const program = startLine(line, { OPENAI_BASE_URL: target, PORT: '0' });
    expect(await program.ended).toBe(0);
    expect(program.output).toContain(target);
  });

  test.each(envFile)('starts a server with the variables of a file: %s', async (line) => {
    const file = path.join(await mkdtemp(path.join(tmpdir(), 'venice-proxy-env-')), '.env');
    closeAfterTest(() => rm(path.dirname(file), { recursive: true, force: true }));
    await writeFile(file, 'PORT=0\nHOST=127.0.0.1\nPROXY_PATH_PREFIX=/from/a/file\n');
    expect(lines).toContain('cp .env.example .env');
    const program = startLine(line.replace('=.env', `=${file}`));
    closeAfterTest(() => {
      program.kill('SIGKILL');
      return program.ended;
    });
    expect(await program.printed(/http:\/\/127\.0\.0\.1:\d+\/from\/a\/file/)).not.toBeNull();
  });

  test.each(help)('tells every variable: %s', async (line) => {
    const program = startLine(line);
    expect(await program.ended).toBe(0);
    for (const name of Object.keys(VARIABLES)) expect(program.output).toContain(`\n  ${name} `);
  });

  test.each(docker)('publishes the port that the image serves: %s', async (line) => {
    const port = SERVER_VARIABLES.PORT.fallback;
    expect(line).toContain(`-p 127.0.0.1:${port}:${port} `);
    expect(await read('Dockerfile')).toContain(`EXPOSE ${port}\n`);
    expect(await read('compose.yaml')).toContain(`127.0.0.1:${port}:${port}`);
  });
});
