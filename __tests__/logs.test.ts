import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import createDebug from 'debug';
import { readFileSync, readdirSync } from 'node:fs';
import { join, parse } from 'node:path';
import { format } from 'node:util';
import type { Fault } from '../examples/stand-in-venice.ts';
import type { ProxyHooks } from '../lib/index.ts';
import { oneIn } from './helpers/held.ts';
import { ROOT } from './helpers/program.ts';
import {
  CHAT,
  Recorder,
  chat,
  closeAfterTest,
  deserted,
  exchangeRaw,
  startFront,
  startScene,
} from './helpers/scene.ts';
import { send, startProxy } from './helpers/serve.ts';
import type { Reply } from './helpers/serve.ts';
import { dial } from './helpers/wire.ts';

const SPACE = 'venice-proxy:';

let lines: string[] = [];
const { log } = createDebug;

beforeEach(() => {
  lines = [];
  createDebug.log = (...args: unknown[]) => void lines.push(format(...args));
  createDebug.enable(`${SPACE}*`);
});

afterEach(() => {
  createDebug.disable();
  createDebug.log = log;
});

/** The lines of one namespace, without what `debug` puts in front of them. */
function linesOf(name: string): string[] {
  const mark = `${SPACE}${name} `;
  return lines
    .filter((line) => line.includes(mark))
    .map((line) => line.slice(line.indexOf(mark) + mark.length));
}

describe('one line a request', () => {
  test('tells method, path, model, status, attempts, wait, first byte and total', async () => {
    const scene = await startScene({ rateLimitWait: 100 });
    scene.venice.script({ kind: 'abuse-block' }, { kind: 'answer', status: 500 });
    expect((await chat(scene, { logprobs: true })).status).toBe(200);
    const event = await scene.recorder.ended();
    expect(linesOf('request-log')).toEqual([
      `POST /chat/completions id=${event.request.id} model=llama-3.3-70b status=200 ` +
        `outcome=answered attempts=3 waitedMs=${event.waitedMs} ` +
        `firstByteMs=${event.firstByteMs} totalMs=${event.totalMs} dropped=logprobs`,
    ]);
    expect(event.waitedMs).toBeGreaterThan(0);
    expect(event.firstByteMs).toBeGreaterThanOrEqual(event.waitedMs);
    expect(event.totalMs).toBeGreaterThanOrEqual(event.firstByteMs ?? Infinity);
  });

  test.each<[string, Fault | undefined, object, RegExp]>([
    [
      'an answer of whatever status',
      { kind: 'answer', status: 402, body: 'x' },
      {},
      /status=402 outcome=answered attempts=1/,
    ],
    [
      'an error of our own',
      { kind: 'head-then-silent' },
      {},
      /status=504 outcome=refused code=upstream_timeout attempts=1/,
    ],
    [
      'a stream that broke',
      { kind: 'cut-stream', afterEvents: 1 },
      { stream: true },
      /status=200 outcome=broken code=upstream_disconnected attempts=1/,
    ],
    [
      'a refused body',
      undefined,
      { x: 'x'.repeat(2_000) },
      /status=413 outcome=refused code=body_too_large attempts=0/,
    ],
  ])('stands for %s', async (_name, fault, changes, wanted) => {
    const scene = await startScene({ timeout: { idle: 80 }, bodyLimit: 2_000 });
    if (fault !== undefined) scene.venice.script(fault);
    await chat(scene, changes);
    await scene.recorder.ended();
    expect(linesOf('request-log')).toEqual([expect.stringMatching(wanted)]);
  });

  test('stands for a client that left', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'silent' });
    const client = await dial(scene.origin);
    await client.write('GET /api/v1/models HTTP/1.1\r\nHost: p\r\n\r\n');
    await scene.venice.arrived(1);
    client.reset();
    await scene.recorder.ended();
    expect(linesOf('request-log')).toEqual([
      expect.stringMatching(
        /^GET \/models id=\w+ outcome=client_left attempts=1 waitedMs=0 totalMs=\d+$/,
      ),
    ]);
  });

  test('stays one line, whatever the client calls its model', async () => {
    const scene = await startScene();
    const model = 'm" status=200\nvenice-proxy:request-log GET /forged \u001b[31m';
    await chat(scene, { model });
    await scene.recorder.ended();
    const [line, ...others] = linesOf('request-log');
    expect(others).toEqual([]);
    expect(line).toContain(` model=${JSON.stringify(model)} `);
    expect(line).not.toContain('\n');
    expect(line).not.toContain('\u001b');
  });

  test('carries an id that stands in all lines of its request, and in no other', async () => {
    const scene = await startScene({ retries: 1 });
    scene.venice.script({ kind: 'answer', status: 500 }, { kind: 'answer', status: 502 });
    await chat(scene);
    await chat(scene);
    const ids = (await Promise.all([scene.recorder.ended(1), scene.recorder.ended(2)])).map(
      ({ request }) => request.id,
    );
    expect(new Set(ids).size).toBe(2);
    const [first] = ids;
    const ofFirst = lines.filter((line) => line.includes(` id=${first} `));
    expect(ofFirst.map((line) => /venice-proxy:(\S+)/.exec(line)?.[1])).toEqual(
      expect.arrayContaining(['forward', 'request-log']),
    );
    expect(linesOf('request-log')).toHaveLength(2);
  });
});

describe('one line a retry', () => {
  test('tells the reason and the delay', async () => {
    const scene = await startScene({ rateLimitWait: 15 });
    scene.venice.script(
      { kind: 'reset', after: 'body' },
      { kind: 'answer', status: 502 },
      { kind: 'abuse-block' },
      { kind: 'rate-limited', resetMs: 60_000, retryAfter: 0.01 },
    );
    expect((await chat(scene)).status).toBe(200);
    const { request } = await scene.recorder.ended();
    const start = `trying again id=${request.id} model=llama-3.3-70b`;
    const [first, second] = scene.recorder.delays;
    expect(linesOf('forward')).toEqual([
      expect.stringMatching(
        new RegExp(
          `^${start} attempt=1 reason="no answer" delayMs=${first} cause=".*ECONNRESET.*"$`,
        ),
      ),
      `${start} attempt=2 status=502 reason="status 502" delayMs=${second}`,
      `${start} attempt=3 status=429 reason="blocked for failed requests" delayMs=15`,
      `${start} attempt=4 status=429 reason=retry-after delayMs=10`,
    ]);
    expect(scene.venice.calls).toHaveLength(5);
  });

  test('is none for a stale connection that was replaced, but it is told', async () => {
    const scene = await startScene();
    await chat(scene);
    scene.venice.script({ kind: 'reset', after: 'head' });
    await chat(scene);
    const told = linesOf('forward');
    expect(told).toEqual([expect.stringMatching(/^a kept connection was stale.* id=\w+$/)]);
  });
});

describe('one line for who is held, and one when that is over', () => {
  test('tell why, behind how many, for how long at best, and how long it was', async () => {
    const scene = await startScene({}, oneIn(300));
    await chat(scene);
    expect(linesOf('rate-gate')).toEqual([]);
    await chat(scene);
    const { request } = await scene.recorder.ended(2);
    const [hold] = scene.recorder.holds;
    const of = `id=${request.id} model=llama-3.3-70b`;
    expect(linesOf('rate-gate')).toEqual([
      `held ${of} attempt=1 reason="request limit" ahead=0 expectedMs=${hold?.expectedMs}`,
      expect.stringMatching(new RegExp(`^let through ${of} heldMs=\\d+$`)),
    ]);
  });
});

describe('errors stand there with their cause', () => {
  test('when the proxy gave up', async () => {
    const target = deserted();
    const front = await startFront({ target, retries: 1 });
    await chat(front);
    await front.recorder.ended();
    const gaveUp = linesOf('forward').filter((line) => line.startsWith('gave up'));
    expect(gaveUp).toEqual([
      expect.stringMatching(
        /attempts=2 failure=unsent reason="no retries left" cause="No connection .* connect ECONNREFUSED 127\.0\.0\.1:\d+"$/,
      ),
    ]);
    expect(linesOf('answer-error')).toEqual([
      expect.stringMatching(
        /status=502 code=upstream_unreachable cause=".*ECONNREFUSED.*" stack=".*at .*"/,
      ),
    ]);
  });

  test('with the id of Cloudflare, when the upstream gave an answer', async () => {
    const scene = await startScene({ retries: 0 });
    scene.venice.script({ kind: 'answer', status: 503, headers: { 'CF-RAY': '8f00-FRA' } });
    await chat(scene);
    expect(linesOf('forward')).toEqual([
      expect.stringMatching(
        /^gave up .* attempts=1 status=503 failure=refused reason="no retries left" ray=8f00-FRA$/,
      ),
    ]);
  });

  test('when a replay was withheld, with the reason', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'answer', status: 500 });
    await send(`${scene.baseUrl}/image/generate`, { body: { model: 'm' } });
    expect(linesOf('forward')).toEqual([
      expect.stringMatching(/^gave up .* reason="it is billed by the call and may have been done"/),
    ]);
  });

  test('when the next wait would have passed maxWait', async () => {
    const scene = await startScene({ maxWait: 1_000 });
    scene.venice.script({ kind: 'answer', status: 429, headers: { 'Retry-After': '60' } });
    await chat(scene);
    expect(linesOf('forward')).toEqual([
      expect.stringMatching(/^gave up .* reason="the next wait \(60000 ms\) would pass maxWait"/),
    ]);
  });

  test('when an answer broke', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'cut-stream', afterEvents: 1, ending: 'reset' });
    await chat(scene, { stream: true });
    await scene.recorder.ended();
    expect(linesOf('relay')).toEqual([
      expect.stringMatching(
        /^the answer broke id=\w+ model=llama-3\.3-70b code=upstream_disconnected cause=".+"$/,
      ),
    ]);
  });

  test('and their stack, redacted: what the apiKey function threw', async () => {
    const scene = await startScene({
      apiKey: () => {
        throw new Error('vault refused', {
          cause: new Error('401 for Bearer abcdef and sk-0123456789abcdef'),
        });
      },
    });
    expect((await chat(scene)).status).toBe(500);
    const [line = '', ...others] = linesOf('answer-error');
    expect(others).toEqual([]);
    expect(line).toMatch(
      /code=api_key_unavailable cause=".*vault refused.*401 for Bearer \*\*\* and \*\*\*"/,
    );
    expect(line).toMatch(/ stack="at .*logs\.test\.ts/);
    expect(line).not.toMatch(/abcdef/);
  });

  test('and their stack: what went wrong inside', async () => {
    const circular: Record<string, unknown> = {};
    circular['self'] = circular;
    const scene = await startScene(
      {},
      {},
      {
        before: (app) =>
          app.use((req, _res, next) => {
            req.on('end', () => {
              req.body = circular;
              next();
            });
            req.resume();
          }),
      },
    );
    expect((await chat(scene)).status).toBe(500);
    expect(linesOf('answer-error')).toEqual([
      expect.stringMatching(
        /code=internal_error cause=".*circular structure.*" stack="at JSON\.stringify/,
      ),
    ]);
  });
});

test('each file has a namespace of its own, and its name; those of a folder share its name', () => {
  const lib = join(ROOT, 'lib');
  const files = readdirSync(lib, { recursive: true, encoding: 'utf8' });
  const named = files.flatMap((file) => {
    if (!file.endsWith('.ts')) return [];
    const source = readFileSync(join(lib, file), 'utf8');
    const [, name] = /createLog\('([^']*)'\)/.exec(source) ?? [];
    return name === undefined ? [] : [[file, name] as const];
  });
  expect(named.length).toBeGreaterThan(3);
  for (const [file, name] of named) {
    const { dir, name: own } = parse(file);
    expect([file, name]).toEqual([file, dir === '' ? own : dir]);
  }
});

test('nothing is written where nobody listens', async () => {
  createDebug.disable();
  const scene = await startScene();
  scene.venice.script({ kind: 'answer', status: 500 });
  await chat(scene);
  await scene.recorder.ended();
  expect(lines).toEqual([]);
});

describe('secrets', () => {
  const KEY = 'sEcReT-kEy-of-the-client-0123456789';
  const OPERATORS_KEY = 'oPeRaToRs-kEy-0123456789';
  const PROMPT = 'the-prompt-that-nobody-may-read';
  const QUERY = 'query-that-nobody-may-read';
  const UPLOAD = 'upload-that-nobody-may-read';
  const ECHOED = 'answer-that-nobody-may-read';
  const SECRETS = [KEY, OPERATORS_KEY, PROMPT, QUERY, UPLOAD, ECHOED];

  const body = {
    model: 'm',
    messages: [{ role: 'user', content: PROMPT }],
    prompt_cache_key: PROMPT,
    user: PROMPT,
  };
  const headers = {
    authorization: `Bearer ${KEY}`,
    'sign-in-with-x': KEY,
    'x-api-key': KEY,
    cookie: `session=${KEY}`,
  };

  const FAULTS: readonly Fault[] = [
    { kind: 'ok' },
    { kind: 'answer', status: 400, body: { error: `${ECHOED} ${PROMPT} ${KEY}` } },
    { kind: 'answer', status: 401, body: `${KEY} is no key`, reason: ECHOED },
    { kind: 'answer', status: 500, body: ECHOED, headers: { 'x-echo': `${KEY} ${PROMPT}` } },
    { kind: 'answer', status: 504, body: ECHOED },
    { kind: 'rate-limited', resetMs: 60_000 },
    { kind: 'overloaded' },
    { kind: 'abuse-block' },
    { kind: 'reset', after: 'head' },
    { kind: 'reset', after: 'body' },
    { kind: 'silent' },
    { kind: 'head-then-silent' },
    { kind: 'reset-after-head' },
    { kind: 'raw', bytes: `${ECHOED} ${PROMPT}\r\n\r\n` },
    { kind: 'raw', bytes: `HTTP/1.1 099 ${ECHOED}\r\n\r\n` },
    { kind: 'raw', bytes: `HTTP/1.1 200 OK\r\n${ECHOED} ${KEY}\r\n\r\n` },
    { kind: 'raw', bytes: `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${ECHOED}\r\n` },
    { kind: 'cut-stream', afterEvents: 2, midEvent: true },
    { kind: 'stall-stream', afterEvents: 1 },
    { kind: 'cut-body', bytes: 30 },
    { kind: 'sse-error-first' },
  ];

  /** Meets every fault and every refusal; gives all that the proxy itself has said. */
  async function meetEverything(options: { apiKey?: string }): Promise<string[]> {
    const said: string[] = [];
    const noteOwn = (reply: Reply): void => {
      said.push(reply.rawHeaders.filter((_, place) => place % 2 === 0).join('\n'));
      for (const [name, value] of Object.entries(reply.headers)) {
        if (name.startsWith('x-venice-proxy-')) said.push(String(value));
      }
      // Whatever the proxy adds has this form; what the upstream wrote is forwarded as it is.
      if (/"param":null,"code":"\w+"\}\}/.test(reply.text)) {
        said.push(reply.text.slice(reply.text.lastIndexOf('{"error"')));
      }
    };
    const scene = await startScene({
      ...options,
      retries: 1,
      maxWait: 100,
      // What the faults say of limits would keep the calls behind them from being made.
      rateLimit: false,
      bodyLimit: 2_000,
      timeout: 60,
    });
    const ask = async (path: string, sent: Parameters<typeof send>[1] = {}): Promise<void> => {
      noteOwn(await send(`${scene.baseUrl}${path}?q=${QUERY}`, { headers, ...sent }));
    };
    for (const fault of FAULTS) {
      for (const stream of [false, true]) {
        scene.venice.configure({ onCall: () => fault });
        // oxlint-disable-next-line no-await-in-loop -- each has its own fault
        await ask('/chat/completions', { body: { ...body, stream } });
      }
      // oxlint-disable-next-line no-await-in-loop
      await ask('/image/generate', { body: { model: 'm', prompt: PROMPT } });
      // oxlint-disable-next-line no-await-in-loop
      await ask('/audio/transcriptions', {
        headers: { ...headers, 'content-type': 'text/plain' },
        body: UPLOAD,
      });
    }
    scene.venice.configure({ onCall: () => undefined });
    await ask('/embeddings', { body: { input: PROMPT, model: 'm', encoding_format: 'base64' } });
    await ask('/chat/completions', { body: { ...body, x: PROMPT.repeat(200) } });
    await ask('/chat/completions', {
      headers: { ...headers, 'content-type': 'application/json' },
      body: `{"broken": "${PROMPT}`,
    });
    await ask('/a%2fb');
    await ask('/models', { method: 'TRACE' });
    const asked = 4 * FAULTS.length + 5;

    await exchangeRaw(
      scene.origin,
      `GET http://user:${KEY}@other/api/v1/models?q=${QUERY} HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n`,
    );
    const client = await dial(scene.origin);
    scene.venice.configure({ onCall: () => ({ kind: 'stall-stream', afterEvents: 1 }) });
    const bytes = JSON.stringify({ ...body, stream: true });
    await client.write(
      `POST /api/v1/chat/completions?q=${QUERY} HTTP/1.1\r\nHost: p\r\nAuthorization: Bearer ${KEY}\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${bytes.length}\r\n\r\n${bytes}`,
    );
    await client.until('data: ');
    client.reset();

    const front = await startFront({ target: deserted(), ...options, retries: 1 });
    noteOwn(await send(`${front.baseUrl}/models?q=${QUERY}`, { headers }));
    await front.proxy.drain();
    noteOwn(await send(`${front.baseUrl}/models?q=${QUERY}`, { headers }));

    await Promise.all([scene.recorder.ended(asked + 2), front.recorder.ended(2)]);
    return [
      ...said,
      ...[...scene.recorder.seen, ...front.recorder.seen].map((each) => JSON.stringify(each)),
    ];
  }

  test.each([
    ["the client's key", {}],
    ["the operator's key", { apiKey: OPERATORS_KEY }],
  ])(
    'neither keys nor prompts nor query strings are ever logged, told or added: %s',
    async (_name, options) => {
      const said = await meetEverything(options);
      // It was such a run: it has met errors of all kinds, and has logged them.
      const text = lines.join('\n');
      for (const code of [
        'invalid_path',
        'method_not_allowed',
        'body_too_large',
        'upstream_unreachable',
        'upstream_disconnected',
        'upstream_invalid',
        'upstream_timeout',
        'draining',
      ]) {
        expect(text).toContain(`code=${code}`);
        expect(said.join('\n')).toContain(`"code":"${code}"`);
      }
      expect(text).toContain('outcome=client_left');
      expect(linesOf('request-log').length).toBeGreaterThan(80);
      for (const each of [...lines, ...said]) {
        for (const secret of SECRETS) expect(each).not.toContain(secret);
      }
    },
    30_000,
  );
});

describe('hooks', () => {
  test('are told of a request that is retried, in order', async () => {
    const scene = await startScene();
    scene.venice.script({ kind: 'reset', after: 'body' }, { kind: 'answer', status: 503 });
    await chat(scene, { stream: true, top_logprobs: 2, logprobs: true });
    const event = await scene.recorder.ended();
    const request = {
      id: expect.any(String),
      method: 'POST',
      path: '/chat/completions',
      model: 'llama-3.3-70b',
      stream: true,
    };
    expect(scene.recorder.seen).toEqual([
      { hook: 'drop', request, params: ['logprobs', 'top_logprobs'] },
      { hook: 'attempt', request, attempt: 1 },
      {
        hook: 'retry',
        request,
        attempt: 1,
        status: undefined,
        reason: 'no answer',
        delayMs: expect.any(Number),
      },
      { hook: 'attempt', request, attempt: 2 },
      {
        hook: 'retry',
        request,
        attempt: 2,
        status: 503,
        reason: 'status 503',
        delayMs: expect.any(Number),
      },
      { hook: 'attempt', request, attempt: 3 },
      {
        hook: 'answer',
        request,
        status: 200,
        outcome: 'answered',
        code: undefined,
        attempts: 3,
        waitedMs: expect.any(Number),
        firstByteMs: expect.any(Number),
        totalMs: expect.any(Number),
        dropped: ['logprobs', 'top_logprobs'],
      },
    ]);
    const ids = scene.recorder.seen.map((each) => each.request.id);
    expect(new Set(ids).size).toBe(1);
    expect(event.totalMs).toBeGreaterThanOrEqual(event.waitedMs);
  });

  test('are told of a request that is refused before any attempt', async () => {
    const scene = await startScene();
    await send(`${scene.baseUrl}/a%2fb?q=1`);
    await scene.recorder.ended();
    expect(scene.recorder.seen).toEqual([
      {
        hook: 'answer',
        request: {
          id: expect.any(String),
          method: 'GET',
          path: '/a%2fb',
          model: undefined,
          stream: false,
        },
        status: 400,
        outcome: 'refused',
        code: 'invalid_path',
        attempts: 0,
        waitedMs: 0,
        firstByteMs: undefined,
        totalMs: expect.any(Number),
        dropped: [],
      },
    ]);
  });

  test('change nothing by what they throw', async () => {
    const recorder = new Recorder();
    const called: string[] = [];
    const throwing = (name: keyof ProxyHooks) => (): never => {
      called.push(name);
      throw new Error(`the ${name} hook has a bug, and tells of Bearer abcdef`);
    };
    const on: ProxyHooks = {
      drop: throwing('drop'),
      attempt: throwing('attempt'),
      retry: throwing('retry'),
      answer: throwing('answer'),
    };
    const scene = await startScene();
    const running = await startProxy({ target: scene.target, on });
    closeAfterTest(() => running.close());
    scene.venice.script({ kind: 'answer', status: 500 });
    const reply = await chat(running, { logprobs: true });
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 2]);
    expect(JSON.parse(reply.text)).toMatchObject({ object: 'chat.completion' });
    await running.proxy.drain();
    expect(called).toEqual(['drop', 'attempt', 'retry', 'attempt', 'answer']);
    expect(recorder.seen).toEqual([]);
    expect(running.proxy.inFlight).toBe(0);
    const told = linesOf('hooks');
    expect(told).toHaveLength(5);
    expect(told[0]).toMatch(/the drop hook has a bug/);
    expect(told.join()).not.toContain('abcdef');
  });

  test('change nothing by how they treat what they are told', async () => {
    const scene = await startScene();
    const running = await startProxy({
      target: scene.target,
      on: {
        retry: (event) => void Reflect.set(event, 'delayMs', 3_600_000),
        attempt: (event) => void Reflect.set(event.request, 'path', '/elsewhere'),
      },
    });
    closeAfterTest(() => running.close());
    scene.venice.script({ kind: 'answer', status: 500 });
    const reply = await chat(running);
    expect([reply.status, scene.venice.calls.length]).toEqual([200, 2]);
    expect(scene.venice.calls[1]?.url).toBe('/api/v1/chat/completions');
    expect(scene.venice.calls[1]?.body.toString()).toBe(JSON.stringify(CHAT));
  });
});
