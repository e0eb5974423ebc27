import * as fc from 'fast-check';
import { anyOf } from './any-of.ts';
import { DROPPED } from './dropped.ts';

export interface FuzzedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer | undefined;
  readonly isChunked: boolean;
}

const tokenChar = anyOf('abcxyzABCXYZ0189-_!#$&.^`|~*+');
const valueChar = fc.oneof(
  { weight: 20, arbitrary: anyOf('abc XYZ 019,;=/"()<>@[]{}?:\t%') },
  { weight: 1, arbitrary: fc.constantFrom('\u00e9', '\u00ff', '\u0080') },
);
const value = fc.string({ unit: valueChar, maxLength: 20 }).map((text) => text.trim());

const oddName = fc
  .string({ unit: tokenChar, minLength: 1, maxLength: 8 })
  .map((name) => `x-${name}`);
const knownName = fc.constantFrom(
  'Accept',
  'accept-encoding',
  'User-Agent',
  'X-Stainless-Lang',
  'Cookie',
  'X-Forwarded-For',
  'X_Real_IP',
  'Forwarded',
  'Proxy-Authorization',
  'Keep-Alive',
  'If-None-Match',
  'Range',
  'SIGN-IN-WITH-X',
  'TE',
  'Accept-Language',
  'OpenAI-Organization',
  'Priority',
  'traceparent',
  'Via',
  'Authorization',
  'content-type',
  'Content-Encoding',
  'If-Modified-Since',
  'Upgrade',
);
/** Names that mean something else to JavaScript. */
const trapName = fc.constantFrom(
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '7',
  '0',
);
const header: fc.Arbitrary<readonly [string, string]> = fc.tuple(
  fc.oneof(
    { weight: 5, arbitrary: oddName },
    { weight: 5, arbitrary: knownName },
    { weight: 1, arbitrary: trapName },
  ),
  value,
);
/** What decides how a body is read comes with values that are meant. */
const contentType = fc
  .constantFrom(
    'multipart/form-data; boundary=x',
    'application/octet-stream',
    'application/json',
    'Application/JSON; charset=utf-8',
    'application/x-ndjson',
  )
  .map((said): readonly [string, string] => ['Content-Type', said]);
const connection = fc
  .constantFrom('keep-alive', 'close', 'close, X-One', 'x-a, keep-alive', 'Accept')
  .map((said): readonly [string, string] => ['Connection', said]);

/** Framing and what decides how a body is read stand apart. */
const headers = fc
  .tuple(fc.array(header, { maxLength: 8 }), fc.option(connection, { nil: undefined }))
  .map(([list, last]) => (last === undefined ? list : list.concat([last])))
  .map((list) => list.filter(([name]) => !/^x-(stainless-timeout|venice-proxy)/i.test(name)));

const segment = fc.oneof(
  fc.constantFrom('chat', 'completions', 'models', 'images', 'v1', 'a b'.replace(' ', '%20')),
  fc.string({ unit: anyOf('abcXYZ019-_~!$&()*+,;=:@'), minLength: 1, maxLength: 6 }),
  fc.constantFrom('%C3%A9', '%00', '%3f', '%23', 'a.b', '...', 'x%2'),
);
const path = fc
  .tuple(
    fc.array(segment, { minLength: 1, maxLength: 4 }),
    fc.constantFrom('', '/', '?', '?a=b&a=c', '?x=%2e%2e%2f', '?/../..', '?q=a?b'),
  )
  .map(([segments, end]) => `/${segments.join('/')}${end}`);

const jsonValue = fc.jsonValue({ maxDepth: 3 }).map((each) => JSON.stringify(each));
const written = fc.oneof(
  jsonValue,
  fc.constantFrom('12345678901234567890', '1.0', '-0', '1e400', '"\\u0041\\/"', ' [ 1 , 2 ] '),
);
const name = fc.oneof(
  fc.constantFrom(...DROPPED, 'model', 'messages', 'stream', 'user', 'venice_parameters'),
  fc.constantFrom('\\u006dodel', 'log\\u0070robs', '__proto__', 'constructor', '', 'a\\"b'),
  fc.string({ maxLength: 5 }).map((text) => JSON.stringify(text).slice(1, -1)),
);
const space = fc.constantFrom('', '', '', ' ', '\n\t', '\r\n  ');
const member = fc
  .tuple(space, name, space, written, space)
  .map(([a, key, b, its, c]) => `${a}"${key}"${b}:${its}${c}`);
const object = fc.array(member, { maxLength: 7 }).map((members) => `{${members.join(',')}}`);

/** Now and then something that is no JSON, or has bytes that are no UTF-8. */
export const jsonBody: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 8, arbitrary: object.map((text) => Buffer.from(text)) },
  { weight: 1, arbitrary: written.map((text) => Buffer.from(text)) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(object, fc.nat(), fc.constantFrom('', ',', '}', '\0', '"'))
      .map(([text, at, put]) => {
        const cut = at % (text.length + 1);
        return Buffer.from(text.slice(0, cut) + put + text.slice(cut + 1));
      }),
  },
  {
    weight: 1,
    arbitrary: object.map((text) => Buffer.from(text.replaceAll('e', '\u00e9'), 'latin1')),
  },
  // RFC 8259 §8.1: a byte order mark must not stand there.
  { weight: 1, arbitrary: object.map((text) => Buffer.from(`\u{feff}${text}`)) },
  { weight: 1, arbitrary: object.map((text) => Buffer.from(text, 'utf16le')) },
);

const usualMethod = fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS');
const rareMethod = fc.constantFrom('TRACE', 'PROPFIND', 'M-SEARCH', 'PURGE', 'REPORT', 'LINK');

/** Any request that is no conversation with a model. */
export const plainRequest: fc.Arbitrary<FuzzedRequest> = fc.record({
  method: fc.oneof({ weight: 6, arbitrary: usualMethod }, { weight: 1, arbitrary: rareMethod }),
  path: path.filter((each) => !/^\/(chat\/completions|responses|embeddings|api\/)/.test(each)),
  headers: fc
    .tuple(fc.array(contentType, { maxLength: 1 }), headers)
    .map(([types, list]) => types.concat(list)),
  body: fc.option(
    fc.uint8Array({ maxLength: 3_000 }).map((bytes) => Buffer.from(bytes)),
    { nil: undefined },
  ),
  isChunked: fc.boolean(),
});

/** A request with JSON, on a route where it is read. */
export const jsonRequest: fc.Arbitrary<FuzzedRequest> = fc.record({
  method: fc.constant('POST'),
  path: fc.constantFrom('/chat/completions', '/responses', '/chat/completions?x=1'),
  headers: headers.map((list) => {
    const others = list.filter(([each]) => !/^content-(type|encoding)$/i.test(each));
    return others.concat([['Content-Type', 'application/json']]);
  }),
  body: jsonBody,
  isChunked: fc.boolean(),
});
