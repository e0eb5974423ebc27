import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { json as readJson } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { chatCompletion } from '../stand-in-venice/chat.ts';
import { listModels } from '../stand-in-venice/models.ts';
import { isObject, json } from '../stand-in-venice/reply.ts';
import type { Reply } from '../stand-in-venice/reply.ts';

/** What may go wrong in the demo: the window is used up, the model is busy, the connection breaks. */
type Trouble = 'limited' | 'busy' | 'lost';

/** As much of the stand-in for Venice as the demo needs: chat and models, one window, few troubles. */
export interface DemoVenice {
  /** Resolves with the base URL. */
  listen(): Promise<string>;
  /** What happens to the next calls of chat, one each. */
  expect(...troubles: readonly Trouble[]): void;
  close(): Promise<void>;
}

const LIMIT = 100;
const WINDOW_MS = 60_000;
/** How soon a window that is used up for the show begins anew. */
const SHOWN_RESET_MS = 1_500;

/** @param wordMs - milliseconds between the words of a stream */
export function createDemoVenice(wordMs: number): DemoVenice {
  const troubles: Trouble[] = [];
  const window = { used: 0, resetsAt: 0 };

  const server = createServer((req, res) => {
    // Whoever leaves in the middle gets nothing, which is no failure.
    answer(req, res).catch(() => res.destroy());
  });

  async function answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(req.url ?? '', 'http://localhost');
    const body: unknown = await readJson(req).catch(() => undefined);
    if (pathname === '/api/v1/models') return deliver(res, listModels(searchParams));
    if (pathname !== '/api/v1/chat/completions') {
      return deliver(res, json({ error: 'The demo has chat and models only.' }, 404));
    }
    if (!isObject(body)) return deliver(res, json({ error: 'Invalid JSON' }, 400));
    const trouble = troubles.shift();
    if (trouble === 'lost') return void req.socket.resetAndDestroy();
    if (trouble === 'busy') {
      // On a kept connection the break that follows would be taken for its belated end.
      res.setHeader('connection', 'close');
      const error = { error: 'The model is at capacity.', code: 'MODEL_AT_CAPACITY' };
      return deliver(res, json(error, 503));
    }
    const isOpen = takePlace(trouble === 'limited');
    res.setHeader('x-ratelimit-limit-requests', LIMIT);
    res.setHeader('x-ratelimit-remaining-requests', Math.max(0, LIMIT - window.used));
    res.setHeader('x-ratelimit-reset-requests', Math.ceil(window.resetsAt / 1_000));
    if (isOpen) return deliver(res, chatCompletion(body));
    return deliver(res, json({ error: 'Rate limit exceeded' }, 429));
  }

  /** Whether there is one in the window, which the show may have used up. */
  function takePlace(isUsedUp: boolean): boolean {
    const now = Date.now();
    if (now >= window.resetsAt) Object.assign(window, { used: 0, resetsAt: now + WINDOW_MS });
    if (isUsedUp) Object.assign(window, { used: LIMIT, resetsAt: now + SHOWN_RESET_MS });
    window.used += 1;
    return window.used <= LIMIT;
  }

  async function deliver(res: ServerResponse, reply: Reply): Promise<void> {
    res.writeHead(reply.status, reply.headers);
    for (const piece of reply.pieces) {
      res.write(piece);
      // oxlint-disable-next-line no-await-in-loop -- one word after the other
      if (reply.paced) await sleep(wordMs);
      if (res.destroyed) return;
    }
    res.end();
  }

  return {
    async listen() {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const address = server.address();
      if (address === null || typeof address === 'string') throw new Error('It does not listen.');
      return `http://127.0.0.1:${address.port}/api/v1`;
    },
    expect: (...expected) => void troubles.push(...expected),
    async close() {
      if (!server.listening) return;
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
