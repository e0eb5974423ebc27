import * as fc from 'fast-check';
import { anyOf } from './any-of.ts';
import type { PlannedAnswer } from './echo-upstream.ts';

const name = fc.oneof(
  fc.constantFrom('Content-Type', 'content-type', 'ETag', 'Set-Cookie', 'set-cookie', 'Vary'),
  fc.constantFrom(
    'CF-RAY',
    'X-RateLimit-Type',
    'Cache-Control',
    'Location',
    'Link',
    'WWW-Authenticate',
  ),
  fc.constantFrom('Access-Control-Allow-Origin', 'Connection', 'Keep-Alive', 'Proxy-Authenticate'),
  fc.constantFrom('X-Venice-Proxy-Attempts', 'x-venice-proxy-hint', 'Proxy-Connection', 'TE'),
  fc.constantFrom('__proto__', 'constructor', 'toString', '7', '0'),
  // What a `Connection` below names.
  fc.constantFrom('x-a', 'X-B'),
  fc.string({ unit: anyOf('abXY09-_~'), minLength: 1, maxLength: 6 }).map((x) => `X-${x}`),
);
const value = fc
  .string({ unit: anyOf('abc XYZ019,;=/"()é'), maxLength: 20 })
  .map((text) => text.trim());
const header = fc.tuple(name, value).map(([key, said]): readonly [string, string] =>
  // What Node itself reads in these decides the framing.
  /^(connection|keep-alive)$/i.test(key) ? [key, 'X-a, x-B'] : [key, said.replace(/^text\/ev/, '')],
);

const GOOD = [200, 200, 200, 201, 204, 206, 301, 304] as const;
const BAD = [400, 401, 402, 403, 404, 408, 418, 422, 429, 500, 502, 503, 504, 520, 599] as const;

/** Whole answers, forwarded as they are by a proxy that makes one attempt. */
export const plainAnswer: fc.Arbitrary<PlannedAnswer> = fc.record({
  status: fc.constantFrom(...GOOD, ...BAD),
  reason: fc.constantFrom('OK', 'ok: "\u00e9"', 'a\tb  c', '1', '-'),
  headers: fc.array(header, { maxLength: 8 }),
  pieces: fc.array(
    fc.uint8Array({ minLength: 1, maxLength: 2_000 }).map((bytes) => Buffer.from(bytes)),
    { maxLength: 4 },
  ),
  framing: fc.constantFrom('length' as const, 'chunked' as const, 'close' as const),
});
