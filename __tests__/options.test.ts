import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { describe, expect, test } from '@jest/globals';
import { DEFAULTS, resolveOptions } from '../lib/options.ts';
import type { Config, VeniceProxyOptions } from '../lib/options.ts';

const LONGEST = 2_147_483_647;
const nothing = (): undefined => undefined;

/** As from JavaScript, where no type stands in the way. */
function resolve(options: unknown): Config {
  return resolveOptions(options as VeniceProxyOptions);
}

/** What is said about options that are refused. */
function complaint(options: unknown): string {
  try {
    resolve(options);
  } catch (error) {
    if (error instanceof TypeError) return error.message;
    throw error;
  }
  throw new Error('The options were accepted.');
}

interface Row {
  readonly option: keyof VeniceProxyOptions;
  readonly key: keyof Config;
  readonly byDefault: unknown;
  readonly allowed: string;
  readonly accepted: readonly (readonly [value: unknown, resolved: unknown])[];
  readonly refused: readonly (readonly [value: unknown, shown: string])[];
}

const NO_NUMBERS: Row['refused'] = [
  ['5', '"5"'],
  [-1, '-1'],
  [Number.NaN, 'NaN'],
  [Number.POSITIVE_INFINITY, 'Infinity'],
  [true, 'true'],
  [[5], 'an array'],
  [{ ms: 5 }, 'an object'],
  [(): number => 5, 'a function'],
];

const WAIT: Pick<Row, 'allowed' | 'accepted' | 'refused'> = {
  allowed: `milliseconds, from 0 to ${LONGEST}`,
  accepted: [
    [0, 0],
    [0.5, 0.5],
    [1_500, 1_500],
    [LONGEST, LONGEST],
  ],
  refused: [...NO_NUMBERS, [LONGEST + 1, String(LONGEST + 1)]],
};

const COUNT: Pick<Row, 'allowed' | 'accepted' | 'refused'> = {
  allowed: 'a whole number, 0 or more',
  accepted: [
    [0, 0],
    [1, 1],
    [100, 100],
  ],
  refused: [...NO_NUMBERS, [1.5, '1.5']],
};

const FLAG: Pick<Row, 'allowed' | 'accepted' | 'refused'> = {
  allowed: 'true or false',
  accepted: [
    [true, true],
    [false, false],
  ],
  refused: [
    ['true', '"true"'],
    [1, '1'],
    [0, '0'],
    [{}, 'an object'],
  ],
};

const NAMES: Pick<Row, 'allowed' | 'accepted' | 'refused'> = {
  allowed: 'an array of names',
  accepted: [
    [[], new Set()],
    [['user'], new Set(['user'])],
    [['a', 'b', 'a'], new Set(['a', 'b'])],
  ],
  refused: [
    ['logprobs', '"logprobs"'],
    [[''], 'an array'],
    [['a', 1], 'an array'],
    [new Set(['a']), 'an object'],
    [false, 'false'],
  ],
};

const ROWS: readonly Row[] = [
  { option: 'retries', key: 'retries', byDefault: 5, ...COUNT },
  { option: 'baseRetryDelay', key: 'baseRetryDelayMs', byDefault: 1_000, ...WAIT },
  { option: 'rateLimitWait', key: 'rateLimitWaitMs', byDefault: 30_000, ...WAIT },
  { option: 'maxWait', key: 'maxWaitMs', byDefault: 300_000, ...WAIT },
  { option: 'rateLimit', key: 'rateLimit', byDefault: true, ...FLAG },
  { option: 'maxQueue', key: 'maxQueue', byDefault: 1_000, ...COUNT },
  { option: 'heartbeat', key: 'heartbeatMs', byDefault: 15_000, ...WAIT },
  {
    option: 'storeTimeout',
    key: 'storeTimeoutMs',
    byDefault: 100,
    allowed: `milliseconds, more than 0 and at most ${LONGEST}`,
    accepted: [
      [1, 1],
      [0.5, 0.5],
      [LONGEST, LONGEST],
    ],
    refused: [...NO_NUMBERS, [0, '0'], [LONGEST + 1, String(LONGEST + 1)]],
  },
  { option: 'learnParams', key: 'learnParams', byDefault: true, ...FLAG },
  { option: 'normalizeErrors', key: 'normalizeErrors', byDefault: false, ...FLAG },
  { option: 'ollama', key: 'ollama', byDefault: false, ...FLAG },
  { option: 'forwardClientAddress', key: 'forwardClientAddress', byDefault: false, ...FLAG },
  {
    option: 'dropParams',
    key: 'dropParams',
    byDefault: new Set(['prompt_cache_key', 'logprobs', 'top_logprobs']),
    ...NAMES,
  },
  { option: 'learnableParams', key: 'learnableParams', byDefault: new Set(), ...NAMES },
  {
    option: 'bodyLimit',
    key: 'bodyLimitBytes',
    byDefault: 50 * 1024 ** 2,
    allowed: "a number of bytes, 1 or more, or a string such as '50mb'",
    accepted: [
      [1, 1],
      [1_000, 1_000],
      ['1000', 1_000],
      ['1b', 1],
      ['1kb', 1_024],
      ['1.5kb', 1_536],
      ['50mb', 50 * 1024 ** 2],
      [' 2 GB ', 2 * 1024 ** 3],
    ],
    refused: [
      [0, '0'],
      [-1, '-1'],
      [1.5, '1.5'],
      [Number.NaN, 'NaN'],
      [Number.POSITIVE_INFINITY, 'Infinity'],
      ['', '""'],
      ['0', '"0"'],
      ['-1mb', '"-1mb"'],
      ['50 megabytes', '"50 megabytes"'],
      ['1tb', '"1tb"'],
      ['mb', '"mb"'],
      ['1,5mb', '"1,5mb"'],
      ['1e3', '"1e3"'],
      [{}, 'an object'],
    ],
  },
];

describe.each(ROWS)('$option', ({ option, key, byDefault, allowed, accepted, refused }) => {
  test('has a default', () => {
    expect(resolve({})[key]).toEqual(byDefault);
    expect(resolve({ [option]: undefined })[key]).toEqual(byDefault);
  });

  test.each(accepted)('may be %j', (value, resolved) => {
    expect(resolve({ [option]: value })[key]).toEqual(resolved);
  });

  test.each(refused)('may not be %p, and the complaint says what may', (value, shown) => {
    expect(complaint({ [option]: value })).toBe(
      `Expected \`${option}\` to be ${allowed}, got ${shown}`,
    );
  });
});

describe('target', () => {
  test('is Venice by default', () => {
    const { target, basePath } = resolve({});
    expect(target.href).toBe('https://api.venice.ai/api/v1');
    expect(basePath).toBe('/api/v1');
  });

  test.each([
    ['http://127.0.0.1:8080', 'http://127.0.0.1:8080/', ''],
    ['http://127.0.0.1:8080/', 'http://127.0.0.1:8080/', ''],
    ['https://host/v1/', 'https://host/v1/', '/v1'],
    ['https://host/v1//', 'https://host/v1//', '/v1'],
    ['HTTPS://Host:443/a%20b', 'https://host/a%20b', '/a%20b'],
    ['http://[::1]:9/v1', 'http://[::1]:9/v1', '/v1'],
  ])('may be %s', (given, href, basePath) => {
    expect(resolve({ target: given })).toMatchObject({ basePath, target: { href } });
    expect(resolve({ target: new URL(given) })).toMatchObject({ basePath, target: { href } });
  });

  test('may be changed by its owner afterwards, and nothing comes of it', () => {
    const given = new URL('http://host/v1');
    const { target } = resolve({ target: given });
    given.host = 'elsewhere';
    expect(target.href).toBe('http://host/v1');
  });

  test.each([
    ['api.venice.ai/api/v1', '"api.venice.ai/api/v1"'],
    ['/api/v1', '"/api/v1"'],
    ['', '""'],
    ['http://', '"http://"'],
    ['ftp://host/v1', '"ftp://host/v1"'],
    ['localhost:9000', '"localhost:9000"'],
    ['http://host/v1?', '"http://host/v1?"'],
    ['http://host/v1?key=secret', '"http://host/v1?***"'],
    ['http://host/v1#x', '"http://host/v1#x"'],
    [9000, '9000'],
    [{}, 'an object'],
    [new URL('file:///etc/passwd'), '"file:///etc/passwd"'],
  ])('may not be %p, and the complaint says what may', (target, shown) => {
    expect(complaint({ target })).toBe(
      'Expected `target` to be an absolute http or https URL without credentials, query or ' +
        `fragment, such as 'https://api.venice.ai/api/v1', got ${shown}`,
    );
  });

  test.each([
    'https://user:secret@host/v1',
    'https://secret@host/v1',
    'https://:secret@host/v1?x',
    'ftp://user:secret@host/v1',
    'https://user:secret@host:99999/v1',
    'https://user:secret@ho st/v1',
    'user:secret@host/v1',
    'https//user:secret@host/v1',
  ])('with credentials is refused without repeating them: %s', (target) => {
    const said = complaint({ target });
    expect(said).toContain('without credentials');
    expect(said).not.toContain('secret');
  });

  test('with credentials is shown without them', () => {
    const said = complaint({ target: 'https://user:secret@host:8443/v1?x' });
    expect(said).toMatch(/, got "https:\/\/\*\*\*@host:8443\/v1\?\*\*\*"$/);
  });
});

describe('timeout', () => {
  type Resolved = readonly [connectMs: number, firstByteMs: number, idleMs: number];

  test.each<[unknown, Resolved]>([
    [undefined, [10_000, 300_000, 300_000]],
    [60_000, [10_000, 60_000, 60_000]],
    [10_000, [10_000, 10_000, 10_000]],
    [5_000, [5_000, 5_000, 5_000]],
    [0.5, [0.5, 0.5, 0.5]],
    [LONGEST, [10_000, LONGEST, LONGEST]],
    [{}, [10_000, 300_000, 300_000]],
    [{ connect: 20_000 }, [20_000, 300_000, 300_000]],
    [{ firstByte: 2_000 }, [2_000, 2_000, 300_000]],
    [{ firstByte: 60_000 }, [10_000, 60_000, 300_000]],
    [{ idle: 7 }, [10_000, 300_000, 7]],
    [{ connect: 1, firstByte: 2, idle: 3 }, [1, 2, 3]],
    [{ connect: undefined, firstByte: undefined, idle: undefined }, [10_000, 300_000, 300_000]],
  ])('of %j sets all three phases', (timeout, [connectMs, firstByteMs, idleMs]) => {
    expect(resolve({ timeout })).toMatchObject({ connectMs, firstByteMs, idleMs });
  });

  const allowed = `milliseconds, more than 0 and at most ${LONGEST}`;

  test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY, LONGEST + 1])(
    'may not be %d, in any phase',
    (value) => {
      expect(complaint({ timeout: value })).toBe(
        `Expected \`timeout\` to be ${allowed}, got ${value}`,
      );
      for (const phase of ['connect', 'firstByte', 'idle']) {
        expect(complaint({ timeout: { [phase]: value } })).toBe(
          `Expected \`timeout.${phase}\` to be ${allowed}, got ${value}`,
        );
      }
    },
  );

  test.each([
    ['5', '"5"'],
    [true, 'true'],
    [(): number => 5, 'a function'],
  ])('may not be %p', (timeout, shown) => {
    expect(complaint({ timeout })).toBe(
      `Expected \`timeout\` to be milliseconds or { connect, firstByte, idle }, got ${shown}`,
    );
  });

  test('has phases that are numbers', () => {
    expect(complaint({ timeout: { idle: '5' } })).toBe(
      `Expected \`timeout.idle\` to be ${allowed}, got "5"`,
    );
  });
});

describe('store', () => {
  test('is none by default', () => {
    expect(resolve({}).store).toBeUndefined();
  });

  test('is whatever takes a step', () => {
    const store = { step: nothing };
    expect(resolve({ store }).store).toBe(store);
  });

  test.each([
    ['redis://host', '"redis://host"'],
    [{}, 'an object'],
    [{ step: true }, 'an object'],
    [nothing, 'a function'],
    [null, 'null'],
  ])('may not be %p', (store, shown) => {
    expect(complaint({ store })).toBe(
      `Expected \`store\` to be a store such as redisStore(…) of venice-proxy/redis, got ${shown}`,
    );
  });
});

describe('models', () => {
  test('are names, each with another one; none are as if unset', () => {
    expect(resolve({ models: { a: 'b', c: 'd:e=f' } }).models).toEqual(
      new Map([
        ['a', 'b'],
        ['c', 'd:e=f'],
      ]),
    );
    expect(resolve({ models: {} }).models).toBeUndefined();
  });

  test.each([
    [['a'], '`models` to be an object of names of models', 'an array'],
    [{ a: '' }, '`models["a"]` to be the name of a model', '""'],
    [{ a: 1 }, '`models["a"]` to be the name of a model', '1'],
    [{ '': 'b' }, '`models[""]` to be the name of a model', '"b"'],
  ])('are refused as %j', (models, allowed, shown) => {
    expect(complaint({ models })).toContain(`Expected ${allowed}`);
    expect(complaint({ models })).toContain(`got ${shown}`);
  });
});

describe('defaults', () => {
  test('are members of bodies, by the name of a model; none are as if unset', () => {
    const defaults = {
      '*': { temperature: 0.7, stop: null },
      a: { venice_parameters: { b: [1] } },
    };
    expect(resolve({ defaults }).defaults).toEqual(
      new Map<string, object>(Object.entries(defaults)),
    );
    expect(resolve({ defaults: {} }).defaults).toBeUndefined();
  });

  test.each([
    [[1], '`defaults` to be an object of objects', 'an array'],
    [{ a: 1 }, '`defaults["a"]` to be an object of parameters', '1'],
    [{ '': {} }, '`defaults[""]` to be an object of parameters', 'an object'],
    [{ a: { b: undefined } }, '`defaults["a"]["b"]` to be JSON', 'undefined'],
    [{ a: { b: 1n } }, '`defaults["a"]["b"]` to be JSON', '1'],
  ])('are refused where they are none: %#', (defaults, allowed, shown) => {
    expect(complaint({ defaults })).toContain(`Expected ${allowed}`);
    expect(complaint({ defaults })).toContain(`got ${shown}`);
  });
});

describe('fallbacks', () => {
  test('are lists of names, by the name of a model; none are as if unset', () => {
    expect(resolve({ fallbacks: { a: ['b', 'c'] } }).fallbacks).toEqual(
      new Map([['a', ['b', 'c']]]),
    );
    expect(resolve({ fallbacks: {} }).fallbacks).toBeUndefined();
  });

  test.each([
    ['a', '`fallbacks` to be an object of lists of models', '"a"'],
    [{ a: 'b' }, '`fallbacks["a"]` to be an array of names of models', '"b"'],
    [{ a: [] }, '`fallbacks["a"]` to be an array of names of models', 'an array'],
    [{ a: ['b', ''] }, '`fallbacks["a"]` to be an array of names of models', 'an array'],
  ])('are refused as %j', (fallbacks, allowed, shown) => {
    expect(complaint({ fallbacks })).toContain(`Expected ${allowed}`);
    expect(complaint({ fallbacks })).toContain(`got ${shown}`);
  });
});

describe('functions that rewrite', () => {
  test.each(['rewriteRequest', 'rewriteAnswer', 'rewriteEvent'] as const)(
    '%s is a function, or there is none',
    (name) => {
      expect(resolve({})[name]).toBeUndefined();
      expect(resolve({ [name]: nothing })[name]).toBe(nothing);
      expect(complaint({ [name]: {} })).toBe(
        `Expected \`${name}\` to be a function, got an object`,
      );
    },
  );
});

describe('replay', () => {
  test('is left to the table by default, or is a function', () => {
    expect(resolve({}).replay).toBeUndefined();
    expect(resolve({ replay: nothing }).replay).toBe(nothing);
    expect(complaint({ replay: 'always' })).toBe(
      'Expected `replay` to be a function, got "always"',
    );
  });
});

describe('apiKey', () => {
  test('is none by default', () => {
    expect(resolve({}).apiKey).toBeUndefined();
    expect(resolve({ apiKey: undefined }).apiKey).toBeUndefined();
  });

  test('may be a string of visible ASCII, or a function', () => {
    expect(resolve({ apiKey: 'sk-!~' }).apiKey).toBe('sk-!~');
    expect(resolve({ apiKey: nothing }).apiKey).toBe(nothing);
  });

  test.each([
    'secret key',
    'Bearer secret',
    'secret\n',
    ' secret',
    'sécret secret',
    'secret\0',
    12_345_678,
    ['secret'],
    { secret: 'secret' },
    Buffer.from('secret'),
    true,
    null,
    '',
  ])('is refused without being repeated: %j', (apiKey) => {
    const said = complaint({ apiKey });
    expect(said).toMatch(/^Expected `apiKey` to be a function or a string of visible ASCII char/);
    expect(said).not.toMatch(/secret|cret|12345678/);
  });
});

describe('agent', () => {
  class ProxyAgent extends HttpAgent {}

  test('is none by default', () => {
    expect(resolve({}).agent).toBeUndefined();
  });

  test.each([
    ['http://host', 'an http.Agent', new HttpAgent()],
    ['https://host', 'an https.Agent', new HttpsAgent()],
    ['http://host', 'a subclass', new ProxyAgent()],
    ['https://host', 'a subclass', new ProxyAgent()],
  ])('for %s may be %s', (target, _what, agent) => {
    expect(resolve({ target, agent }).agent).toBe(agent);
  });

  test.each([
    ['http://host', 'an https.Agent', new HttpsAgent(), 'an agent for http, got an object'],
    ['https://host', 'an http.Agent', new HttpAgent(), 'an agent for https, got an object'],
    ['https://host', 'an object', { request() {} }, 'an agent for https, got an object'],
    ['https://host', 'false', false, 'an agent for https, got false'],
  ])('for %s may not be %s', (target, _what, agent, rest) => {
    expect(complaint({ target, agent })).toBe(`Expected \`agent\` to be ${rest}`);
  });

  test('must fit the default target, too', () => {
    expect(complaint({ agent: new HttpAgent() })).toContain('an agent for https');
  });
});

describe('on', () => {
  test('has no hooks by default', () => {
    expect(resolve({}).on).toEqual({});
  });

  test('may have any of the hooks', () => {
    const on = { attempt: nothing, retry: nothing, drop: nothing, answer: nothing };
    expect(resolve({ on }).on).toEqual(on);
    expect(resolve({ on: { retry: undefined } }).on.retry).toBeUndefined();
  });

  test('may be a list of sets, each of which is checked', () => {
    const told: number[] = [];
    const one = { retry: () => told.push(1) };
    const other = { retry: () => told.push(2), drop: nothing };
    expect(resolve({ on: [] }).on).toEqual({});
    expect(resolve({ on: [one] }).on.retry).toBe(one.retry);
    const { on } = resolve({ on: [one, other] });
    expect(on.drop).toBe(nothing);
    const request = { id: '1', method: 'GET', path: '/', model: undefined, stream: false };
    on.retry?.({ request, attempt: 1, status: 503, reason: 'status 503', delayMs: 1 });
    expect(told).toEqual([1, 2]);
    expect(complaint({ on: [one, { drop: 5 }] })).toBe(
      'Expected `on[1].drop` to be a function, got 5',
    );
    expect(complaint({ on: [one, { retires: nothing }] })).toMatch(
      /^Unknown key `retires` in `on\[1\]`/,
    );
    expect(complaint({ on: [5] })).toMatch(/`on\[0\]`/);
  });

  test('may be changed by its owner afterwards, and nothing comes of it', () => {
    const on: { retry?: () => void } = {};
    const config = resolve({ on });
    on.retry = nothing;
    expect(config.on.retry).toBeUndefined();
    expect(Object.isFrozen(config.on)).toBe(true);
  });

  test.each([
    ['log', '"log"'],
    [5, '5'],
    [{}, 'an object'],
    [null, 'null'],
  ])('has hooks that are functions, not %p', (hook, shown) => {
    expect(complaint({ on: { retry: hook } })).toBe(
      `Expected \`on.retry\` to be a function, got ${shown}`,
    );
  });
});

describe('options that nobody knows', () => {
  const KNOWN =
    'target, timeout, retries, baseRetryDelay, rateLimitWait, maxWait, rateLimit, maxQueue, ' +
    'heartbeat, store, storeTimeout, dropParams, learnParams, learnableParams, normalizeErrors, ' +
    'models, defaults, fallbacks, rewriteRequest, rewriteAnswer, rewriteEvent, ollama, replay, forwardClientAddress, bodyLimit, apiKey, agent, on';

  test.each([
    ['retrys', 'retries'],
    ['maxRetries', 'retries'],
    ['Target', 'target'],
    ['TIMEOUT', 'timeout'],
    ['maxwait', 'maxWait'],
    ['MAX_WAIT', 'maxWait'],
    ['RATE_LIMIT_WAIT', 'rateLimitWait'],
    ['dropParam', 'dropParams'],
    ['apikey', 'apiKey'],
    ['APIKEY', 'apiKey'],
    ['baseRetryDelayMs', 'baseRetryDelay'],
  ])('are refused with the nearest: %s', (key, nearest) => {
    expect(complaint({ [key]: 1 })).toBe(
      `Unknown key \`${key}\` in the options of createVeniceProxy: did you mean \`${nearest}\`?`,
    );
  });

  test.each(['baseURL', 'constructor', 'OPENAI_BASE_URL', 'something'])(
    'are refused with the list, when none is near: %s',
    (key) => {
      expect(complaint({ [key]: 'secret' })).toBe(
        `Unknown key \`${key}\` in the options of createVeniceProxy: known are ${KNOWN}`,
      );
    },
  );

  test('are refused even when nothing is said with them', () => {
    expect(complaint({ retrys: undefined })).toContain('Unknown key `retrys`');
    expect(complaint(JSON.parse('{"__proto__":{}}'))).toContain('Unknown key `__proto__`');
  });

  test.each([
    [{ timeout: { conect: 1 } }, 'Unknown key `conect` in `timeout`: did you mean `connect`?'],
    [
      { timeout: { total: 1 } },
      'Unknown key `total` in `timeout`: known are connect, firstByte, idle',
    ],
    [
      { on: { retires() {} } },
      'Unknown key `retires` in `on`: known are request, attempt, attemptEnd, retry, hold, drop, usage, answer',
    ],
    [{ on: { onRetry() {} } }, 'Unknown key `onRetry` in `on`: did you mean `retry`?'],
    [
      { on: { finished() {} } },
      'Unknown key `finished` in `on`: known are request, attempt, attemptEnd, retry, hold, drop, usage, answer',
    ],
  ])('are refused in nested objects, too: %p', (options, said) => {
    expect(complaint(options)).toBe(said);
  });
});

describe('the options', () => {
  test.each([[null], [5], ['http://host'], [[]], [(): void => {}]])('may not be %p', (options) => {
    expect(complaint(options)).toContain('to be an object, got ');
  });

  test.each([{ timeout: [] }, { on: 5 }, { on: 'log' }])(
    'are named in a complaint between one pair of quotes: %p',
    (options) => {
      expect(complaint(options)).toMatch(/^Expected `\w+` to be an object, got /);
    },
  );

  test('become a configuration that nobody can change', () => {
    const config = resolve({});
    expect(Object.isFrozen(config)).toBe(true);
    expect(() => Object.assign(config, { retries: 9 })).toThrow(TypeError);
  });

  test('may be changed by their owner afterwards, and nothing comes of it', () => {
    const options = { retries: 1, dropParams: ['a'] };
    const config = resolve(options);
    options.retries = 9;
    options.dropParams.push('b');
    expect(config.retries).toBe(1);
    expect([...config.dropParams]).toEqual(['a']);
  });

  test('are complete without being given', () => {
    expect(resolveOptions()).toEqual(resolve({}));
    const values = Object.entries(resolveOptions()).filter(([, value]) => value === undefined);
    expect(values.map(([name]) => name)).toEqual([
      'store',
      'models',
      'defaults',
      'fallbacks',
      'rewriteRequest',
      'rewriteAnswer',
      'rewriteEvent',
      'replay',
      'apiKey',
      'agent',
    ]);
  });

  test('accept every default that they announce', () => {
    expect(resolve({ ...DEFAULTS })).toEqual(resolve({}));
  });
});
