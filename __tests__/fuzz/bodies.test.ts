import { brotliCompressSync, gzipSync } from 'node:zlib';
import { expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { DROPPED } from './dropped.ts';
import { exchange } from './exchange.ts';
import { expectedMembers, membersOf } from './json-oracle.ts';
import { patienceMs, runs } from './runs.ts';
import { startFront } from '../helpers/scene.ts';
import { until } from '../helpers/until.ts';
import { nestedJson } from './arbitrary-json.ts';
import { startScriptedUpstream } from './scripted-upstream.ts';

/** By type, whether it is JSON to whoever reads RFC 6838 and 6839. */
const TYPES = new Map<string | undefined, boolean>([
  ['application/json', true],
  ['Application/JSON; charset=utf-8', true],
  ['application/vnd.api+json', true],
  ['application/jsonlines', false],
  ['application/x-ndjson', false],
  ['text/plain', false],
  ['multipart/form-data; boundary="application/json"', false],
  [undefined, false],
]);

/** By route, whether parameters are dropped there. */
const ROUTES = new Map([
  ['/chat/completions', true],
  ['/chat/completions/', true],
  ['/responses?logprobs=1', true],
  ['/images/generations', false],
  ['/chat/completions/x', false],
  ['/v1/chat/completions', false],
]);

const CODINGS = new Map<string | undefined, (body: Buffer) => Buffer>([
  [undefined, (body) => body],
  ['identity', (body) => body],
  ['gzip', (body) => gzipSync(body)],
  ['br', (body) => brotliCompressSync(body)],
  // It says what is not so: nobody's business but the upstream's.
  ['x-odd', (body) => body],
]);

const request = fc.record({
  route: fc.constantFrom('/chat/completions', ...ROUTES.keys()),
  type: fc.constantFrom('application/json', ...TYPES.keys()),
  coding: fc.constantFrom(undefined, ...CODINGS.keys()),
  json: nestedJson,
  isChunked: fc.boolean(),
});

test(
  'a body of any type, coding and nesting arrives as it was, without what is dropped at its top',
  async () => {
    const upstream = await startScriptedUpstream();
    const target = `${upstream.origin}/up`;
    const front = await startFront({ target, retries: 0, rateLimit: false });

    const property = fc.asyncProperty(request, async ({ route, type, coding, json, isChunked }) => {
      upstream.arrived.length = 0;
      const body = CODINGS.get(coding)?.(Buffer.from(json)) ?? Buffer.alloc(0);
      const headers: [string, string][] = [];
      if (type !== undefined) headers.push(['Content-Type', type]);
      if (coding !== undefined) headers.push(['Content-Encoding', coding]);
      const got = await exchange(front.baseUrl, {
        method: 'POST',
        path: route,
        headers,
        body,
        isChunked,
      });

      expect([got.status, got.body.toString()]).toEqual([200, 'ok']);
      expect(upstream.arrived).toHaveLength(1);
      const [arrived] = upstream.arrived;
      expect(arrived?.url).toBe(`/up${route}`);
      expect(arrived?.headers['content-type']).toBe(type);
      const isPlain = coding === undefined || coding === 'identity';
      // `identity` says nothing, and may go (RFC 9110 §8.4.1).
      expect(arrived?.headers['content-encoding'] ?? 'identity').toBe(coding ?? 'identity');

      const isRead = isPlain && ROUTES.get(route) === true && TYPES.get(type) === true;
      const members = isRead ? membersOf(body) : undefined;
      const gone = DROPPED.filter((each) => members?.some(({ name }) => name === each));
      const at = got.rawHeaders.indexOf('x-venice-proxy-dropped');
      expect(at === -1 ? '' : got.rawHeaders[at + 1]).toBe(gone.join(', '));
      expect(arrived?.body.equals(body)).toBe(gone.length === 0);
      expect(arrived && membersOf(arrived.body)).toEqual(
        members === undefined ? membersOf(body) : expectedMembers(members, DROPPED),
      );
    });
    await fc.assert(property, runs(300));
    await until(() => front.proxy.inFlight === 0);
  },
  patienceMs(),
);
