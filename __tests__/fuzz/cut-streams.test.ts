import { expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { chat, listenRaw, startFront } from '../helpers/scene.ts';
import { until } from '../helpers/until.ts';
import { patienceMs, runs } from './runs.ts';

const content = fc.oneof(
  fc.string({ maxLength: 30 }),
  fc.constantFrom('"finish_reason":"stop"}]}', 'data: [DONE]', '\n\ndata: [DONE]\n\n'),
);
const event = fc.oneof(
  {
    weight: 9,
    arbitrary: content.map(
      (said) => `data: ${JSON.stringify({ choices: [{ delta: { content: said } }] })}`,
    ),
  },
  fc.constantFrom(': thinking', 'event: x\ndata: {"a":1}', 'data: {"choices":[]}\nid: 3'),
  // Not yet, and now.
  fc.constant('data: {"choices":[{"delta":{},"finish_reason":null}]}'),
  {
    weight: 1,
    arbitrary: fc.constant('data: {"choices":[{"delta":{},"finish_reason":"stop"}]}'),
  },
);

/** What tells that nothing is missing behind it. */
const SIGN = /(^|\n)data: \[DONE\](\r|\n|$)|"finish_reason":"stop"\}\]\}/;

const lineEnd = fc.constantFrom('\n', '\r\n');

interface Stream {
  readonly events: readonly string[];
  readonly isFinished: boolean;
  readonly cutAt: number;
  readonly borders: readonly number[];
  readonly how: 'end' | 'close' | 'reset';
}

const stream: fc.Arbitrary<Stream> = fc
  .tuple(fc.array(event, { minLength: 1, maxLength: 8 }), fc.boolean(), lineEnd)
  .chain(([list, isFinished, end]) => {
    const events = [...list, ...(isFinished ? ['data: [DONE]'] : [])].map(
      (each) => each.replaceAll('\n', end) + end + end,
    );
    const length = events.join('').length;
    return fc.record({
      events: fc.constant(events),
      isFinished: fc.constant(isFinished),
      cutAt: fc.oneof(fc.constant(length), fc.nat({ max: length })),
      borders: fc.array(fc.nat({ max: length }), { maxLength: 6 }),
      how: fc.constantFrom('end' as const, 'close' as const, 'reset' as const),
    });
  });

const HEAD =
  'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n';

/** As an event, or as the whole answer. */
const ENDS_WITH_ERROR = /\{"error":\{"message":".*"code":"upstream_\w+"\}\}(\n\n)?$/;

/** The stream's pieces as chunks, up to where it is cut. */
function chunksOf({ events, cutAt, borders }: Stream): string[] {
  const text = events.join('');
  const ends = [...new Set([...borders.filter((at) => at < cutAt), cutAt])].toSorted(
    (a, b) => a - b,
  );
  let from = 0;
  return ends
    .map((end) => {
      const piece = text.slice(from, end);
      from = end;
      return piece;
    })
    .filter((piece) => piece !== '')
    .map((piece) => `${Buffer.byteLength(piece).toString(16)}\r\n${piece}\r\n`);
}

test(
  'a stream that is cut anywhere, in any pieces, comes in whole events and with its true end',
  async () => {
    let played: Stream | undefined;
    const upstream = await listenRaw((socket) => {
      if (played === undefined) return;
      const { how } = played;
      socket.write(HEAD);
      for (const chunk of chunksOf(played)) socket.write(chunk);
      if (how === 'end') socket.end('0\r\n\r\n');
      else if (how === 'close') socket.end();
      else setTimeout(() => socket.resetAndDestroy(), 5);
    });
    const front = await startFront({ target: upstream.origin, retries: 0, rateLimit: false });

    const property = fc.asyncProperty(stream, async (each) => {
      played = each;
      const { events, cutAt, how } = each;
      const text = events.join('');
      const reply = await chat(front, { stream: true });
      const sent = text.slice(0, cutAt);
      const isWhole = how === 'end' && SIGN.test(sent);
      const isError = reply.status !== 200;
      // Then nothing had come that could be given.
      const [given = ''] = isError ? [] : reply.text.split('data: {"error":{"message":"');
      expect(reply.complete && !isError).toBe(isWhole);
      expect(isWhole ? reply.text === sent : ENDS_WITH_ERROR.test(reply.text)).toBe(true);
      expect(sent.startsWith(given)).toBe(true);
      // A CR alone ends a line, too: what it ends is whole without the LF.
      const wholes = ['', ...events.map((_, i) => events.slice(0, i + 1).join(''))];
      const crs = wholes.map((whole) => whole.replace(/\r\n$/, '\r'));
      expect(isWhole ? [sent] : wholes.concat(crs)).toContain(given);
    });
    await fc.assert(property, runs(400));
    await until(() => front.proxy.inFlight === 0);
  },
  patienceMs(),
);
