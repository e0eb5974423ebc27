import { describe, expect, test } from '@jest/globals';
import type { Express } from 'express';
import * as fc from 'fast-check';
import { closeAfterTest, startFront } from '../helpers/scene.ts';
import { listen } from '../helpers/serve.ts';
import { plainAnswer } from './arbitrary-answers.ts';
import { jsonRequest, plainRequest } from './arbitrary-requests.ts';
import type { FuzzedRequest } from './arbitrary-requests.ts';
import { comparable, forwarded, pairsOf, relayed, withoutOwn } from './documented.ts';
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

/** Asks twice, straight and through the proxy. */
async function startComparison() {
  const upstream = new EchoUpstream();
  const running = await listen(upstream.listener);
  closeAfterTest(() => running.close());
  const options = { target: `${running.origin}/up`, retries: 0, rateLimit: false };
  const front = await startFront(options, { before: beSilent });

  async function compare(request: FuzzedRequest): Promise<Compared> {
    upstream.arrived.length = 0;
    const direct = await exchange(`${running.origin}/up`, request);
    const through = await exchange(front.baseUrl, request);
    const [sent, arrived] = upstream.arrived;
    if (sent === undefined || arrived === undefined || upstream.arrived.length > 2) {
      throw new Error(`${upstream.arrived.length} calls; the proxy said ${through.status}`);
    }
    return { direct, through, sent, arrived };
  }
  return { upstream, compare };
}

describe('through the proxy and straight to the upstream is the same', () => {
  test(
    'but for what is documented, for any request and any answer',
    async () => {
      const { upstream, compare } = await startComparison();
      const property = fc.asyncProperty(plainRequest, plainAnswer, async (request, answer) => {
        upstream.plan = answer;
        const { direct, through, sent, arrived } = await compare(request);
        expect(arrived.method).toBe(sent.method);
        expect(arrived.url).toBe(sent.url);
        expect(arrived.body.equals(sent.body)).toBe(true);
        expect(comparable(arrived.headers)).toEqual(forwarded(sent.headers));
        expect(through.status).toBe(direct.status);
        expect(through.complete).toBe(direct.complete);
        expect(through.body.equals(direct.body)).toBe(true);
        expect(withoutOwn(pairsOf(through.rawHeaders)).filter(isNoFraming)).toEqual(
          relayed(pairsOf(direct.rawHeaders)).filter(isNoFraming),
        );
      });
      await fc.assert(property, runs(500));
    },
    patienceMs(),
  );

  test(
    'but for what is dropped, for any JSON',
    async () => {
      const { compare } = await startComparison();
      const property = fc.asyncProperty(jsonRequest, async (request) => {
        const { sent, arrived } = await compare(request);
        const members = membersOf(sent.body);
        const isRead = members?.findLast(({ name }) => name === 'stream')?.tokens.at(-1) === 'true';
        expect(comparable(arrived.headers)).toEqual(forwarded(sent.headers, { isRead }));
        expect(arrived.headers['content-length']).toBe(String(arrived.body.length));
        const isCut = members?.some(({ name }) => DROPPED.includes(name)) === true;
        expect(arrived.body.equals(sent.body)).toBe(!isCut);
        expect(membersOf(arrived.body)).toEqual(members && expectedMembers(members, DROPPED));
      });
      await fc.assert(property, runs(500));
    },
    patienceMs(),
  );
});

/** How long a body is and how it is framed is for each connection to say. */
function isNoFraming([name]: readonly [string, string]): boolean {
  return !['content-length', 'date'].includes(name.toLowerCase());
}
