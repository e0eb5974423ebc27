import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { describe, expect, test } from '@jest/globals';
import { startScene } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';
import { FIRST_PATH, expectBounded, growthOf } from './helpers/watched.ts';
import { startUpstream } from './helpers/wire.ts';

const MB = 1_000_000;
const LIMIT_MB = 80;

const rest = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });

/** Reads to the end: for a second as slowly as a bad line, then as fast as it goes. */
async function readSlowly(
  stream: http.IncomingMessage,
): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256');
  let bytes = 0;
  let pieces = 0;
  for await (const piece of stream as AsyncIterable<Buffer>) {
    hash.update(piece);
    bytes += piece.length;
    pieces += 1;
    if (pieces <= 40) await rest(25);
  }
  return { bytes, sha256: hash.digest('hex') };
}

/** Writes `bytes` of them as fast as it is let. */
async function pour(stream: NodeJS.WritableStream, piece: Buffer, bytes: number): Promise<string> {
  const hash = createHash('sha256');
  for (let left = bytes; left > 0; left -= piece.length) {
    const next = piece.subarray(0, left);
    hash.update(next);
    // oxlint-disable-next-line no-await-in-loop -- one after another, or this process holds them all
    if (!stream.write(next)) await once(stream, 'drain');
  }
  stream.end();
  return hash.digest('hex');
}

const EVENT = Buffer.from(`data: ${'x'.repeat(65_528)}\n\n`);
const PIECE = Buffer.from(Array.from({ length: 65_536 }, (_, place) => (place * 7) % 251));

describe('the process grows by less than 80 MB', () => {
  test.each([25 * MB, 200 * MB])(
    'by an upload of %d bytes to a slow upstream',
    async (bytes) => {
      let got: Awaited<ReturnType<typeof readSlowly>> | undefined;
      const upstream = await startUpstream((req, res) => {
        const take = async (): Promise<void> => {
          got = await readSlowly(req);
          res.end('{}');
        };
        if (req.url === FIRST_PATH) res.end('{}');
        else void take();
      });
      await expectBounded(upstream, LIMIT_MB, async (baseUrl) => {
        const request = http.request(`${baseUrl}/audio/transcriptions`, {
          method: 'POST',
          agent: false,
          headers: { 'content-type': 'multipart/form-data; boundary=x' },
        });
        const answered = once(request, 'response') as Promise<[http.IncomingMessage]>;
        const sha256 = await pour(request, PIECE, bytes);
        const [response] = await answered;
        response.resume();
        await once(response, 'end');
        expect(response.statusCode).toBe(200);
        expect(got).toEqual({ bytes, sha256 });
      });
    },
    120_000,
  );

  test.each(['application/octet-stream', 'text/event-stream'])(
    'by a download of 200 MB (%s) with a slow reader',
    async (type) => {
      const bytes = 200 * MB;
      const piece = type === 'text/event-stream' ? EVENT : PIECE;
      let sent = '';
      const upstream = await startUpstream((req, res) => {
        const give = async (): Promise<void> => {
          res.writeHead(200, { 'content-type': type });
          sent = await pour(res, piece, bytes);
        };
        if (req.url === FIRST_PATH) res.end('{}');
        else void give();
      });
      await expectBounded(upstream, LIMIT_MB, async (baseUrl) => {
        const request = http.get(`${baseUrl}/download`, { agent: false });
        const [response] = (await once(request, 'response')) as [http.IncomingMessage];
        const got = await readSlowly(response);
        expect(response.complete).toBe(true);
        expect(got).toEqual({ bytes, sha256: sent });
      });
    },
    120_000,
  );
});

test('a body that is held takes less than four times its size', async () => {
  const { venice, target } = await startScene();
  const messages = [{ role: 'user', content: 'x'.repeat(25 * MB) }];
  const growth = await growthOf(target, async (baseUrl) => {
    const body = { model: 'm', messages, top_logprobs: 1 };
    const reply = await send(`${baseUrl}/chat/completions`, { body });
    expect(reply.status).toBe(200);
    expect(reply.headers['x-venice-proxy-dropped']).toBe('top_logprobs');
  });
  expect(venice.calls.at(-1)?.bodyBytes).toBeGreaterThan(25 * MB);
  expect(growth).toBeLessThan(100);
}, 120_000);
