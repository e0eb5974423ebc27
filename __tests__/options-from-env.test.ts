import { describe, expect, test } from '@jest/globals';
import { optionsFromEnv } from '../lib/options-from-env.ts';
import { resolveOptions } from '../lib/options.ts';
import type { VeniceProxyOptions } from '../lib/options.ts';

interface Row {
  readonly variable: string;
  readonly option: keyof VeniceProxyOptions;
  readonly good: readonly (readonly [text: string, value: unknown])[];
  readonly bad: readonly string[];
  readonly allowed: string;
}

const WAITS: Pick<Row, 'good' | 'bad' | 'allowed'> = {
  good: [
    ['0', 0],
    ['0.25', 250],
    ['.5', 500],
    ['1.', 1_000],
    ['1.1', 1_100],
    [' 30 ', 30_000],
    ['2147483', 2_147_483_000],
  ],
  bad: ['abc', '-1', '1s', '1,5', '1e3', '0x10', 'NaN', 'Infinity', '2147484', '.'],
  allowed: 'seconds, from 0 to 2147483',
};

const DURATIONS: Pick<Row, 'good' | 'bad' | 'allowed'> = {
  good: [
    ['300', 300_000],
    ['0.001', 1],
  ],
  bad: ['0', '0.0001', 'abc', '-1', '2147484'],
  allowed: 'seconds, from 0.001 to 2147483',
};

const COUNTS: Pick<Row, 'good' | 'bad' | 'allowed'> = {
  good: [
    ['0', 0],
    ['12', 12],
  ],
  bad: ['-1', '1.5', 'many', '1e3', '99999999999999999'],
  allowed: 'a whole number, 0 or more',
};

const FLAGS: Pick<Row, 'good' | 'bad' | 'allowed'> = {
  good: [
    ['1', true],
    ['0', false],
  ],
  bad: ['true', 'no', '2', '-1', '01'],
  allowed: '1 or 0',
};

const NAMES: Pick<Row, 'good' | 'bad' | 'allowed'> = {
  good: [
    ['none', []],
    ['logprobs', ['logprobs']],
    [' user , store', ['user', 'store']],
  ],
  bad: [',', 'user,', 'user,,store'],
  allowed: 'names separated by commas, or `none`',
};

const ROWS: readonly Row[] = [
  {
    variable: 'OPENAI_BASE_URL',
    option: 'target',
    good: [
      ['https://api.venice.ai/api/v1', 'https://api.venice.ai/api/v1'],
      ['http://127.0.0.1:8080', 'http://127.0.0.1:8080'],
    ],
    bad: ['api.venice.ai', 'ftp://api.venice.ai', 'https://api.venice.ai/#a', '/api/v1'],
    allowed: 'an absolute http or https URL without credentials, query or fragment',
  },
  { variable: 'TIMEOUT', option: 'timeout', ...DURATIONS },
  { variable: 'MAX_RETRIES', option: 'retries', ...COUNTS },
  { variable: 'BASE_RETRY_DELAY', option: 'baseRetryDelay', ...WAITS },
  { variable: 'RATE_LIMIT_WAIT', option: 'rateLimitWait', ...WAITS },
  { variable: 'MAX_WAIT', option: 'maxWait', ...WAITS },
  { variable: 'RATE_LIMIT', option: 'rateLimit', ...FLAGS },
  { variable: 'MAX_QUEUE', option: 'maxQueue', ...COUNTS },
  { variable: 'HEARTBEAT', option: 'heartbeat', ...WAITS },
  { variable: 'STORE_TIMEOUT', option: 'storeTimeout', ...DURATIONS },
  { variable: 'LEARN_PARAMS', option: 'learnParams', ...FLAGS },
  { variable: 'LEARNABLE_PARAMS', option: 'learnableParams', ...NAMES },
  {
    variable: 'MODELS',
    option: 'models',
    good: [
      ['gpt-4o=llama-3.3-70b', { 'gpt-4o': 'llama-3.3-70b' }],
      ['a = b , c=d:x=on', { a: 'b', c: 'd:x=on' }],
      ['none', {}],
    ],
    bad: ['a', '=b', 'a=', 'a=b,', ','],
    allowed: 'pairs such as `gpt-4o=llama-3.3-70b`, separated by commas, or `none`',
  },
  {
    variable: 'DEFAULTS',
    option: 'defaults',
    good: [
      ['{"*":{"temperature":0.7}}', { '*': { temperature: 0.7 } }],
      ['{}', {}],
    ],
    bad: ['temperature=0.7', '[]', '{"*":1}', '{'],
    allowed: 'a JSON object of objects, such as {"*":{"temperature":0.7}}',
  },
  {
    variable: 'FALLBACKS',
    option: 'fallbacks',
    good: [
      ['a=b|c,d=e', { a: ['b', 'c'], d: ['e'] }],
      ['a = b | c:x=on', { a: ['b', 'c:x=on'] }],
      ['none', {}],
    ],
    bad: ['a', 'a=', 'a=b|', '=b', 'a=b,'],
    allowed: 'pairs such as `model-a=model-b|model-c`, separated by commas, or `none`',
  },
  { variable: 'NORMALIZE_ERRORS', option: 'normalizeErrors', ...FLAGS },
  { variable: 'OLLAMA', option: 'ollama', ...FLAGS },
  { variable: 'FORWARD_ADDRESS', option: 'forwardClientAddress', ...FLAGS },
  {
    variable: 'BODY_LIMIT',
    option: 'bodyLimit',
    good: [
      ['1024', 1_024],
      ['2mb', 2 * 1_024 * 1_024],
      ['1.5 KB', 1_536],
    ],
    bad: ['0', 'lots', '-1', '5tb', '1e6'],
    allowed: "a number of bytes, 1 or more, or a string such as '50mb'",
  },
  { variable: 'DROP_PARAMS', option: 'dropParams', ...NAMES },
];

describe('optionsFromEnv', () => {
  for (const { variable, option, good, bad, allowed } of ROWS) {
    for (const [text, value] of good) {
      test(`${variable}=${JSON.stringify(text)} becomes ${option}`, () => {
        const options = optionsFromEnv({ [variable]: text });
        expect(options).toEqual({ [option]: value });
        expect(() => resolveOptions(options)).not.toThrow();
      });
    }
    for (const text of bad) {
      test(`${variable}=${JSON.stringify(text)} is refused by name`, () => {
        let complaint: unknown;
        try {
          optionsFromEnv({ [variable]: text });
        } catch (error) {
          complaint = error;
        }
        expect(complaint).toBeInstanceOf(TypeError);
        const message = String(complaint);
        expect(message).toContain(`Expected \`${variable}\` to be ${allowed}`);
        expect(message).toContain(`got ${JSON.stringify(text)}`);
      });
    }
    test.each(['', '   '])(`${variable}=%j is as if unset`, (text) => {
      expect(optionsFromEnv({ [variable]: text })).toEqual({});
    });
  }

  test('VENICE_API_KEY becomes apiKey, without the line end that files have', () => {
    const options = optionsFromEnv({ VENICE_API_KEY: 'key-of-the-operator\n' });
    expect(options).toEqual({ apiKey: 'key-of-the-operator' });
    expect(() => resolveOptions(options)).not.toThrow();
  });

  test.each(['two words', 'schlüssel', 'a\nb'])(
    'VENICE_API_KEY=%j is refused and not repeated',
    (secret) => {
      expect(() => optionsFromEnv({ VENICE_API_KEY: secret })).toThrow(
        new TypeError(
          'Expected `VENICE_API_KEY` to be visible ASCII characters without white space, ' +
            `got a string of ${secret.length} characters`,
        ),
      );
    },
  );

  test.each(['https://me:hush@venice.test', 'https://venice.test/?key=hush'])(
    'what may be secret in OPENAI_BASE_URL=%s is not repeated',
    (text) => {
      expect(() => optionsFromEnv({ OPENAI_BASE_URL: text })).toThrow(
        /^Expected `OPENAI_BASE_URL` to be (?!.*hush)/,
      );
    },
  );

  test('it reads its own variables and nothing else', () => {
    const read = new Set<string>();
    const env = new Proxy<Record<string, string | undefined>>(
      {},
      { get: (_, name) => void read.add(String(name)) },
    );
    optionsFromEnv(env);
    expect([...read].toSorted()).toEqual(
      [...ROWS.map(({ variable }) => variable), 'VENICE_API_KEY'].toSorted(),
    );
  });

  test('it reads the environment of the process unless told', () => {
    const before = process.env['MAX_RETRIES'];
    process.env['MAX_RETRIES'] = '7';
    try {
      expect(optionsFromEnv()).toMatchObject({ retries: 7 });
    } finally {
      if (before === undefined) delete process.env['MAX_RETRIES'];
      else process.env['MAX_RETRIES'] = before;
    }
  });
});
