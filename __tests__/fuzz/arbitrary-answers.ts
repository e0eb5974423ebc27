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
  fc.string({ unit: anyOf('abXY09-_~'), minLength: 1, maxLength: 6 }).map((x) => `X-${x}`),
);
const value = fc
  .string({ unit: anyOf('abc XYZ019,;=/"()é'), maxLength: 20 })
  .map((text) => text.trim());
const header = fc.tuple(name, value).map(([key, said]): readonly [string, string] =>
  // What Node itself reads in these decides the framing.
  /^(connection|keep-alive)$/i.test(key) ? [key, 'X-a, x-B'] : [key, said.replace(/^text\/ev/, '')],
);

/** Whole answers of statuses that are forwarded as they are. */
export const plainAnswer: fc.Arbitrary<PlannedAnswer> = fc.record({
  status: fc.constantFrom(200, 200, 201, 204, 206, 301, 304, 401, 402, 403, 404, 418, 422),
  headers: fc.array(header, { maxLength: 8 }),
  pieces: fc.array(
    fc.uint8Array({ minLength: 1, maxLength: 2_000 }).map((bytes) => Buffer.from(bytes)),
    { maxLength: 4 },
  ),
  framing: fc.constantFrom('length' as const, 'chunked' as const, 'close' as const),
});
