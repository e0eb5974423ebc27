import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import * as ioredis from 'ioredis';
import * as iovalkey from 'iovalkey';
import * as nodeRedis from 'redis';
import { HOLD_REASONS } from '../lib/rate-gate/gate-store.ts';
import type { Ask, Report } from '../lib/rate-gate/gate-store.ts';
import { redisStore } from '../lib/redis/index.ts';
import type { RedisStoreOptions, SendCommand } from '../lib/redis/index.ts';
import { decodeReply, encodeAsk, OUTCOMES } from '../lib/redis/wire-format.ts';
import { describeWithRedis, startRedis } from './helpers/redis.ts';
import type { TestRedis } from './helpers/redis.ts';

const ASK: Ask = {
  key: 'hash-of-a-key',
  bucket: 'llama-3.3-70b',
  want: 1,
  reports: [],
  budgetWindowMs: 30_000,
};
const REPORT: Report = { seq: 7, at: 1_700_000_000_123, outcome: 'served' };
const REPLY = [2, 41, 1_700_000_000_000, 250, 1, 1_500, 20, 5_000, 3];

/** The arguments of one report. */
function encoded(report: Partial<Report>): string[] {
  return encodeAsk({ ...ASK, reports: [{ ...REPORT, ...report }] }, 'me').slice(3);
}

describe('the arguments', () => {
  test('are what is asked, who asks, and thirteen for each report', () => {
    const reports = [REPORT, { ...REPORT, seq: 8 }];
    expect(encodeAsk({ ...ASK, want: 3 }, 'me')).toEqual(['3', '30000', 'me']);
    expect(encodeAsk({ ...ASK, reports }, 'me')).toHaveLength(3 + 2 * 13);
  });

  test('say nothing where a report does', () => {
    const none = ['-1', '-1', '-1'];
    const own = ['7', '1700000000123', '0', '0', '-1', '0', '0'];
    expect(encoded({})).toEqual([...own, ...none, ...none]);
  });

  test('hold all that a report says, in its order', () => {
    const report = {
      outcome: 'blocked',
      attempt: 2,
      backoffMs: 0,
      budget: 50,
      ageMs: 12,
      requests: { limit: 20, remaining: 0, resetMs: -400 },
      tokens: { limit: 100_000, remaining: 99, resetMs: undefined },
    } as const;
    expect(encoded(report).slice(2)).toEqual(
      ['2', '2', '0', '50', '12', '20', '0', '-400', '100000', '99', ''].map(String),
    );
  });

  test('tell each outcome by its place in one list', () => {
    expect(OUTCOMES.map((outcome) => encoded({ outcome })[2])).toEqual(
      OUTCOMES.map((_outcome, place) => String(place)),
    );
  });

  test('are whole numbers', () => {
    expect(encoded({ at: 5.6, backoffMs: 1.2, ageMs: -0 })).toEqual(
      expect.arrayContaining(['6', '1', '0']),
    );
    for (const text of encoded({ at: 1e21, ageMs: 0.1 })) expect(text).toMatch(/^-?\d+$/);
  });

  test.each([-1, Number.NaN, Infinity, -Infinity, 1e300])(
    'never take an upstream that says %d for one that says nothing',
    (number) => {
      const told = { limit: number, remaining: number, resetMs: number };
      const [limit, remaining, resetMs] = encoded({ requests: told }).slice(7);
      expect([limit, remaining]).toEqual(['0', '0']);
      expect(resetMs).toBe(number === -1 ? '-1' : '');
    },
  );
});

describe('the reply', () => {
  test('is read by place, as numbers or as text', () => {
    const expected = {
      granted: 2,
      firstSeq: 41,
      at: 1_700_000_000_000,
      askAgainMs: 250,
      reason: 'request limit',
      opensMs: 1_500,
      perWindow: 20,
      spanMs: 5_000,
      peers: 3,
    };
    expect(decodeReply(REPLY, 2)).toEqual(expected);
    expect(decodeReply(REPLY.map(String), 2)).toEqual(expected);
  });

  test('knows no opening at -1, and each reason by its place', () => {
    expect(decodeReply(REPLY.with(5, -1), 2).opensMs).toBeUndefined();
    const reasons = HOLD_REASONS.map((_reason, place) => decodeReply(REPLY.with(4, place), 2));
    expect(reasons.map(({ reason }) => reason)).toEqual(HOLD_REASONS);
  });

  const wrong: readonly (readonly [string, unknown, RegExp])[] = [
    ['text', 'OK', /Expected 9 numbers from the script in Redis, got string/],
    ['nothing', null, /got object/],
    ['too little', REPLY.slice(1), /got an array of 8/],
    ['too much', [...REPLY, 0], /got an array of 10/],
    ['more than was asked for', REPLY.with(0, 3), /Unexpected `granted` .*: 3/],
    ['a fraction', REPLY.with(3, 0.5), /Unexpected `askAgainMs` .*: 0.5/],
    ['a negative time', REPLY.with(2, -1), /Unexpected `at`/],
    ['an opening that is over', REPLY.with(5, -2), /Unexpected `opensMs`/],
    ['a reason that does not exist', REPLY.with(4, HOLD_REASONS.length), /Unexpected `reason`/],
    ['no peers, not even itself', REPLY.with(8, 0), /Unexpected `peers`/],
    ['words', [...REPLY.slice(0, 8), 'many'], /Unexpected `peers` .*: many/],
    ['a hole', [...REPLY.slice(0, 8), null], /Unexpected `peers` .*: null/],
  ];
  test.each(wrong)('is refused when it is %s', (_what, reply, complaint) => {
    expect(() => decodeReply(reply, 2)).toThrow(complaint);
  });
});

/** What a store sends to a client that answers as it is told. */
function recorded(answer: (name: string) => unknown, options: Partial<RedisStoreOptions> = {}) {
  const sent: { command: readonly string[]; key: string }[] = [];
  const sendCommand: SendCommand = async (command, key) => {
    sent.push({ command, key });
    return answer(command[0]);
  };
  return { sent, store: redisStore({ sendCommand, ...options }) };
}

function throwing(message: string): never {
  throw new Error(message);
}

const sendCommand: SendCommand = async () => REPLY;

describe('redisStore', () => {
  test('sends the hash of the script, two keys with one hash tag, and the arguments', async () => {
    const { sent, store } = recorded(() => REPLY);
    await store.step({ ...ASK, want: 2 });
    expect(sent).toEqual([
      {
        command: [
          'EVALSHA',
          expect.stringMatching(/^[\da-f]{40}$/),
          '2',
          'venice-proxy:{hash-of-a-key}',
          'venice-proxy:{hash-of-a-key}:llama-3.3-70b',
          '2',
          '30000',
          expect.stringMatching(/^[\w-]{12}$/),
        ],
        key: 'venice-proxy:{hash-of-a-key}',
      },
    ]);
  });

  test('sends the script itself where Redis does not know it, with the same arguments', async () => {
    const { sent, store } = recorded((name) =>
      name === 'EVAL' ? REPLY : throwing('NOSCRIPT No matching script. Please use EVAL.'),
    );
    await expect(store.step({ ...ASK, want: 2 })).resolves.toMatchObject({ granted: 2 });
    const [bySha, byText] = sent.map(({ command }) => command);
    expect(byText?.[0]).toBe('EVAL');
    expect(byText?.[1]).toContain('redis.call');
    expect(byText?.slice(2)).toEqual(bySha?.slice(2));
    expect(sent).toHaveLength(2);
  });

  test.each(['EVALSHA', 'EVAL'])('fails when %s fails, and tries no further', async (failing) => {
    const { sent, store } = recorded((name) =>
      throwing(name === failing ? 'ERR no' : 'NOSCRIPT No matching script.'),
    );
    await expect(store.step(ASK)).rejects.toThrow('ERR no');
    expect(sent.at(-1)?.command[0]).toBe(failing);
  });

  test('fails at a reply that is none of its script', async () => {
    const { store } = recorded(() => 'OK');
    await expect(store.step(ASK)).rejects.toThrow('Expected 9 numbers');
  });

  test('puts the prefix in front of the keys', async () => {
    const { sent, store } = recorded(() => REPLY, { prefix: 'staging:' });
    await store.step({ ...ASK, want: 2 });
    expect(sent[0]?.command.slice(3, 5)).toEqual([
      'staging:{hash-of-a-key}',
      'staging:{hash-of-a-key}:llama-3.3-70b',
    ]);
  });

  test('names itself in every step by the same name, and each store by another one', async () => {
    const one = recorded(() => REPLY);
    const other = recorded(() => REPLY);
    await one.store.step({ ...ASK, want: 2 });
    await one.store.step({ ...ASK, want: 2 });
    await other.store.step({ ...ASK, want: 2 });
    const names = [...one.sent, ...other.sent].map(({ command }) => command[7]);
    expect(names[0]).toBe(names[1]);
    expect(names[0]).not.toBe(names[2]);
  });

  const refused: readonly (readonly [unknown, string])[] = [
    [undefined, 'Expected `options` to be an object, got undefined'],
    [{}, 'Expected `sendCommand` to be a function, got undefined'],
    [{ sendCommand: 'client' }, 'Expected `sendCommand` to be a function, got "client"'],
    [{ sendCommand, prefix: 1 }, 'Expected `prefix` to be a string without braces, got 1'],
    [{ sendCommand, prefix: '{}' }, 'Expected `prefix` to be a string without braces, got "{}"'],
    [
      { sendcommand: sendCommand },
      'Unknown key `sendcommand` in the options of redisStore: did you mean `sendCommand`?',
    ],
  ];
  test.each(refused)('refuses %j by name', (options, complaint) => {
    expect(() => redisStore(options as RedisStoreOptions)).toThrow(new TypeError(complaint));
  });
});

interface Connected {
  readonly sendCommand: SendCommand;
  close(): Promise<unknown>;
}

type Connect = (redis: TestRedis) => Promise<Connected>;

/** As the documentation of `sendCommand` shows it. */
const CLIENTS: readonly (readonly [string, Connect])[] = [
  [
    'node-redis',
    async ({ url }) => {
      const client = await nodeRedis.createClient({ url }).connect();
      return {
        sendCommand: (command) => client.sendCommand([...command]),
        close: () => client.close(),
      };
    },
  ],
  [
    'ioredis',
    async ({ url }) => {
      const client = new ioredis.Redis(url);
      return {
        sendCommand: ([name, ...args]) => client.call(name, ...args),
        close: async () => client.disconnect(),
      };
    },
  ],
  [
    'iovalkey',
    async ({ url }) => {
      const client = new iovalkey.Redis(url);
      return {
        sendCommand: ([name, ...args]) => client.call(name, ...args),
        close: async () => client.disconnect(),
      };
    },
  ],
];

const CLUSTER_CLIENTS: readonly (readonly [string, Connect])[] = [
  [
    'node-redis',
    async ({ url }) => {
      const cluster = nodeRedis.createCluster({ rootNodes: [{ url }] });
      await cluster.connect();
      return {
        sendCommand: (command, key) => cluster.sendCommand(key, false, [...command]),
        close: () => cluster.close(),
      };
    },
  ],
  [
    'ioredis',
    async ({ port }) => {
      const cluster = new ioredis.Cluster([{ host: '127.0.0.1', port }]);
      return {
        sendCommand: ([name, ...args]) => cluster.call(name, ...args),
        close: async () => cluster.disconnect(),
      };
    },
  ],
  [
    'iovalkey',
    async ({ port }) => {
      const cluster = new iovalkey.Cluster([{ host: '127.0.0.1', port }]);
      return {
        sendCommand: ([name, ...args]) => cluster.call(name, ...args),
        close: async () => cluster.disconnect(),
      };
    },
  ],
];

const TOLD: Partial<Report> = {
  attempt: 1,
  backoffMs: 100,
  ageMs: 3,
  budget: 20,
  requests: { limit: 20, remaining: 5, resetMs: -20 },
  tokens: { limit: 1e6, remaining: 5, resetMs: undefined },
};

/** Every kind of report, so that none of them trips the script. */
const EVERYTHING: readonly Report[] = OUTCOMES.flatMap((outcome) => [
  { ...REPORT, outcome },
  { ...REPORT, ...TOLD, seq: 0, outcome },
]);

describeWithRedis('over a Redis', () => {
  let redis: TestRedis;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis?.close());

  describe.each(CLIENTS)('%s', (_name, connect) => {
    let client: Connected;
    beforeEach(async () => {
      await redis.command('FLUSHALL');
      client = await connect(redis);
    });
    afterEach(async () => {
      await client.close();
    });

    test('gets a step done by the clock of Redis, and numbers what it grants', async () => {
      const store = redisStore({ sendCommand: client.sendCommand });
      const first = await store.step(ASK);
      expect(first.granted).toBe(1);
      expect(Math.abs(first.at - Date.now())).toBeLessThan(5_000);
      const report = { ...REPORT, seq: first.firstSeq, at: first.at };
      const second = await store.step({ ...ASK, reports: [report] });
      expect(second.granted).toBe(1);
      expect(second.firstSeq).toBe(first.firstSeq + 1);
    });

    test('takes reports of every kind', async () => {
      const reply = await redisStore({ sendCommand: client.sendCommand }).step({
        ...ASK,
        reports: EVERYTHING,
      });
      expect(HOLD_REASONS).toContain(reply.reason);
    });

    test('goes on when Redis has forgotten the script', async () => {
      const store = redisStore({ sendCommand: client.sendCommand });
      await store.step(ASK);
      await redis.command('SCRIPT', 'FLUSH');
      await expect(store.step({ ...ASK, key: 'another' })).resolves.toMatchObject({ granted: 1 });
    });

    test('leaves no key that does not expire', async () => {
      await redisStore({ sendCommand: client.sendCommand }).step({ ...ASK, reports: EVERYTHING });
      const keys = (await redis.command('KEYS', '*')).match(/^venice-proxy:.*$/gm) ?? [];
      expect(keys.length).toBeGreaterThan(0);
      const lives = await Promise.all(keys.map((key) => redis.command('PTTL', key)));
      for (const life of lives) expect(life).toMatch(/^:[1-9]\d*$/);
    });

    test('fails when somebody else owns the key', async () => {
      await redis.command('SADD', `venice-proxy:{${ASK.key}}:${ASK.bucket}`, 'theirs');
      await expect(redisStore({ sendCommand: client.sendCommand }).step(ASK)).rejects.toThrow(
        'WRONGTYPE',
      );
    });
  });
});

describeWithRedis('over a cluster', () => {
  let redis: TestRedis;
  beforeAll(async () => {
    redis = await startRedis({ cluster: true });
  }, 15_000);
  afterAll(() => redis?.close());

  test('two keys of different slots in one command are refused', async () => {
    const reply = await redis.command('EVAL', 'return 1', '2', '{one}', '{other}');
    expect(reply).toMatch(/^-CROSSSLOT/);
  });

  test.each(CLUSTER_CLIENTS)(
    'the keys of a bucket are in one slot for %s',
    async (_name, connect) => {
      const client = await connect(redis);
      try {
        const store = redisStore({ sendCommand: client.sendCommand });
        const replies = await Promise.all(
          ['one', 'two', 'three'].map(async (key) =>
            store.step({ ...ASK, key, bucket: 'a bucket {with} braces' }),
          ),
        );
        expect(replies.map(({ granted }) => granted)).toEqual([1, 1, 1]);
      } finally {
        await client.close();
      }
    },
  );
});
