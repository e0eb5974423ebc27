import { expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { exchange } from './exchange.ts';
import { patienceMs, runs } from './runs.ts';
import { startFront } from '../helpers/scene.ts';
import { until } from '../helpers/until.ts';
import { anyPart, chunks } from './framed.ts';
import { startScriptedUpstream } from './scripted-upstream.ts';

const LAST = ['response.completed', 'response.incomplete', 'response.failed'];

/** What a model says: now and then just what would be a sign elsewhere. */
const delta = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.constantFrom(
    '{"type":"response.completed"}',
    '[DONE]',
    'response.completed',
    'data: [DONE]\n\n',
    '"error"',
    '\u2028',
  ),
);

const event = fc
  .record({ type: fc.constant('response.output_text.delta'), delta })
  .map((value) => `event: ${value.type}\ndata: ${JSON.stringify(value)}`);
/** What the upstream echoes of the request. */
const echo = fc
  .constantFrom(...LAST)
  .map((type) => ({ type: 'response.created', response: { metadata: { type } } }))
  .map((value) => `data: ${JSON.stringify(value)}`);
const comment = fc.constantFrom(': thinking', ':', 'id: 1\nretry: 5');
const last = fc.constantFrom(...LAST).map((type) => `data: {"type":"${type}","response":{}}`);

interface Played {
  /** Each with the blank line that ends it. */
  readonly events: readonly string[];
  readonly isFinished: boolean;
  readonly lost: number;
  readonly borders: readonly number[];
  readonly isEnded: boolean;
}

const played: fc.Arbitrary<Played> = fc
  .record({
    list: fc.array(fc.oneof({ weight: 5, arbitrary: event }, comment, echo), {
      minLength: 1,
      maxLength: 7,
    }),
    last: fc.option(last, { nil: undefined }),
    lineEnd: fc.constantFrom('\n', '\r\n'),
    lost: fc.oneof(fc.constant(0), anyPart),
    borders: fc.array(anyPart, { maxLength: 6 }),
    isEnded: fc.boolean(),
  })
  .map(({ list, last: final, lineEnd, lost, borders, isEnded }) => ({
    events: [...list, ...(final === undefined ? [] : [final])].map(
      (each) => each.replaceAll('\n', lineEnd) + lineEnd + lineEnd,
    ),
    isFinished: final !== undefined,
    lost,
    borders,
    isEnded,
  }));

/** Where each event ends, in bytes. */
function endsOf(events: readonly string[]): number[] {
  return events.map((_, i) => Buffer.byteLength(events.slice(0, i + 1).join('')));
}

test(
  'a stream of responses, cut between any two bytes, comes in whole events and with its true end',
  async () => {
    const upstream = await startScriptedUpstream();
    const target = `${upstream.origin}/up`;
    const front = await startFront({ target, retries: 0, rateLimit: false });
    const type = 'Content-Type: text/event-stream';
    const head = `HTTP/1.1 200 OK\r\n${type}\r\nTransfer-Encoding: chunked\r\n\r\n`;

    const property = fc.asyncProperty(played, async ({ events, lost, borders, ...each }) => {
      const whole = Buffer.from(events.join(''));
      const sent = whole.subarray(0, whole.length - Math.floor(lost * whole.length));
      const end = each.isEnded ? '0\r\n\r\n' : '';
      upstream.answer = Buffer.concat([Buffer.from(head), chunks(sent, borders), Buffer.from(end)]);

      const got = await exchange(front.baseUrl, {
        method: 'POST',
        path: '/responses',
        headers: [['Content-Type', 'application/json']],
        body: Buffer.from('{"model":"m","stream":true}'),
        isChunked: false,
      });

      // The line of the last event is there; what is behind it only ends it.
      const lastAt = endsOf(events).at(-2) ?? 0;
      const hasLast = each.isFinished && /\}\s*$/.test(sent.subarray(lastAt).toString());
      const isMeant = each.isEnded && hasLast && sent.subarray(lastAt).includes('"response":{}}');
      const isGood = got.complete && got.status === 200;
      expect(isGood).toBe(isMeant);

      const errorAt = got.body.lastIndexOf('data: {"error":{"message":');
      const given = got.status === 200 ? got.body.subarray(0, isGood ? undefined : errorAt) : '';
      // Byte for byte, up to where an event ends; the line feed of its last line may be missing.
      const borderEnds = [0, ...endsOf(events).flatMap((at) => [at - 1, at])];
      expect(sent.subarray(0, given.length).equals(Buffer.from(given))).toBe(true);
      expect(isGood ? [sent.length] : borderEnds).toContain(given.length);
      const tail = got.body.subarray(Math.max(0, errorAt)).toString();
      expect(isGood || /\{"error":\{"message":.*"code":"upstream_\w+"\}\}(\n\n)?$/.test(tail)).toBe(
        true,
      );
    });
    await fc.assert(property, runs(300));
    await until(() => front.proxy.inFlight === 0);
  },
  patienceMs(),
);
