import { brotliCompressSync, gzipSync } from 'node:zlib';
import { expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { exchange } from './exchange.ts';
import { patienceMs, runs } from './runs.ts';
import { startFront } from '../helpers/scene.ts';
import { until } from '../helpers/until.ts';
import { anyFraming, anyPart, framed } from './framed.ts';
import { startScriptedUpstream } from './scripted-upstream.ts';

const CODINGS = new Map<string, (body: Buffer) => Buffer>([
  ['identity', (body) => body],
  ['gzip', (body) => gzipSync(body)],
  ['br', (body) => brotliCompressSync(body)],
]);

const events = fc
  .array(fc.string({ unit: 'grapheme', maxLength: 20 }), { maxLength: 6 })
  .map((texts) => texts.map((text) => `data: ${JSON.stringify({ text })}\n\n`).join(''))
  // The sign of a whole stream on either route that has one.
  .map((text) => `${text}data: {"type":"response.completed"}\n\ndata: [DONE]\n\n`)
  .map((text) => Buffer.from(text));

const content = fc.oneof(
  fc.tuple(fc.constant('text/event-stream'), events),
  fc.tuple(
    fc.constantFrom('application/json', 'audio/mpeg', 'application/x-ndjson'),
    fc.uint8Array({ minLength: 1, maxLength: 4_000 }).map((bytes) => Buffer.from(bytes)),
  ),
);

const played = fc.record({
  content,
  coding: fc.constantFrom(...CODINGS.keys()),
  framing: anyFraming,
  lost: fc.oneof(fc.constant(0), anyPart),
  path: fc.constantFrom('/chat/completions', '/responses', '/audio/speech'),
  asksStream: fc.boolean(),
});

test(
  'a body in any type, coding and framing comes byte for byte, and one that is cut never ends well',
  async () => {
    const upstream = await startScriptedUpstream();
    const target = `${upstream.origin}/up`;
    const front = await startFront({ target, retries: 0, rateLimit: false });

    const property = fc.asyncProperty(played, async (each) => {
      const { framing, lost, path } = each;
      const [type, plain] = each.content;
      const sent = CODINGS.get(each.coding)?.(plain) ?? plain;
      const headers = [`Content-Type: ${type}`, `Content-Encoding: ${each.coding}`];
      const { head, body } = framed(framing, headers, sent);
      const kept = body.subarray(0, body.length - Math.ceil(lost * body.length));
      upstream.answer = Buffer.concat([head, kept]);

      const got = await exchange(front.baseUrl, {
        method: 'POST',
        path,
        headers: [['Content-Type', 'application/json']],
        body: Buffer.from(JSON.stringify({ model: 'm', stream: each.asksStream })),
        isChunked: false,
      }).catch(() => undefined);

      const isGood = got?.complete === true && got.status === 200;
      const isWhole = isGood && got.body.equals(sent);
      // Where only the end of the connection ends a body, a cut cannot be seen.
      const isSeen = lost > 0 && framing.kind !== 'close';
      expect(isGood && isSeen).toBe(false);
      expect(isWhole || lost > 0).toBe(true);
    });
    await fc.assert(property, runs(300));
    await until(() => front.proxy.inFlight === 0);
  },
  patienceMs(),
);
