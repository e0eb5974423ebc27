import http from 'node:http';
import type { IncomingMessage } from 'node:http';
import { expect, test } from '@jest/globals';
import { startFront } from './helpers/scene.ts';
import { startUpstream } from './helpers/wire.ts';

const IDLE_MS = 1_000;
const REST_MS = 10;

/** Converted, more than the buffers of a connection take. */
const ANSWER = JSON.stringify({
  object: 'list',
  model: 'm',
  data: Array.from({ length: 700 }, (_, index) => ({
    object: 'embedding',
    index,
    embedding: Array.from({ length: 4_096 }, (__, place) => (place % 9) / 8),
  })),
});

/** Asks for base64 where the upstream has floats only, and gives each piece of that to `use`. */
async function askFor(
  use: (piece: Buffer, response: IncomingMessage, call: http.ClientRequest) => void,
) {
  const target = await startUpstream((req, res) => {
    req.resume().on('end', () => {
      res.writeHead(200, { 'content-type': 'application/json' }).end(ANSWER);
    });
  });
  const front = await startFront({ target, timeout: { idle: IDLE_MS, firstByte: 30_000 } });
  const body = JSON.stringify({ model: 'm', input: 'x', encoding_format: 'base64' });
  const headers = { 'content-type': 'application/json', 'content-length': body.length };
  const isComplete = await new Promise<boolean>((resolve, reject) => {
    const url = `${front.baseUrl}/embeddings`;
    const call = http.request(url, { method: 'POST', agent: false, headers }, (response) => {
      response.on('data', (piece: Buffer) => use(piece, response, call));
      response.on('error', () => {});
      response.on('close', () => resolve(response.complete));
    });
    call.on('error', reject);
    call.end(body);
  });
  return { isComplete, answer: await front.recorder.ended() };
}

test('who reads a converted answer slowly gets all of it, however long that takes', async () => {
  const begunAt = performance.now();
  const { isComplete, answer } = await askFor((_piece, response) => {
    response.pause();
    setTimeout(() => response.resume(), REST_MS);
  });
  // Else nothing was slow.
  expect(performance.now() - begunAt).toBeGreaterThan(2 * IDLE_MS);
  expect(isComplete).toBe(true);
  expect(answer.outcome).toBe('answered');
}, 30_000);

test('who leaves in the middle of a converted answer was not answered', async () => {
  const { isComplete, answer } = await askFor((_piece, _response, call) => call.destroy());
  expect(isComplete).toBe(false);
  expect(answer.outcome).toBe('client_left');
}, 30_000);
