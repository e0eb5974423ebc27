import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { VIA_NAME, endToEndHeaders, forwardedHeaders, headerList } from '../lib/headers.ts';

const HOP_BY_HOP = [
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

const PSEUDONYM = `${VIA_NAME}-0123456789ab`;

describe('of what the client sent', () => {
  test('everything goes upstream that is not named below', () => {
    const headers = {
      authorization: 'Bearer sk-1',
      'sign-in-with-x': 'wallet',
      'content-type': 'application/json',
      'content-encoding': 'gzip',
      accept: 'text/event-stream',
      'accept-encoding': 'br',
      'user-agent': 'OpenAI/JS',
      'x-stainless-retry-count': '0',
      'x-api-key': 'k',
      'cache-control': 'no-cache',
      'x-odd': '',
    };
    expect(forwardedHeaders(headers, '1.1', PSEUDONYM)).toEqual({
      ...headers,
      via: `1.1 ${PSEUDONYM}`,
    });
  });

  test.each(HOP_BY_HOP)('the hop-by-hop header %s stays here', (name) => {
    expect(forwardedHeaders({ [name]: 'close', accept: '*/*' }, '1.1', PSEUDONYM)).toEqual({
      accept: '*/*',
      via: `1.1 ${PSEUDONYM}`,
    });
  });

  test.each([
    'cf-connecting-ip',
    'cf-connecting-ipv6',
    'cookie',
    'expect',
    'host',
    'content-length',
    'forwarded',
    'true-client-ip',
    'x-client-ip',
    'x-cluster-client-ip',
    'x-forwarded-for',
    'x-forwarded-host',
    'x-forwarded-port',
    'x-forwarded-prefix',
    'x-forwarded-proto',
    'x-forwarded-server',
    'x-real-ip',
  ])('%s, which is made anew or tells who the client is, stays here', (name) => {
    expect(forwardedHeaders({ [name]: 'x' }, '1.1', PSEUDONYM)).toEqual({
      via: `1.1 ${PSEUDONYM}`,
    });
  });

  test('what Connection names stays here, however it is spelt', () => {
    const headers = {
      connection: 'close ,X-One,  x-TWO,,authorization',
      'x-one': '1',
      'x-two': '2',
      'x-three': '3',
      authorization: 'Bearer sk-1',
    };
    expect(forwardedHeaders(headers, '1.1', PSEUDONYM)).toEqual({
      'x-three': '3',
      via: `1.1 ${PSEUDONYM}`,
    });
  });

  test.each(['close', 'keep-alive', 'Keep-Alive'])(
    'a plain Connection: %s names nothing',
    (word) => {
      const headers = { connection: word, accept: '*/*' };
      expect(forwardedHeaders(headers, '1.1', PSEUDONYM)).toHaveProperty('accept', '*/*');
    },
  );

  test.each(['1.0 fred', '1.0 fred, 1.1 p.example.net'])('Via %s is appended to', (via) => {
    const forwarded = forwardedHeaders({ via }, '1.1', PSEUDONYM);
    expect(forwarded).toEqual({ via: `${via}, 1.1 ${PSEUDONYM}` });
  });

  test('Via tells the HTTP version that the client spoke', () => {
    const forwarded = forwardedHeaders({}, '1.0', PSEUDONYM);
    expect(forwarded).toEqual({ via: `1.0 ${PSEUDONYM}` });
  });

  test('Via is kept even when Connection names it, as a loop would go unseen without', () => {
    const forwarded = forwardedHeaders({ connection: 'via', via: '1.1 fred' }, '1.1', PSEUDONYM);
    expect(forwarded).toEqual({ via: `1.1 fred, 1.1 ${PSEUDONYM}` });
  });

  test('the headers that are given stay as they are', () => {
    const headers = Object.freeze({ via: '1.1 fred', cookie: 'a=b', accept: '*/*' });
    forwardedHeaders(headers, '1.1', PSEUDONYM);
    expect(headers).toEqual({ via: '1.1 fred', cookie: 'a=b', accept: '*/*' });
  });
});

function pairs(list: readonly string[]): [string, string][] {
  return list.flatMap((name, i): [string, string][] =>
    i % 2 === 0 ? [[name, list[i + 1] ?? '']] : [],
  );
}

/** As names and values; several `Connection` lines are one value, as Node joins them. */
function relayed(rawHeaders: readonly string[]): [string, string][] {
  const said = pairs(rawHeaders).filter(([name]) => name.toLowerCase() === 'connection');
  const connection = said.length === 0 ? undefined : said.map(([, value]) => value).join(', ');
  return pairs(endToEndHeaders(rawHeaders, connection));
}

describe('of what the upstream answered', () => {
  test('spelling and order stay', () => {
    const raw = [
      'Content-TYPE',
      'text/plain',
      'cf-ray',
      '8f',
      'X-Venice-TEE-Key',
      'k',
      'Date',
      'd',
    ];
    expect(relayed(raw)).toEqual([
      ['Content-TYPE', 'text/plain'],
      ['cf-ray', '8f'],
      ['X-Venice-TEE-Key', 'k'],
      ['Date', 'd'],
    ]);
  });

  test('several values of one name stay several, in their order', () => {
    const raw = ['Set-Cookie', 'a=1', 'Vary', 'x', 'set-cookie', 'b=2, c', 'SET-COOKIE', 'a=1'];
    expect(relayed(raw)).toEqual([
      ['Set-Cookie', 'a=1'],
      ['Vary', 'x'],
      ['set-cookie', 'b=2, c'],
      ['SET-COOKIE', 'a=1'],
    ]);
  });

  test.each(HOP_BY_HOP)('the hop-by-hop header %s stays here in any spelling', (name) => {
    const raw = [name.toUpperCase(), 'x', 'A', '1', name, 'y'];
    expect(relayed(raw)).toEqual([['A', '1']]);
  });

  test('what Connection names stays here, wherever it stands and in all its values', () => {
    const raw = ['X-One', '1', 'x-three', '3', 'Connection', 'X-ONE', 'x-one', '11'].concat([
      'connection',
      'close, x-Two',
      'X-Two',
      '2',
    ]);
    expect(relayed(raw)).toEqual([['x-three', '3']]);
  });

  test('the length and the challenge of a payment stay', () => {
    const raw = ['Content-Length', '5', 'PAYMENT-REQUIRED', 'x402', 'Retry-After', '7'];
    expect(relayed(raw).map(([name]) => name)).toEqual([
      'Content-Length',
      'PAYMENT-REQUIRED',
      'Retry-After',
    ]);
  });

  test('names that objects are born with are names like others', () => {
    const raw = ['__proto__', 'a', 'constructor', 'b', '__PROTO__', 'c'];
    expect(relayed(raw)).toEqual([
      ['__proto__', 'a'],
      ['constructor', 'b'],
      ['__PROTO__', 'c'],
    ]);
  });

  test('of no headers nothing is left', () => {
    expect(relayed([])).toEqual([]);
  });
});

describe('a list for a header', () => {
  test.each<[readonly string[], string]>([
    [[], ''],
    [['logprobs'], 'logprobs'],
    [['logprobs', 'top_logprobs'], 'logprobs, top_logprobs'],
    [['a,b', 'c d', '100%'], 'a%2Cb, c%20d, 100%25'],
    [['größe', '🙂'], 'gr%C3%B6%C3%9Fe, %F0%9F%99%82'],
    [['a\r\nx: y', '\x7f\0'], 'a%0D%0Ax:%20y, %7F%00'],
  ])('is visible ASCII: %j', (names, list) => {
    expect(headerList(names)).toBe(list);
  });

  test('can be read back', () => {
    const name = fc.string({ unit: 'binary', minLength: 1 });
    fc.assert(
      fc.property(fc.array(name, { minLength: 1 }), (names) => {
        const list = headerList(names);
        expect(list).toMatch(/^[\x20-\x7e]*$/);
        expect(list.split(', ').map(decodeURIComponent)).toEqual(names);
      }),
    );
  });

  test('takes a name with half a character in it', () => {
    expect(headerList(['a\ud800b'])).toMatch(/^a[\x21-\x7e]*b$/);
  });
});
