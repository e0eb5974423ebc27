import { describe, expect, test } from '@jest/globals';
import { parseCommand } from '../examples/server/arguments.ts';
import { helpText } from '../examples/server/help.ts';
import { isLoopback, settingsFromEnv } from '../examples/server/settings.ts';
import type { ServerSettings } from '../examples/server/settings.ts';
import { PROXY_VARIABLES, SERVER_VARIABLES } from '../examples/server/variables.ts';
import type { Env } from '../examples/server/variables.ts';
import { optionsFromEnv } from '../lib/options-from-env.ts';
import { resolveOptions } from '../lib/options.ts';

const ALL_VARIABLES = { ...PROXY_VARIABLES, ...SERVER_VARIABLES };

function settings(env: Env, lendsKey = false, isTerminal = false): ServerSettings {
  return settingsFromEnv(env, { lendsKey, isTerminal });
}

const DEFAULTS: ServerSettings = {
  host: '0.0.0.0',
  port: 9_000,
  pathPrefix: '/api/v1',
  entryKeys: [],
  corsOrigins: [],
  logFormat: 'json',
  debug: '',
  shutdownGraceMs: 30_000,
  maxConnections: 10_000,
  headersTimeoutMs: 60_000,
  requestTimeoutMs: 1_800_000,
  guardsLentKey: false,
  statusAccess: 'nobody',
  hasMetrics: true,
};

describe('settingsFromEnv', () => {
  test('an empty environment gives the defaults', () => {
    expect(settings({})).toEqual(DEFAULTS);
  });

  test('empty variables are as if unset', () => {
    const empty = Object.fromEntries(Object.keys(SERVER_VARIABLES).map((name) => [name, ' ']));
    expect(settings(empty)).toEqual(DEFAULTS);
  });

  test('a terminal gets pretty log lines unless it is told otherwise', () => {
    expect(settings({}, false, true).logFormat).toBe('pretty');
    expect(settings({ LOG_FORMAT: 'json' }, false, true).logFormat).toBe('json');
    expect(settings({ LOG_FORMAT: 'pretty' }, false, false).logFormat).toBe('pretty');
  });

  const accepted: readonly (readonly [keyof typeof SERVER_VARIABLES, string, object])[] = [
    ['HOST', '127.0.0.1', { host: '127.0.0.1', statusAccess: 'this machine' }],
    ['HOST', '::', { host: '::' }],
    ['HOST', 'proxy.example', { host: 'proxy.example' }],
    ['PORT', '0', { port: 0 }],
    ['PORT', '65535', { port: 65_535 }],
    ['PROXY_PATH_PREFIX', '/', { pathPrefix: '/' }],
    ['PROXY_PATH_PREFIX', '/v1/', { pathPrefix: '/v1' }],
    ['PROXY_PATH_PREFIX', '/a-b/c_d.e~f', { pathPrefix: '/a-b/c_d.e~f' }],
    ['PROXY_API_KEYS', 'one', { entryKeys: ['one'], statusAccess: 'key' }],
    ['PROXY_API_KEYS', ' one , two ', { entryKeys: ['one', 'two'], statusAccess: 'key' }],
    ['CORS_ORIGIN', '*', { corsOrigins: ['*'] }],
    [
      'CORS_ORIGIN',
      'https://app.example, http://localhost:3000, app://obsidian.md',
      { corsOrigins: ['https://app.example', 'http://localhost:3000', 'app://obsidian.md'] },
    ],
    ['DEBUG', 'express:*', { debug: 'express:*' }],
    ['SHUTDOWN_GRACE', '0', { shutdownGraceMs: 0 }],
    ['SHUTDOWN_GRACE', '2.5', { shutdownGraceMs: 2_500 }],
    ['MAX_CONNECTIONS', '1', { maxConnections: 1 }],
    ['HEADERS_TIMEOUT', '0.5', { headersTimeoutMs: 500 }],
    ['REQUEST_TIMEOUT', '60', { requestTimeoutMs: 60_000 }],
    ['ALLOW_OPEN_KEY', '0', {}],
    ['STATUS_PAGE', '0', {}],
    ['METRICS', '0', { hasMetrics: false }],
    ['STATUS_PAGE', '1', { statusAccess: 'everyone' }],
  ];
  test.each(accepted)('%s=%s is understood', (variable, text, expected) => {
    expect(settings({ [variable]: text })).toEqual({ ...DEFAULTS, ...expected });
  });

  const refused: readonly (readonly [keyof typeof SERVER_VARIABLES, string, RegExp])[] = [
    ['HOST', 'http://0.0.0.0', /an IP address or a host name/],
    ['HOST', 'two words', /an IP address or a host name/],
    ['PORT', 'abc', /a whole number from 0 to 65535/],
    ['PORT', '65536', /a whole number from 0 to 65535/],
    ['PORT', '-1', /a whole number from 0 to 65535/],
    ['PORT', '80.5', /a whole number from 0 to 65535/],
    ['PROXY_PATH_PREFIX', 'api/v1', /a path of letters/],
    ['PROXY_PATH_PREFIX', '/api/:version', /a path of letters/],
    ['PROXY_PATH_PREFIX', '/api//v1', /a path of letters/],
    ['PROXY_PATH_PREFIX', '/api/../v1', /a path of letters/],
    ['PROXY_PATH_PREFIX', '/a%20b', /a path of letters/],
    ['PROXY_PATH_PREFIX', '/health', /not \/health, \/ready, \/status or/],
    ['PROXY_PATH_PREFIX', '/Ready/', /not \/health, \/ready, \/status or/],
    ['PROXY_PATH_PREFIX', '/status', /not \/health, \/ready, \/status or/],
    ['CORS_ORIGIN', 'app.example', /origins such as/],
    ['CORS_ORIGIN', 'https://app.example/', /origins such as/],
    ['CORS_ORIGIN', 'https://*.example', /origins such as/],
    ['CORS_ORIGIN', '*,https://app.example', /origins such as/],
    ['CORS_ORIGIN', 'https://app.example,', /origins such as/],
    ['LOG_FORMAT', 'xml', /pretty or json/],
    ['SHUTDOWN_GRACE', '-1', /seconds, from 0/],
    ['SHUTDOWN_GRACE', '30s', /seconds, from 0/],
    ['SHUTDOWN_GRACE', '9999999', /seconds, from 0/],
    ['MAX_CONNECTIONS', '0', /a whole number from 1/],
    ['MAX_CONNECTIONS', '1e3', /a whole number from 1/],
    ['HEADERS_TIMEOUT', '0', /seconds above 0/],
    ['REQUEST_TIMEOUT', '-1', /seconds, from 0/],
    ['REQUEST_TIMEOUT', '59', /no less than `HEADERS_TIMEOUT` \(60\)/],
    ['ALLOW_OPEN_KEY', 'yes', /1 or 0/],
    ['STATUS_PAGE', 'on', /1 or 0/],
    ['METRICS', 'on', /1 or 0/],
  ];
  test.each(refused)('%s=%s is refused by name', (variable, text, allowed) => {
    const read = (): ServerSettings => settings({ [variable]: text });
    expect(read).toThrow(TypeError);
    expect(read).toThrow(`Expected \`${variable}\` to be`);
    expect(read).toThrow(allowed);
    expect(read).toThrow(`, got ${JSON.stringify(text)}`);
  });

  test.each(['good-key,two words', 'good-key,', ',', 'schlüssel'])(
    'PROXY_API_KEYS=%s is refused and not repeated',
    (text) => {
      expect(() => settings({ PROXY_API_KEYS: text })).toThrow(
        new TypeError(
          'Expected `PROXY_API_KEYS` to be keys of visible ASCII characters without white space, ' +
            `separated by commas, got a string of ${text.length} characters`,
        ),
      );
    },
  );
});

describe('a key that is lent', () => {
  test.each(['0.0.0.0', '::', '10.0.0.1', 'proxy.example', '128.0.0.1'])(
    'is not lent to whoever reaches %s',
    (HOST) => {
      expect(() => settings({ HOST }, true)).toThrow(
        `VENICE_API_KEY without PROXY_API_KEYS would lend your key to whoever reaches ${HOST}`,
      );
    },
  );

  test.each(['127.0.0.1', '127.1.2.3', '::1', '::ffff:127.0.0.1', 'localhost', 'LOCALHOST'])(
    'is lent on %s',
    (HOST) => {
      expect(settings({ HOST }, true).host).toBe(HOST);
      expect(isLoopback(HOST)).toBe(true);
    },
  );

  test('is lent to who has an entry key, and to everyone where that is allowed', () => {
    expect(settings({ PROXY_API_KEYS: 'one' }, true).entryKeys).toEqual(['one']);
    expect(settings({ ALLOW_OPEN_KEY: '1' }, true).host).toBe('0.0.0.0');
    expect(() => settings({ ALLOW_OPEN_KEY: '0' }, true)).toThrow('ALLOW_OPEN_KEY=1');
  });
});

/** The variables that a function reads. */
function readsOf(read: (env: Env) => unknown): string[] {
  const names = new Set<string>();
  const env = new Proxy<Env>({}, { get: (_, name) => void names.add(String(name)) });
  read(env);
  return [...names].toSorted();
}

describe('--help', () => {
  test('tells of every variable that is read, and of no other', () => {
    expect(readsOf(optionsFromEnv)).toEqual(Object.keys(PROXY_VARIABLES).toSorted());
    expect(readsOf(settings)).toEqual(Object.keys(SERVER_VARIABLES).toSorted());
    const told = [...helpText().matchAll(/^ {2}([A-Z][A-Z_]+) +\S/gm)].map(([, name = '']) => name);
    expect(told.toSorted()).toEqual(Object.keys(ALL_VARIABLES).toSorted());
  });

  test('the defaults that it tells are those of the code', () => {
    const told = Object.fromEntries(
      Object.entries(ALL_VARIABLES).map(([name, { fallback }]) => [name, fallback]),
    );
    // Of the server's own: Ollama's clients look for it where they are.
    expect(resolveOptions(optionsFromEnv(told))).toEqual(resolveOptions({ ollama: true }));
    expect(settings(told)).toEqual(settings({}));
    for (const [name, { fallback, shown }] of Object.entries(ALL_VARIABLES)) {
      const line = new RegExp(`^  ${name} [^[]*\\[(.*)\\]$`, 'm').exec(helpText());
      expect([name, line?.[1]]).toEqual([name, shown ?? fallback]);
    }
  });

  test('it fits a terminal of 80 columns', () => {
    for (const line of helpText().split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });
});

describe('the command line', () => {
  const key = { VENICE_API_KEY: 'key' };
  const url = { OPENAI_BASE_URL: 'http://127.0.0.1:1' };
  const rows: readonly (readonly [string, Env, string])[] = [
    ['', {}, 'serve'],
    ['--demo', {}, 'demo'],
    ['--demo', key, 'demo'],
    ['--demo=auto', {}, 'demo'],
    ['--demo=auto', { VENICE_API_KEY: ' ', OPENAI_BASE_URL: '' }, 'demo'],
    ['--help', {}, 'help'],
    ['-h', {}, 'help'],
    ['--demo --help', {}, 'help'],
    ['--help --demo', {}, 'help'],
    ['--version', {}, 'version'],
    ['--check', key, 'check'],
    ['-v', {}, 'version'],
  ];
  test.each(rows)('%j with %j means %s', (line, env, kind) => {
    expect(parseCommand(line.split(' ').filter(Boolean), env)).toEqual({ kind });
  });

  test.each([key, url])('"--demo=auto" serves as usual with %j, and knows why', (env) => {
    const [becauseOf] = Object.keys(env);
    expect(parseCommand(['--demo=auto'], env)).toEqual({ kind: 'serve', becauseOf });
  });

  test.each([
    ['--port', '--port'],
    ['--demo=always', '--demo=always'],
    ['--help=yes', '--help=yes'],
    ['serve', 'serve'],
    ['-x', '-x'],
    ['--demo 9000', '9000'],
    ['--', '--'],
    ['--no-demo', '--no-demo'],
  ])('%j is not understood', (line, argument) => {
    expect(parseCommand(line.split(' '), {})).toEqual({ kind: 'unknown', argument });
  });
});
