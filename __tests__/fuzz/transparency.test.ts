import { describe, expect, test } from '@jest/globals';
import type { Express } from 'express';
import * as fc from 'fast-check';
import { closeAfterTest, startFront } from '../helpers/scene.ts';
import { listen } from '../helpers/serve.ts';
import { plainAnswer } from './arbitrary-answers.ts';
import { jsonRequest, plainRequest } from './arbitrary-requests.ts';
import type { FuzzedRequest } from './arbitrary-requests.ts';
import {
  METHODS,
  NOTES,
  comparable,
  expectedRemade,
  forwarded,
  notesOf,
  pairsOf,
  relayed,
  remadeOf,
  withoutOwn,
} from './documented.ts';
import type { Pair } from './documented.ts';
import { DROPPED } from './dropped.ts';
import { EchoUpstream } from './echo-upstream.ts';
import type { Arrived } from './echo-upstream.ts';
import { exchange } from './exchange.ts';
import type { Got } from './exchange.ts';
import { expectedMembers, membersOf } from './json-oracle.ts';
import { patienceMs, runs } from './runs.ts';

interface Compared {
  readonly direct: Got;
  readonly through: Got;
  readonly sent: Arrived;
  readonly arrived: Arrived;
}

function beSilent(app: Express): void {
  app.disable('x-powered-by');
}

/** Asks twice, through the proxy and straight; `undefined`: the method is refused, as it should. */
async function startComparison() {
  const upstream = new EchoUpstream();
  const running = await listen(upstream.listener);
  closeAfterTest(() => running.close());
  const options = { target: `${running.origin}/up`, retries: 0, rateLimit: false };
  const front = await startFront(options, { before: beSilent });

  async function compare(request: FuzzedRequest): Promise<Compared | undefined> {
    upstream.arrived.length = 0;
    const through = await exchange(front.baseUrl, request);
    if (!METHODS.has(request.method)) {
      expect([through.status, upstream.arrived]).toEqual([405, []]);
      return undefined;
    }
    const direct = await exchange(`${running.origin}/up`, request);
    const [arrived, sent] = upstream.arrived;
    if (sent === undefined || arrived === undefined || upstream.arrived.length > 2) {
      throw new Error(`${upstream.arrived.length} calls; the proxy said ${through.status}`);
    }
    return { direct, through, sent, arrived };
  }
  const { host } = new URL(running.origin);
  return { upstream, compare, host };
}

/** Whether the body is held: what says of itself that it is JSON is. */
function isHeld({ headers, body }: Arrived): boolean {
  const type = headers.find(([name]) => name.toLowerCase() === 'content-type')?.[1] ?? '';
  const length = headers.find(([name]) => name.toLowerCase() === 'content-length')?.[1];
  const isChunked = headers.some(([name]) => name.toLowerCase() === 'transfer-encoding');
  // No body is none that could be held.
  const hasBody = isChunked || (length !== undefined && body.length > 0);
  return hasBody && /^application\/json *(;|$)/i.test(type);
}

describe('through the proxy and straight to the upstream is the same', () => {
  test(
    'but for what is documented, for any request and any answer',
    async () => {
      const { upstream, compare, host } = await startComparison();
      const property = fc.asyncProperty(plainRequest, plainAnswer, async (request, answer) => {
        upstream.plan = answer;
        const compared = await compare(request);
        if (compared === undefined) return;
        const { direct, through, sent, arrived } = compared;
        expect([arrived.method, arrived.url]).toEqual([sent.method, sent.url]);
        expect(arrived.body.equals(sent.body)).toBe(true);
        expect(comparable(arrived.headers)).toEqual(forwarded(sent.headers));
        const heldBytes = isHeld(sent) ? sent.body.length : undefined;
        expect(remadeOf(arrived)).toEqual(expectedRemade(sent, { host, heldBytes }));
        expect([through.status, through.reason]).toEqual([direct.status, direct.reason]);
        expect([through.complete, direct.complete]).toEqual([true, true]);
        expect(through.body.equals(direct.body)).toBe(true);
        const { method } = request;
        expect(lengthOf(through, method)).toBe(lengthOf(direct, method));
        const came = pairsOf(through.rawHeaders);
        expect(notesOf(came, answer.status)).toEqual(NOTES);
        expect(withoutOwn(came, answer.status).filter(isOther)).toEqual(
          relayed(pairsOf(direct.rawHeaders)).filter(isOther),
        );
      });
      await fc.assert(property, runs(400));
    },
    patienceMs(),
  );

  test(
    'but for what is dropped, for any JSON',
    async () => {
      const { compare, host } = await startComparison();
      const property = fc.asyncProperty(jsonRequest, async (request) => {
        const compared = await compare(request);
        if (compared === undefined) throw new Error('POST is forwarded');
        const { sent, arrived } = compared;
        const members = membersOf(sent.body);
        const isRead = members?.findLast(({ name }) => name === 'stream')?.tokens.at(-1) === 'true';
        expect(comparable(arrived.headers, { isRead })).toEqual(
          forwarded(sent.headers, { isRead }),
        );
        const heldBytes = arrived.body.length;
        expect(remadeOf(arrived)).toEqual(expectedRemade(sent, { host, heldBytes }));
        const isCut = members?.some(({ name }) => DROPPED.includes(name)) === true;
        expect(arrived.body.equals(sent.body)).toBe(!isCut);
        expect(membersOf(arrived.body)).toEqual(members && expectedMembers(members, DROPPED));
      });
      await fc.assert(property, runs(400));
    },
    patienceMs(),
  );
});

/** The date may be another second's; of the length `lengthOf` tells. */
function isOther([name]: Pair): boolean {
  return !['date', 'content-length'].includes(name.toLowerCase());
}

/** What an answer says of its length; where nothing came, 0 and no length are the same. */
function lengthOf({ rawHeaders, body }: Got, method: string): string | undefined {
  const lengths = pairsOf(rawHeaders).filter(([name]) => /^content-length$/i.test(name));
  const said = lengths.length === 0 ? undefined : lengths.map(([, value]) => value).join('|');
  return said === undefined && body.length === 0 && method !== 'HEAD' ? '0' : said;
}
