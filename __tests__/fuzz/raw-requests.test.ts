import net from 'node:net';
import { expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { closeAfterTest, startFront } from '../helpers/scene.ts';
import { listen, send } from '../helpers/serve.ts';
import { EchoUpstream } from './echo-upstream.ts';
import { mutated } from './mutated.ts';
import { patienceMs, runs } from './runs.ts';

const REQUESTS: readonly string[] = [
  'POST /api/v1/chat/completions HTTP/1.1\r\nHost: p\r\nContent-Type: application/json\r\nContent-Length: 24\r\n\r\n{"model":"m","logprobs":}',
  'POST /api/v1/upload HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
  'GET /api/v1/models?x=1 HTTP/1.1\r\nHost: p\r\nX-A: b\r\n\r\n',
  'PUT /api/v1/x HTTP/1.1\r\nHost: p\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc',
  'GET http://p/api/v1/models HTTP/1.0\r\nConnection: keep-alive\r\n\r\n',
];

/** Writes the bytes, says that there are no more, and waits for the end. */
function speak(origin: string, bytes: Buffer): Promise<void> {
  const { hostname, port } = new URL(origin);
  return new Promise((resolve) => {
    const socket = net.connect(Number(port), hostname, () => socket.end(bytes));
    socket.on('error', () => {});
    socket.on('close', () => resolve()).resume();
  });
}

test(
  'bytes that look like requests are answered or hung up on, and reach the upstream once at most',
  async () => {
    const upstream = new EchoUpstream();
    upstream.plan = { status: 200, headers: [], pieces: [Buffer.from('ok')], framing: 'length' };
    const running = await listen(upstream.listener);
    closeAfterTest(() => running.close());
    const target = `${running.origin}/up`;
    const front = await startFront({ target, retries: 0, timeout: { idle: 300 } });

    const property = fc.asyncProperty(
      fc
        .array(fc.constantFrom(...REQUESTS), { minLength: 1, maxLength: 2 })
        .chain((list) => mutated(list.join(''))),
      async (bytes) => {
        upstream.arrived.length = 0;
        const before = front.recorder.attempts;
        await speak(front.origin, bytes);
        // Nothing arrives that the proxy has not sent as a request of its own.
        expect(upstream.arrived.length).toBeLessThanOrEqual(front.recorder.attempts - before);
        for (const { url } of upstream.arrived) expect(url.startsWith('/up')).toBe(true);
        const after = await send(`${front.baseUrl}/models`);
        expect([after.status, after.text]).toEqual([200, 'ok']);
      },
    );
    await fc.assert(property, runs(400));
    expect(front.proxy.inFlight).toBe(0);
  },
  patienceMs(),
);
