import { createServer } from 'node:http';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import express from 'express';
import { createVeniceProxy } from 'venice-proxy';
import type { AnswerEvent, RequestInfo, RetryEvent } from 'venice-proxy';
import { createStandInVenice } from '../examples/stand-in-venice.ts';
import { StatusFeed } from '../examples/server/status/feed.ts';
import { PLOT_MS, STEP_MS, StatusHistory, steadyClock } from '../examples/server/status/history.ts';
import { statusRoutes } from '../examples/server/status/routes.ts';

/** A proxy with much to do, and its status page. */
export interface StatusScene {
  readonly url: string;
  close(): Promise<void>;
}

const CHAT = '/chat/completions';
const REQUEST: RequestInfo = {
  id: '0',
  method: 'POST',
  path: CHAT,
  model: 'llama-3.3-70b',
  stream: false,
};
const RETRY: RetryEvent = {
  request: REQUEST,
  attempt: 1,
  status: 503,
  reason: 'status 503',
  delayMs: 1_000,
};
const ENDED: AnswerEvent = {
  request: REQUEST,
  status: 200,
  outcome: 'answered',
  code: undefined,
  attempts: 1,
  waitedMs: 0,
  firstByteMs: 300,
  totalMs: 900,
  dropped: [],
};

/**
 * Real requests, of which one model has too many, one fails and one streams, against a stand-in. Only
 * the quarter of an hour before them is made up: nobody wants to wait for that.
 */
export async function playStatusScene(): Promise<StatusScene> {
  let past: number | undefined;
  const history = new StatusHistory(() => past ?? steadyClock());
  const begunAt = steadyClock() - PLOT_MS;
  for (let step = 0; step < PLOT_MS / STEP_MS; step += 1) {
    past = begunAt + step * STEP_MS;
    playStep(history, step);
  }
  past = undefined;

  const standIn = createStandInVenice({
    requests: { limit: 12, windowMs: 40_000 },
    tokens: { limit: 2_000, windowMs: 40_000 },
    tokenDelayMs: 400,
    latencyMs: 250,
  });
  const target = await standIn.listen();
  const proxy = createVeniceProxy({ target, baseRetryDelay: 4_000, on: history.hooks });
  const feed = new StatusFeed(proxy, history, true);
  const app = express();
  app.use(
    '/status',
    statusRoutes(feed, (_req, _res, next) => next()),
  );
  app.use('/api/v1', proxy);
  const server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const origin = `http://127.0.0.1:${port}`;

  const ask = async (model: string, words: number, stream = false): Promise<void> => {
    const content = 'Tell me of the sea, of the wind and of the ships. '.repeat(4);
    const body = { model, stream, x_words: words, messages: [{ role: 'user', content }] };
    // Those that are under way at the end break off.
    await fetch(`${origin}/api/v1${CHAT}`, {
      method: 'POST',
      headers: { authorization: 'Bearer any-key', 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
      .then((response) => response.arrayBuffer())
      .catch(() => {});
  };
  const many = (count: number, model: string, words: number): Promise<unknown> =>
    Promise.all(Array.from({ length: count }, () => ask(model, words)));

  await many(12, 'llama-3.3-70b', 40);
  standIn.script({ kind: 'answer', status: 503 });
  await many(3, 'qwen3-235b', 30);
  await ask('mistral-31-24b', 5, true);
  standIn.script({ kind: 'cut-stream', afterEvents: 2 });
  await ask('mistral-31-24b', 5, true);
  standIn.script({ kind: 'answer', status: 400, body: { error: 'Invalid request' } });
  await ask('qwen3-235b', 5);

  // These are under way when the picture is taken.
  for (let i = 0; i < 5; i += 1) void ask('llama-3.3-70b', 30);
  void ask('qwen3-235b', 200, true);
  void ask('deepseek-r1', 200, true);
  await sleep(800);
  standIn.script({ kind: 'answer', status: 503, headers: { 'retry-after': '20' } });
  void ask('qwen3-235b', 10);
  await sleep(700);
  standIn.script({ kind: 'silent' });
  void ask('mistral-31-24b', 10);
  await sleep(1_000);

  return {
    url: `${origin}/status`,
    async close() {
      feed.close();
      await standIn.close();
      server.closeAllConnections();
      server.close();
    },
  };
}

/** A quiet quarter of an hour with one bad moment; the same each time. */
function playStep({ hooks }: StatusHistory, step: number): void {
  const isBad = step > 27 && step < 33;
  const wave = 14 + 8 * Math.sin(step / 5) + 5 * Math.sin(step * 2.3);
  const answers = Math.round(isBad ? wave / 2 : wave);
  const retries = isBad ? 7 : Number(step % 9 === 4) * 2;
  const refusals = step > 29 && isBad ? 4 : Number(step % 21 === 6);
  for (let i = 0; i < retries; i += 1) hooks.retry?.(RETRY);
  for (let i = 0; i < refusals; i += 1) hooks.answer?.({ ...ENDED, status: 503 });
  for (let i = 0; i < answers; i += 1) hooks.answer?.(ENDED);
}
