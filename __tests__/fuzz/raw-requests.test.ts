import net from 'node:net';
import { expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { closeAfterTest, startFront } from '../helpers/scene.ts';
import { listen, send } from '../helpers/serve.ts';
import { until } from '../helpers/until.ts';
import { EchoUpstream } from './echo-upstream.ts';
import type { Arrived } from './echo-upstream.ts';
import { membersOf } from './json-oracle.ts';
import { mutated } from './mutated.ts';
import { patienceMs, runs } from './runs.ts';

const REQUESTS: readonly string[] = [
  'POST /api/v1/chat/completions HTTP/1.1\r\nHost: p\r\nContent-Type: application/json\r\nContent-Length: 24\r\n\r\n{"model":"m","logprobs":}',
  'POST /api/v1/chat/completions HTTP/1.1\r\nHost: p\r\nContent-Type: application/json\r\nContent-Length: 26\r\n\r\n{"model":"m","logprobs":1}',
  'POST /api/v1/upload HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
  'POST /api/v1/upload HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
  'GET /api/v1/models?x=1 HTTP/1.1\r\nHost: p\r\nX-A: b\r\n\r\n',
  'DELETE /api/v1/x HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\nab',
  'PUT /api/v1/x HTTP/1.1\r\nHost: p\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc',
  'GET http://p/api/v1/models HTTP/1.0\r\nConnection: keep-alive\r\n\r\n',
];

interface Echo {
  readonly upstream: EchoUpstream;
  readonly origin: string;
}

/** A connection of a client, and what has come over it. */
interface Spoken {
  readonly text: string;
  readonly isClosed: boolean;
}

/**
 * Writes the bytes. A patient client waits with an open connection for an answer; another
 * says that it has no more to say, and waits for the end.
 */
function speak(origin: string, bytes: Buffer, isPatient: boolean): Promise<Spoken> {
  const { hostname, port } = new URL(origin);
  return new Promise((resolve) => {
    let text = '';
    const socket = net.connect({ port: Number(port), host: hostname, noDelay: true }, () => {
      if (isPatient) socket.write(bytes);
      else socket.end(bytes);
    });
    socket.on('error', () => {});
    socket.on('data', (piece: Buffer) => {
      text += piece.toString('latin1');
      if (!isPatient || !/^HTTP\/1\.1 [2-5]/m.test(text)) return;
      resolve({ text, isClosed: false });
      socket.destroy();
    });
    socket.on('close', () => resolve({ text, isClosed: true }));
  });
}

/**
 * Whether there is a head, and the proxy's to answer. How long the rest of another is waited for is for
 * the app and its server to decide.
 */
function isForProxy(bytes: Buffer): boolean {
  const text = bytes.toString('latin1');
  return /^[\r\n]*[A-Z]+ (http:\/\/p)?\/api\/v1[/?][^]*\r\n\r\n/.test(text);
}

/** What is wrong with the framing of a request that arrived: nobody must be able to read it otherwise. */
function complaintOf({ headers, body }: Arrived): string | undefined {
  const framing = headers.filter(([name]) => /^(content-length|transfer-encoding)$/i.test(name));
  if (framing.length > 1) return 'two framings';
  const [name = '', value = ''] = framing[0] ?? [];
  if (/^transfer-encoding$/i.test(name)) return value === 'chunked' ? undefined : `coding ${value}`;
  const expected = framing.length === 0 && body.length === 0 ? '' : String(body.length);
  return value === expected ? undefined : `length ${value} of ${body.length} bytes`;
}

/**
 * What Node itself reads in the bytes and is fit to be sent on: a coding that nobody undoes is not
 * (RFC 9112 §6.1).
 */
async function readDirectly({ upstream, origin }: Echo, bytes: Buffer) {
  await speak(origin, bytes, false);
  return upstream.arrived.splice(0).filter(({ headers }) => {
    const codings = headers.filter(([name]) => name.toLowerCase() === 'transfer-encoding');
    return codings.every(([, value]) => /^chunked$/i.test(value.trim())) && codings.length < 2;
  });
}

/** Whether it is one of those: with less of JSON at most. */
function isOneOf({ method, url, body }: Arrived, direct: readonly Arrived[]): boolean {
  const path = url.replace(/^\/up/, '');
  return direct.some(
    (each) =>
      each.method === method &&
      each.url.endsWith(path) &&
      (each.body.equals(body) || membersOf(each.body) !== undefined),
  );
}

async function startEcho(): Promise<Echo> {
  const upstream = new EchoUpstream();
  upstream.plan = { ...upstream.plan, pieces: [Buffer.from('ok')] };
  const running = await listen(upstream.listener);
  closeAfterTest(() => running.close());
  return { upstream, origin: running.origin };
}

test(
  'bytes that look like requests are answered or hung up on, and reach the upstream once at most',
  async () => {
    const { upstream, origin } = await startEcho();
    const target = `${origin}/up`;
    const front = await startFront({ target, retries: 0, timeout: { idle: 300 } });
    const straight = await startEcho();
    let arrivals = 0;

    const played = fc.record({
      bytes: fc
        .array(fc.constantFrom(...REQUESTS), { minLength: 1, maxLength: 2 })
        .chain((list) => mutated(list.join(''))),
      isPatient: fc.boolean(),
    });
    const property = fc.asyncProperty(played, async ({ bytes, isPatient }) => {
      const spoken = await speak(front.origin, bytes, isPatient && isForProxy(bytes));
      expect(spoken.text).toMatch(/^(HTTP\/1\.1 \d{3} [^]*)?$/);
      expect(spoken.isClosed || spoken.text !== '').toBe(true);

      const after = await send(`${front.baseUrl}/models`);
      expect([after.status, after.text]).toEqual([200, 'ok']);
      const direct = await readDirectly(straight, bytes);
      const arrived = upstream.arrived.splice(0);
      arrivals += arrived.length;
      // Nothing arrives that the proxy has not sent as a request of its own.
      expect(arrivals).toBeLessThanOrEqual(front.recorder.attempts);
      expect(arrived.map(complaintOf).filter((complaint) => complaint !== undefined)).toEqual([]);
      for (const each of arrived) {
        expect(each.url.startsWith('/up')).toBe(true);
        expect(each.url === '/up/models' || isOneOf(each, direct)).toBe(true);
      }
    });
    await fc.assert(property, runs(400));
    await until(() => front.proxy.inFlight === 0);
  },
  patienceMs(),
);

test(
  'a request that stops on its way, anywhere behind its head, is answered',
  async () => {
    const { origin } = await startEcho();
    const target = `${origin}/up`;
    const front = await startFront({ target, retries: 0, timeout: { idle: 100 } });
    const withBodies = REQUESTS.filter(
      (each) => !each.endsWith('\r\n\r\n') || / chunked/.test(each),
    );
    const stopped = fc.constantFrom(...withBodies).chain((request) => {
      const bodyAt = request.indexOf('\r\n\r\n') + 4;
      return fc
        .integer({ min: bodyAt, max: request.length - 1 })
        .map((at) => Buffer.from(request.slice(0, at)));
    });
    const property = fc.asyncProperty(stopped, async (bytes) => {
      const { text } = await speak(front.origin, bytes, true);
      expect(text).toMatch(/^(HTTP\/1\.1 100 Continue\r\n\r\n)?HTTP\/1\.1 [2-5]\d\d /);
    });
    await fc.assert(property, runs(12));
    await until(() => front.proxy.inFlight === 0);
  },
  patienceMs(),
);
