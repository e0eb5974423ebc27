import { constants, gunzipSync, gzipSync } from 'node:zlib';
import { expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { exchange } from './exchange.ts';
import type { Got } from './exchange.ts';
import { patienceMs, runs } from './runs.ts';
import { startFront } from '../helpers/scene.ts';
import { until } from '../helpers/until.ts';
import { embeddingsText } from './embeddings-text.ts';
import { anyFraming, anyPart, framed } from './framed.ts';
import { startScriptedUpstream } from './scripted-upstream.ts';

interface Member {
  readonly text: string;
  /** `undefined`: it says something else. */
  readonly format: string | undefined;
}

function textOf(members: readonly Member[]): string {
  return `{${members.map(({ text }) => text).join(' , ')}}`;
}

function withFloats({ text, format }: Member): Member {
  const isBase64 = JSON.parse(format ?? 'null') === 'base64';
  return { text: isBase64 ? text.replace(/:.*/, ':"float"') : text, format };
}

const format = fc.constantFrom(
  '"base64"',
  '"base64"',
  '"b\\u0061se64"',
  '"float"',
  'null',
  '64',
  '["base64"]',
);
const formatName = fc.constantFrom('"encoding_format"', '"encoding_form\\u0061t"');
const other = fc.constantFrom(
  '"input":"encoding_format"',
  '"input":["a",{"encoding_format":"base64"}]',
  '"model":"m"',
  '"logprobs":1',
  '"dimensions":3',
);

/** The members of a request, in any order; those that say the format apart. */
const members: fc.Arbitrary<Member[]> = fc.array(
  fc.oneof(
    other.map((text): Member => ({ text, format: undefined })),
    fc
      .tuple(formatName, format)
      .map(([name, said]): Member => ({ text: `${name} :${said}`, format: said })),
  ),
  { maxLength: 5 },
);

const played = fc.record({
  members,
  answer: embeddingsText,
  isCompressed: fc.boolean(),
  framing: anyFraming,
  /** The part that is lost: mostly none. */
  lost: fc.oneof(fc.constant(0), anyPart),
});

type Played = typeof played extends fc.Arbitrary<infer T> ? T : never;

/** What a client has in the end; `text` without its coding. */
type Outcome = 'broken' | 'refused' | { readonly text: string; readonly isAsSent: boolean };

function outcomeOf(got: Got | undefined): Outcome {
  if (got?.complete !== true) return 'broken';
  const text = got.body.toString();
  if (got.status === 502 && /"code":"upstream_\w+"/.test(text)) return 'refused';
  const isCompressed = got.rawHeaders.includes('Content-Encoding');
  const isAsSent = got.rawHeaders.includes('ETag');
  return { text: isCompressed ? decompressed(got.body) : text, isAsSent };
}

function decompressed(body: Buffer): string {
  // A body that was lost with its connection has no end, which is its reader's to see.
  return gunzipSync(body, { finishFlush: constants.Z_SYNC_FLUSH }).toString();
}

function expectedOutcome({ answer, lost }: Played, wantsBase64: boolean): unknown {
  if (lost === 0) {
    const isAsSent = !wantsBase64 || answer.base64 === answer.floats;
    return { text: wantsBase64 ? answer.base64 : answer.floats, isAsSent };
  }
  // An SDK would make numbers of what is left.
  if (wantsBase64) return 'refused';
  // Whether a byte of the body had come before the cut.
  return 'broken or refused';
}

test(
  'embeddings are asked for as floats and given as base64 to who wants them so, or not at all',
  async () => {
    const upstream = await startScriptedUpstream();
    const target = `${upstream.origin}/up`;
    const front = await startFront({ target, retries: 0, rateLimit: false });

    const property = fc.asyncProperty(played, async (each) => {
      const text = textOf(each.members);
      const said = each.members.flatMap((member) => member.format ?? []);
      const wantsBase64 = JSON.parse(said.at(-1) ?? 'null') === 'base64';
      const whole = Buffer.from(each.answer.floats);
      const sent = each.isCompressed ? gzipSync(whole) : whole;
      const coding = each.isCompressed ? ['Content-Encoding: gzip'] : [];
      const type = 'Content-Type: application/json';
      const { head, body } = framed(each.framing, [type, 'ETag: "1"', ...coding], sent);
      const kept = body.length - Math.ceil(each.lost * body.length);
      upstream.answer = Buffer.concat([head, body.subarray(0, kept)]);
      upstream.arrived.length = 0;

      const got = await exchange(front.baseUrl, {
        method: 'POST',
        path: '/embeddings',
        headers: [['Content-Type', 'application/json']],
        body: Buffer.from(text),
        isChunked: false,
      }).catch(() => undefined);

      const asked = wantsBase64 ? textOf(each.members.map(withFloats)) : text;
      expect(upstream.arrived.map(({ body: arrived }) => arrived.toString())).toEqual([asked]);

      const expected = expectedOutcome(each, wantsBase64);
      const outcome = outcomeOf(got);
      // Nothing but the end of the connection shows where such a body ends (RFC 9112 §6.3).
      if (expected === 'broken or refused' && each.framing.kind === 'close') return;
      const isBad = outcome === 'broken' || outcome === 'refused';
      expect(expected === 'broken or refused' && isBad ? expected : outcome).toEqual(expected);
    });
    await fc.assert(property, runs(300));
    await until(() => front.proxy.inFlight === 0);
  },
  patienceMs(),
);
