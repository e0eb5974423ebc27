import net from 'node:net';
import { expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { closeAfterTest, startFront } from '../helpers/scene.ts';
import { listen, send } from '../helpers/serve.ts';
import { EchoUpstream } from './echo-upstream.ts';
import type { Arrived } from './echo-upstream.ts';
import { mutated } from './mutated.ts';
import { patienceMs, runs } from './runs.ts';

const REQUESTS: readonly string[] = [
  'POST /api/v1/chat/completions HTTP/1.1\r\nHost: p\r\nContent-Type: application/json\r\nContent-Length: 24\r\n\r\n{"model":"m","logprobs":}',
  'POST /api/v1/chat/completions HTTP/1.1\r\nHost: p\r\nContent-Type: application/json\r\nContent-Length: 26\r\n\r\n{"model":"m","logprobs":1}',
  'POST /api/v1/upload HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
  'GET /api/v1/models?x=1 HTTP/1.1\r\nHost: p\r\nX-A: b\r\n\r\n',
  'DELETE /api/v1/x HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\nab',
  'PUT /api/v1/x HTTP/1.1\r\nHost: p\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc',
  'GET http://p/api/v1/models HTTP/1.0\r\nConnection: keep-alive\r\n\r\n',
];

/** A connection of a client, and what has come over it. */
interface Spoken {
  readonly text: string;
  readonly isClosed: boolean;
}

/**
 * Writes the bytes. A patient client waits with an open connection until something comes; another
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
      if (!isPatient) return;
      resolve({ text, isClosed: false });
      socket.destroy();
    });
    socket.on('close', () => resolve({ text, isClosed: true }));
  });
}

/** Whether there is a head. For the rest of one that has begun, the app's server decides how long it waits. */
function hasHead(bytes: Buffer): boolean {
  return /^[\r\n]*[^\r\n][^]*\r\n\r\n/.test(bytes.toString('latin1'));
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

test(
  'bytes that look like requests are answered or hung up on, and reach the upstream once at most',
  async () => {
    const upstream = new EchoUpstream();
    upstream.plan = { ...upstream.plan, pieces: [Buffer.from('ok')] };
    const running = await listen(upstream.listener);
    closeAfterTest(() => running.close());
    const target = `${running.origin}/up`;
    const front = await startFront({ target, retries: 0, timeout: { idle: 100 } });
    let arrivals = 0;

    const played = fc.record({
      bytes: fc
        .array(fc.constantFrom(...REQUESTS), { minLength: 1, maxLength: 2 })
        .chain((list) => mutated(list.join(''))),
      isPatient: fc.boolean(),
    });
    const property = fc.asyncProperty(played, async ({ bytes, isPatient }) => {
      const spoken = await speak(front.origin, bytes, isPatient && hasHead(bytes));
      expect(spoken.text).toMatch(/^(HTTP\/1\.1 \d{3} [^]*)?$/);
      expect(spoken.isClosed || spoken.text !== '').toBe(true);

      const after = await send(`${front.baseUrl}/models`);
      expect([after.status, after.text]).toEqual([200, 'ok']);
      const arrived = upstream.arrived.splice(0);
      arrivals += arrived.length;
      // Nothing arrives that the proxy has not sent as a request of its own.
      expect(arrivals).toBeLessThanOrEqual(front.recorder.attempts);
      expect(arrived.map(complaintOf).filter((complaint) => complaint !== undefined)).toEqual([]);
      for (const { url } of arrived) expect(url.startsWith('/up')).toBe(true);
    });
    await fc.assert(property, runs(400));
    expect(front.proxy.inFlight).toBe(0);
  },
  patienceMs(),
);
