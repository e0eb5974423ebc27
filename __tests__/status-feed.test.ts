import { IncomingMessage, ServerResponse, request } from 'node:http';
import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import { MOST_WATCHERS, StatusFeed } from '../examples/server/status/feed.ts';
import { StatusHistory } from '../examples/server/status/history.ts';
import type { Live } from '../examples/server/status/live-state.ts';
import type { RequestState } from '../lib/index.ts';
import { closeAfterTest } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';
import { CHAT, startTestServer } from './helpers/start-test-server.ts';
import { until } from './helpers/until.ts';
import { dial } from './helpers/wire.ts';

interface Told {
  readonly now: number;
  readonly whole?: true;
  readonly requests?: { readonly total: number; readonly shown: readonly object[] };
  readonly buckets?: { readonly total: number; readonly shown: readonly object[] };
  readonly plot?: readonly (readonly number[])[];
  readonly ended?: readonly object[];
  readonly draining?: boolean;
}

class Watcher {
  status = 0;
  text = '';
  isOver = false;
  readonly #request;

  constructor(origin: string) {
    this.#request = request(`${origin}/status/events`, { agent: false }, (response) => {
      this.status = response.statusCode ?? 0;
      response
        .setEncoding('utf8')
        .on('data', (text: string) => (this.text += text))
        .on('error', () => {})
        .on('close', () => (this.isOver = true));
    });
    this.#request.on('error', () => {}).end();
    closeAfterTest(() => this.leave());
  }

  leave(): void {
    this.#request.destroy();
  }

  get told(): Told[] {
    const events = this.text.matchAll(/^data: (.*)\n\n/gm);
    return [...events].map(([, json = '']) => JSON.parse(json) as Told);
  }

  /** What was told last of something. */
  last<Part extends keyof Told>(part: Part): Told[Part] | undefined {
    return this.told.findLast((told) => part in told)?.[part];
  }
}

async function watch(origin: string): Promise<Watcher> {
  const watcher = new Watcher(origin);
  await until(() => watcher.told.length > 0 || watcher.isOver);
  return watcher;
}

/** A response that nobody reads, and a proxy of which only a part is there. */
function unread(): ServerResponse {
  return new ServerResponse(new IncomingMessage(new Socket()));
}

/** As its connection would say. */
function leave(res: ServerResponse): void {
  res.emit('close');
}

class MadeUp implements Live {
  looks = 0;
  states: readonly RequestState[] = [];
  draining = false;

  requests(): readonly RequestState[] {
    this.looks += 1;
    return this.states;
  }

  buckets(): [] {
    return [];
  }
}

describe('the events of the status page', () => {
  test('tell everything at once, then what has changed', async () => {
    const { origin, url } = await startTestServer();
    await send(`${url}/models`);
    const watcher = await watch(origin);
    expect(watcher.text).toMatch(/^retry: 1000\ndata: \{"now":\d+,"whole":true,/);
    const [first] = watcher.told;
    expect(first).toMatchObject({ requests: { total: 0, shown: [] }, draining: false });
    expect(first?.ended).toEqual([
      expect.objectContaining({ n: 1, method: 'GET', path: '/models', status: 200, attempts: 1 }),
    ]);
    expect(first?.plot).toEqual([[expect.any(Number), 1, 0, 0]]);

    await send(`${url}/chat/completions`, { body: CHAT });
    await until(() => watcher.told.some(({ ended }, i) => i > 0 && ended !== undefined));
    expect(watcher.last('ended')).toEqual([
      expect.objectContaining({ n: 2, model: CHAT.model, outcome: 'answered', status: 200 }),
    ]);
    await until(() => (watcher.last('buckets')?.total ?? 0) > 1);
    expect(watcher.last('buckets')?.shown).toContainEqual({
      model: CHAT.model,
      key: expect.stringMatching(/^[\da-f]{8}$/),
      requests: { limit: 100, remaining: 99, resetsAt: expect.any(Number) },
      tokens: { limit: 2_000_000, remaining: expect.any(Number), resetsAt: expect.any(Number) },
      waiting: 0,
    });
    for (const told of watcher.told.slice(1)) expect(told.whole).toBeUndefined();
  });

  test('tell the phases of a request, and nothing when nothing happens', async () => {
    const { origin, url, standIn } = await startTestServer({ BASE_RETRY_DELAY: '30' });
    const watcher = await watch(origin);
    standIn.script({ kind: 'silent' });
    const asked = send(`${url}/chat/completions`, { body: { ...CHAT, stream: true } });
    asked.catch(() => {});
    await until(() => watcher.last('requests')?.total === 1);
    const [state] = watcher.last('requests')?.shown ?? [];
    expect(state).toMatchObject({ phase: 'attempt', attempts: 1, stream: true, waitedMs: 0 });
    const { length } = watcher.told;
    await sleep(600);
    // A point in time that lies on a border may be told once more.
    expect(watcher.told.length - length).toBeLessThan(3);
  });

  test('tell no key, no body and no query', async () => {
    const { origin, url, standIn } = await startTestServer({ MAX_RETRIES: '0' });
    standIn.script({ kind: 'answer', status: 400, body: { error: 'upstream-words' } });
    const watcher = await watch(origin);
    await send(`${url}/chat/completions?secret=query-words`, {
      body: { ...CHAT, messages: [{ role: 'user', content: 'body-words' }] },
      headers: { authorization: 'Bearer key-words' },
    });
    await until(() => watcher.last('ended')?.length === 1);
    expect(watcher.text).toContain('"status":400');
    expect(watcher.text).not.toMatch(/(query|body|key|upstream)-words/);
  });

  test('go to so many at once, and the next one may come when one leaves', async () => {
    const { origin } = await startTestServer();
    const watchers = await Promise.all(Array.from({ length: MOST_WATCHERS }, () => watch(origin)));
    expect(watchers.map(({ status }) => status)).toEqual(watchers.map(() => 200));
    const refused = await send(`${origin}/status/events`);
    expect(refused.status).toBe(503);
    expect(JSON.parse(refused.text)).toMatchObject({ error: { code: 'too_many_watchers' } });
    watchers[0]?.leave();
    for (;;) {
      // oxlint-disable-next-line no-await-in-loop -- the server hears of it a moment later
      const next = await watch(origin);
      if (next.status === 200) break;
    }
  });

  test('are not promised to a connection that gets them already, nor kept for it when it is gone', async () => {
    const { origin } = await startTestServer();
    const line = await dial(origin);
    const asked = 'GET /status/events HTTP/1.1\r\nHost: localhost\r\n\r\n';
    await line.write(asked.repeat(MOST_WATCHERS + 1));
    await line.until('"whole":true');
    const other = await watch(origin);
    expect(other.status).toBe(200);
  });

  test('end when the server is asked to, which waits for nobody who watches', async () => {
    const server = await startTestServer({ SHUTDOWN_GRACE: '30' });
    const watchers = await Promise.all([watch(server.origin), watch(server.origin)]);
    const begunAt = performance.now();
    await server.close();
    expect(performance.now() - begunAt).toBeLessThan(5_000);
    await until(() => watchers.every(({ isOver }) => isOver));
    for (const watcher of watchers) expect(watcher.last('draining')).toBe(true);
  });

  test('go on until the last request has ended', async () => {
    const server = await startTestServer({ SHUTDOWN_GRACE: '30' }, { tokenDelayMs: 30 });
    const watcher = await watch(server.origin);
    const asked = send(`${server.url}/chat/completions`, {
      body: { ...CHAT, stream: true, x_words: 30 },
    });
    await until(() => watcher.last('requests')?.total === 1);
    const closed = server.close();
    await until(() => watcher.last('draining') === true);
    expect(watcher.isOver).toBe(false);
    expect((await asked).text).toContain('[DONE]');
    await closed;
    await until(() => watcher.isOver);
    expect(watcher.last('ended')).toEqual([expect.objectContaining({ outcome: 'answered' })]);
  });
});

describe('the feed', () => {
  test('looks at nothing while nobody watches', async () => {
    const live = new MadeUp();
    const feed = new StatusFeed(live, new StatusHistory(), true, {
      lookAgainMs: 5,
      heartbeatMs: 1_000,
    });
    await sleep(30);
    expect(live.looks).toBe(0);
    const res = unread();
    feed.watch(res);
    await until(() => live.looks > 2);
    leave(res);
    const { looks } = live;
    await sleep(50);
    expect(live.looks).toBe(looks);
  });

  test('sends a comment after silence', async () => {
    const written: string[] = [];
    const res = unread();
    res.write = (text: string) => written.push(text) > 0;
    const feed = new StatusFeed(new MadeUp(), new StatusHistory(), true, {
      lookAgainMs: 5,
      heartbeatMs: 20,
    });
    feed.watch(res);
    await until(() => written.length > 2);
    leave(res);
    expect(written.slice(1, 3)).toEqual([':\n\n', ':\n\n']);
  });

  test('lets go who does not read', async () => {
    const live = new MadeUp();
    const feed = new StatusFeed(live, new StatusHistory(), true, {
      lookAgainMs: 5,
      heartbeatMs: 1_000,
    });
    const res = unread();
    feed.watch(res);
    const more = setInterval(() => {
      live.states = Array.from({ length: 100 }, (_, i) => ({
        id: String(i),
        method: 'GET',
        path: '/'.repeat(200),
        model: 'm'.repeat(200),
        stream: false,
        phase: 'held',
        attempts: 0,
        waitedMs: live.looks,
        ageMs: 0,
      }));
    }, 5);
    await until(() => res.destroyed);
    clearInterval(more);
    leave(res);
    expect(res.writableLength).toBeLessThan(512 * 1024);
  });

  test('tells who comes later the same as the others', () => {
    const live = new MadeUp();
    const history = new StatusHistory();
    const feed = new StatusFeed(live, history, true, { lookAgainMs: 60_000, heartbeatMs: 60_000 });
    const texts = ['', ''];
    const watchers = texts.map((_, i) => {
      const res = unread();
      res.write = (text: string) => (texts[i] += text) !== '';
      return res;
    });
    const [one, other] = watchers;
    if (one) feed.watch(one);
    live.draining = true;
    if (other) feed.watch(other);
    for (const res of watchers) leave(res);
    expect(texts[0]).toMatch(/"draining":false[^]*"draining":true/);
    expect(texts[1]).toMatch(/"draining":true/);
    expect(texts[1]).not.toMatch(/"draining":false/);
  });
});
