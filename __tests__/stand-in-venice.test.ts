import { createHash } from 'node:crypto';
import { Agent, request } from 'node:http';
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { request as requestTls } from 'node:https';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { brotliDecompressSync, gunzipSync, gzipSync, inflateSync } from 'node:zlib';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createStandInVenice } from '../examples/stand-in-venice.ts';
import type { Fault, StandInOptions } from '../examples/stand-in-venice.ts';

const running: { close(): unknown }[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((part) => part.close()));
});

async function start(options: StandInOptions = {}) {
  const venice = createStandInVenice({ tokenDelayMs: 1, ...options });
  running.push(venice);
  return { venice, base: await venice.listen() };
}

function keepAlive(): Agent {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  running.push({ close: () => agent.destroy() });
  return agent;
}

interface Got {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
  text: string;
  /** Pieces as they came off the connection. */
  pieces: string[];
  /** Statuses of interim answers. */
  interim: number[];
  /** Code of the error that ended the call, before or after the head; none: complete. */
  broken: string | undefined;
}

interface Asked {
  method?: string;
  headers?: OutgoingHttpHeaders;
  body?: string | Buffer | object;
  agent?: Agent;
  /** The bearer token; `null` sends no credentials. */
  key?: string | null;
  /** Leaves the request's body open. */
  unfinished?: boolean;
  /** Goes away after so many milliseconds. */
  leaveAfterMs?: number;
}

function ask(url: string, asked: Asked = {}): Promise<Got> {
  const { key = 'key', body, method = body === undefined ? 'GET' : 'POST' } = asked;
  const bytes = isPlain(body) ? JSON.stringify(body) : body;
  const headers = {
    ...(key === null ? {} : { authorization: `Bearer ${key}` }),
    ...(isPlain(body) ? { 'content-type': 'application/json' } : {}),
    ...(bytes === undefined || asked.unfinished ? {} : { 'content-length': bytes.length }),
    ...asked.headers,
  };
  return new Promise((resolve) => {
    const pieces: Buffer[] = [];
    const got = { status: 0, headers: {}, interim: [] as number[] };
    const settle = (broken?: NodeJS.ErrnoException): void => {
      const whole = Buffer.concat(pieces);
      resolve({
        ...got,
        body: whole,
        text: whole.toString(),
        pieces: pieces.map(String),
        broken: broken === undefined ? undefined : (broken.code ?? broken.message),
      });
    };
    const sent = request(url, { method, headers, agent: asked.agent ?? false }, (answer) => {
      Object.assign(got, { status: answer.statusCode ?? 0, headers: answer.headers });
      answer.on('data', (piece: Buffer) => pieces.push(piece));
      answer.on('end', () => settle());
      answer.on('error', settle);
    });
    sent.on('information', ({ statusCode }) => got.interim.push(statusCode));
    sent.on('error', settle);
    if (asked.unfinished) sent.write(bytes ?? '');
    else sent.end(bytes);
    if (asked.leaveAfterMs !== undefined) setTimeout(() => sent.destroy(), asked.leaveAfterMs);
  });
}

function isPlain(body: Asked['body']): body is object {
  return typeof body === 'object' && !Buffer.isBuffer(body);
}

/** Sends bytes as they are and returns what comes until the connection ends, and how it ends. */
function askRaw(base: string, bytes: string): Promise<{ text: string; end: string }> {
  const { port, hostname } = new URL(base);
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(Number(port), hostname, () => socket.write(bytes));
    socket.on('data', (piece) => (text += piece.toString('latin1')));
    socket.on('end', () => resolve({ text, end: 'FIN' }));
    socket.on('error', (error: NodeJS.ErrnoException) => resolve({ text, end: error.code ?? '' }));
  });
}

const CHAT = { model: 'llama-3.3-70b', messages: [{ role: 'user', content: 'good morning' }] };
const STREAM = { ...CHAT, stream: true };

const chat = (base: string, asked: Asked = {}): Promise<Got> =>
  ask(`${base}/chat/completions`, { body: CHAT, ...asked });

const stream = (base: string, asked: Asked = {}): Promise<Got> =>
  ask(`${base}/chat/completions`, { body: STREAM, ...asked });

const named = (model: string): Asked => ({ body: { ...CHAT, model } });

const fail = (base: string): Promise<Got> => ask(`${base}/nothing`);

const timers = (): number =>
  process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

/** One call that meets one fault. */
async function meet(fault: Fault, asked: Asked = {}, options: StandInOptions = {}) {
  const { venice, base } = await start(options);
  venice.script(fault);
  const got = await chat(base, asked);
  const call = await venice.arrived(1);
  return { venice, base, got, call };
}

/** The `data:` lines of a stream, parsed; `[DONE]` as it is. */
function dataOf(text: string) {
  const lines = text.split('\n').filter((line) => line.startsWith('data: '));
  return lines.map((line) => (line === 'data: [DONE]' ? line : JSON.parse(line.slice(6))));
}

describe('service', () => {
  test('a chat answer is a completion that heard the question, the same each time', async () => {
    const { base } = await start();
    const got = await chat(base);
    expect(got).toMatchObject({
      status: 200,
      headers: { 'content-type': 'application/json; charset=utf-8', date: expect.anything() },
    });
    expect(got.headers['cf-ray']).toMatch(/^[0-9a-f]{16}-FRA$/);
    expect(JSON.parse(got.text)).toMatchObject({
      object: 'chat.completion',
      model: 'llama-3.3-70b',
      choices: [
        { message: { role: 'assistant', content: expect.stringContaining('good morning') } },
      ],
      usage: { total_tokens: expect.any(Number) },
    });
    expect((await chat(base)).text).toBe(got.text);
  });

  test('a chat stream has a role, whole words, a finish_reason, and [DONE]', async () => {
    const { base } = await start();
    const got = await stream(base);
    expect(got.headers['content-type']).toBe('text/event-stream; charset=utf-8');
    const data = dataOf(got.text);
    expect(data[0]).toMatchObject({ choices: [{ delta: { role: 'assistant' } }] });
    expect(data.at(-2)).toMatchObject({ choices: [{ finish_reason: 'stop' }] });
    expect(data.at(-1)).toBe('data: [DONE]');
    expect(got.text).toContain('{"content":"morning"}');
    expect(got.text).not.toMatch(/^:|"usage"/m);
  });

  test('a stream tells usage, comments and length where they are asked for', async () => {
    const { base } = await start();
    const options = { stream_options: { include_usage: true }, x_comments: true, x_words: 7 };
    const { text } = await stream(base, { body: { ...STREAM, ...options } });
    expect(dataOf(text).at(-2)).toMatchObject({ choices: [], usage: { prompt_tokens: 11 } });
    expect(text.match(/^: thinking$/gm)).toHaveLength(8);
    expect(text).toContain('"word6"');
  });

  test('tools are called, their arguments in pieces, until a result is there', async () => {
    const { base } = await start();
    const tools = [{ type: 'function', function: { name: 'look_up', parameters: {} } }];
    const { text } = await stream(base, { body: { ...STREAM, tools } });
    const data: ToolChunk[] = dataOf(text).slice(0, -1);
    const calls = data.flatMap(({ choices: [choice] }) => choice.delta.tool_calls ?? []);
    expect(calls[0]).toMatchObject({ type: 'function', function: { name: 'look_up' } });
    expect(calls.length).toBeGreaterThan(3);
    const joined = calls.map((call) => call.function.arguments).join('');
    expect(JSON.parse(joined)).toMatchObject({ query: 'good morning' });
    expect(data.at(-1)?.choices[0].finish_reason).toBe('tool_calls');

    const whole = JSON.parse((await chat(base, { body: { ...CHAT, tools } })).text);
    expect(whole.choices[0].message.tool_calls[0].function.arguments).toBe(joined);
    const messages = [...CHAT.messages, { role: 'tool', content: '42' }];
    const after = JSON.parse((await chat(base, { body: { ...CHAT, tools, messages } })).text);
    expect(after.choices[0]).toMatchObject({ finish_reason: 'stop' });
  });

  test('responses come whole, or as named events that end with response.completed', async () => {
    const { base } = await start();
    const body = { model: 'llama-3.3-70b', input: 'good morning' };
    const whole = await ask(`${base}/responses`, { body });
    expect(JSON.parse(whole.text)).toMatchObject({ object: 'response', status: 'completed' });
    const { text } = await ask(`${base}/responses`, { body: { ...body, stream: true } });
    expect(text).toMatch(/^event: response\.created\ndata: \{"type":"response\.created"/);
    const last = dataOf(text).at(-1);
    expect(last).toMatchObject({ type: 'response.completed', response: JSON.parse(whole.text) });
    expect(text).toContain('event: response.output_text.delta\n');
  });

  test('an embedding is the same float32 vector as numbers and as base64', async () => {
    const { base } = await start();
    const vectors = async (body: object): Promise<(number[] | string)[]> => {
      const { text } = await ask(`${base}/embeddings`, { body: { model: 'bge', ...body } });
      return JSON.parse(text).data.map((entry: { embedding: number[] }) => entry.embedding);
    };
    const [numbers, other] = await vectors({ input: ['one', 'two'] });
    const [text] = await vectors({ input: 'one', encoding_format: 'base64' });
    const bytes = Buffer.from(String(text), 'base64');
    expect(numbers).toHaveLength(1024);
    expect(numbers).not.toEqual(other);
    const floats = Array.from({ length: 1024 }, (_, place) => bytes.readFloatLE(4 * place));
    expect(Array.from(numbers ?? [], Number).map(Math.fround)).toEqual(floats);
    const printed = JSON.stringify(numbers).split(',');
    expect(Math.max(...printed.map((each) => each.length))).toBeLessThan(18);
    expect(printed.some((each) => each.includes('e-'))).toBe(true);
    expect((await vectors({ input: 'one', dimensions: 3 }))[0]).toHaveLength(3);
  });

  test.each([[[1, 2]], [[[1], [2]]], [[]], [undefined]])(
    'embeddings of %j are refused with 400',
    async (input) => {
      const { base } = await start();
      const got = await ask(`${base}/embeddings`, { body: { model: 'bge', input } });
      expect(got.status).toBe(400);
      expect(JSON.parse(got.text)).toMatchObject({ issues: [{ path: ['input'] }] });
    },
  );

  test('models need no key; type chooses among them', async () => {
    const { base } = await start();
    const list = async (query: string) =>
      JSON.parse((await ask(`${base}/models${query}`, { key: null })).text);
    const text = await list('');
    expect(text).toMatchObject({ object: 'list', type: 'text' });
    expect(text.data[0]).toMatchObject({
      id: 'llama-3.3-70b',
      object: 'model',
      owned_by: 'venice.ai',
      model_spec: {
        availableContextTokens: 131_072,
        capabilities: { supportsFunctionCalling: true },
      },
    });
    expect((await list('?type=image')).data).toHaveLength(1);
    expect((await list('?type=all')).data.length).toBeGreaterThan(text.data.length);
    expect((await ask(`${base}/models?type=nonsense`)).status).toBe(400);
  });

  test('images and speech come as what they are', async () => {
    const { base } = await start();
    const body = { model: 'venice-sd35', prompt: 'a cat' };
    const openAi = JSON.parse((await ask(`${base}/images/generations`, { body })).text);
    const png = Buffer.from(openAi.data[0].b64_json, 'base64');
    expect(png.subarray(1, 4).toString()).toBe('PNG');
    const own = JSON.parse((await ask(`${base}/image/generate`, { body })).text);
    expect(own.images).toEqual([png.toString('base64')]);
    const file = await ask(`${base}/image/edit`, { body: Buffer.from('--x'), method: 'POST' });
    expect(file).toMatchObject({ headers: { 'content-type': 'image/png' }, body: png });
    const sound = await ask(`${base}/audio/speech`, { body: { model: 'tts', input: 'hi' } });
    expect(sound.headers['content-type']).toBe('audio/mpeg');
    expect(sound.body).toHaveLength(4096);
  });

  test('a transcription counts the bytes of its multipart body', async () => {
    const { base } = await start();
    const url = `${base}/audio/transcriptions`;
    const headers = { 'content-type': 'multipart/form-data; boundary=x' };
    const got = await ask(url, { body: Buffer.alloc(100_000), headers });
    expect(JSON.parse(got.text)).toEqual({ text: expect.any(String), bytes: 100_000 });
    expect((await ask(url, { body: {} })).status).toBe(415);
  });

  test.each([
    ['video', 'video/mp4'],
    ['audio', 'audio/mpeg'],
  ])('%s is quoted, queued, at work, and then there', async (medium, type) => {
    const { base } = await start();
    const post = (action: string, body: object) => ask(`${base}/${medium}/${action}`, { body });
    expect(JSON.parse((await post('quote', { model: 'm' })).text)).toEqual({ quote: 0.75 });
    const { queue_id } = JSON.parse((await post('queue', { model: 'm' })).text);
    expect(JSON.parse((await post('retrieve', { queue_id })).text).status).toBe('PROCESSING');
    expect((await post('retrieve', { queue_id })).headers['content-type']).toBe(type);
    expect((await post('retrieve', { queue_id: 'unknown' })).status).toBe(404);
  });

  test('rate limits can be asked for', async () => {
    const { base } = await start({ requests: { limit: 5, windowMs: 10_000 } });
    const { data } = JSON.parse((await ask(`${base}/api_keys/rate_limits`)).text);
    expect(data.rateLimits[0]).toMatchObject({
      apiModelId: 'llama-3.3-70b',
      rateLimits: [{ amount: 30, type: 'RPM' }, { type: 'TPM' }],
    });
  });

  test.each([
    ['DELETE', '/api_keys'],
    ['POST', '/image/upscale'],
    ['POST', '/augment/search'],
    ['POST', '/crypto/rpc/base-mainnet'],
    ['POST', '/x402/top-up'],
  ])('%s %s is there', async (method, path) => {
    const { base } = await start();
    expect((await ask(`${base}${path}`, { method, body: {} })).status).toBe(200);
  });

  test('echo tells what arrived, by any method, on any path below it', async () => {
    const { base } = await start();
    const body = Buffer.alloc(3_000_000, 'x');
    const got = await ask(`${base}/stand-in/echo/a%2Fb?c=d`, { method: 'PATCH', body });
    expect(JSON.parse(got.text)).toMatchObject({
      method: 'PATCH',
      url: '/api/v1/stand-in/echo/a%2Fb?c=d',
      headers: { authorization: 'Bearer key' },
      sha256: createHash('sha256').update(body).digest('hex'),
      length: 3_000_000,
    });
  });

  test('a download has the length that was asked for, and waits for its reader', async () => {
    const { venice, base } = await start();
    const got = await ask(`${base}/stand-in/bytes?n=1000001`);
    expect(got.headers['content-length']).toBe('1000001');
    expect(got.body).toHaveLength(1_000_001);
    expect((await ask(`${base}/stand-in/bytes?n=-1`)).status).toBe(400);
    let buffered = 0;
    venice.server.on('connection', (socket) => {
      setTimeout(() => (buffered = socket.writableLength), 100);
    });
    const { port } = new URL(base);
    const reader = connect(Number(port), '127.0.0.1');
    running.push({ close: () => reader.destroy() });
    reader.pause();
    reader.write('GET /api/v1/stand-in/bytes?n=900000000 HTTP/1.1\r\nHost: x\r\n\r\n');
    const call = await venice.arrived(3);
    await sleep(150);
    expect(call.finished).toBe(false);
    expect(buffered).toBeGreaterThan(0);
    expect(buffered).toBeLessThan(1_000_000);
  });

  test('HEAD is answered like GET, without a body', async () => {
    const { base } = await start();
    const got = await ask(`${base}/stand-in/bytes?n=500`, { method: 'HEAD' });
    expect(got).toMatchObject({ status: 200, headers: { 'content-length': '500' }, text: '' });
  });

  test('a body may be compressed, up to a limit', async () => {
    const { base } = await start();
    const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' };
    const post = (body: Buffer) => ask(`${base}/chat/completions`, { headers, body });
    expect((await post(gzipSync(JSON.stringify(CHAT)))).status).toBe(200);
    expect((await post(gzipSync(Buffer.alloc(70_000_000)))).status).toBe(400);
    expect((await post(Buffer.from('not gzip'))).status).toBe(400);
  });
});

interface ToolChunk {
  choices: [
    { delta: { tool_calls?: { function: { arguments: string } }[] }; finish_reason: string },
  ];
}

describe('refusals', () => {
  test('a path that does not exist is 404, under the base path and elsewhere, and recorded', async () => {
    const { venice, base } = await start();
    const { origin } = new URL(base);
    const urls = [`${base}/nothing`, `${base}/constructor`, `${origin}/api/tags`, origin];
    const answers = await Promise.all(urls.map((url) => ask(url, { key: null })));
    for (const { status, text, headers } of answers) {
      expect([status, text]).toEqual([404, '{"error":"Route not found"}']);
      expect(headers['cf-ray']).toBeDefined();
    }
    expect(new Set(venice.calls.map((call) => call.url))).toEqual(
      new Set(['/api/v1/nothing', '/api/v1/constructor', '/api/tags', '/']),
    );
  });

  test('the base path can lie elsewhere', async () => {
    const { base } = await start({ basePath: '/v1/' });
    expect(base).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/v1$/);
    expect((await chat(base)).status).toBe(200);
  });

  test('no credentials are 401; any key, and a wallet, will do', async () => {
    const { base } = await start();
    const none = { status: 401, text: '{"error":"Authentication failed"}' };
    expect(await chat(base, { key: null })).toMatchObject(none);
    expect(await chat(base, { key: '' })).toMatchObject(none);
    expect(await chat(base, { key: 'anything' })).toMatchObject({ status: 200 });
    const wallet = { key: null, headers: { 'sign-in-with-x': 'signed' } };
    expect(await chat(base, wallet)).toMatchObject({ status: 200 });
  });

  test.each([
    ['no JSON', '{"model":', 400],
    ['no object', '[]', 400],
    ['no model', '{"messages":[{}]}', 400],
    ['no messages', '{"model":"m","messages":[]}', 400],
    ['the name of a refusal', '{"pieces":[],"paced":false}', 400],
    ['100 000 levels', '['.repeat(100_000), 400],
  ])('a chat body that has %s is refused', async (_what, body, status) => {
    const { base } = await start();
    const headers = { 'content-type': 'application/json' };
    const got = await chat(base, { body, headers });
    expect(got.status).toBe(status);
    expect(JSON.parse(got.text)).toMatchObject({ error: 'Invalid request parameters' });
    expect((await chat(base)).status).toBe(200);
  });

  test('a JSON body beyond 64 MiB is 413', async () => {
    const { base } = await start();
    const headers = { 'content-type': 'application/json' };
    const got = await chat(base, { body: Buffer.alloc(65 * 1024 * 1024, ' '), headers });
    expect(got.status).toBe(413);
  });

  test('fields can be refused as long as they are sent', async () => {
    const { venice, base } = await start({ refuseFields: { thinking: 'zod', store: 'extra' } });
    const zod = JSON.parse((await chat(base, { body: { ...CHAT, thinking: true } })).text);
    expect(zod.issues).toMatchObject([{ code: 'unrecognized_keys', keys: ['thinking'], path: [] }]);
    const extra = JSON.parse((await chat(base, { body: { ...CHAT, store: true } })).text);
    expect(extra.error).toContain("not permitted, field: 'store'");
    expect((await chat(base)).status).toBe(200);
    venice.configure({ refuseFields: {} });
    expect((await chat(base, { body: { ...CHAT, store: true } })).status).toBe(200);
  });
});

describe('rate windows', () => {
  const limited = { requests: { limit: 2, windowMs: 300 } };

  test('a window counts down, refuses, and starts anew when it ends', async () => {
    const { venice, base } = await start(limited);
    const left = async (): Promise<[number, unknown]> => {
      const { status, headers } = await chat(base);
      return [status, headers['x-ratelimit-remaining-requests']];
    };
    expect([await left(), await left(), await left()]).toEqual([
      [200, '1'],
      [200, '0'],
      [429, '0'],
    ]);
    expect(venice.calls.map((call) => call.refusedBy)).toEqual([undefined, undefined, 'requests']);
    await sleep(310);
    expect(await left()).toEqual([200, '1']);
  });

  test('a refusal says that the limit is exceeded, and when it ends', async () => {
    const { base } = await start({ requests: { limit: 0, windowMs: 60_000 } });
    const got = await chat(base);
    expect(got.text).toBe('{"error":"Rate limit exceeded"}');
    expect(got.headers).toMatchObject({
      'x-ratelimit-limit-requests': '0',
      'x-ratelimit-remaining-requests': '0',
      'x-ratelimit-remaining-tokens': '2000000',
      'x-ratelimit-type': 'api_key',
    });
    const inSeconds = Number(got.headers['x-ratelimit-reset-requests']) - Date.now() / 1000;
    expect(inSeconds).toBeGreaterThan(59);
    expect(inSeconds).toBeLessThanOrEqual(61);
    expect(got.headers['retry-after']).toBeUndefined();
  });

  test('each key and each model has its own; feature suffixes share one', async () => {
    const { base } = await start({ requests: { limit: 1, windowMs: 60_000 } });
    const statuses = [
      await chat(base, named('a')),
      await chat(base, named('a:enable_web_search=on')),
      await chat(base, named('b:x=y')),
      await chat(base, { ...named('a'), key: 'other' }),
      await ask(`${base}/audio/voices`, { body: {} }),
      await ask(`${base}/image/edit`, { body: {} }),
    ].map(({ status }) => status);
    expect(statuses).toEqual([200, 429, 200, 200, 200, 429]);
  });

  test.each([
    ['seconds', 'floor', /^\d{10}$/],
    ['seconds', 'ceil', /^\d{10}$/],
    ['seconds', 'round', /^\d{10}$/],
    ['milliseconds', 'ceil', /^\d{13}$/],
    ['relative', 'floor', /^2$/],
    ['relative', 'ceil', /^3$/],
  ] as const)('a reset in %s, rounded by %s', async (resetFormat, resetRounding, form) => {
    const windowMs = 2700;
    const requests = { limit: 9, windowMs };
    const { base } = await start({ resetFormat, resetRounding, requests });
    const round = Math[resetRounding];
    const stampAt = (now: number): number =>
      ({
        seconds: round((now + windowMs) / 1000),
        milliseconds: now + windowMs,
        relative: round(windowMs / 1000),
      })[resetFormat];
    const earliest = stampAt(Date.now());
    const { headers } = await chat(base);
    const written = String(headers['x-ratelimit-reset-requests']);
    expect(written).toMatch(form);
    expect(Number(written)).toBeGreaterThanOrEqual(earliest);
    expect(Number(written)).toBeLessThanOrEqual(stampAt(Date.now()));
  });

  test('the clock of the stand-in may be off, in Date and in the stamp', async () => {
    const { base } = await start({ clockOffsetMs: 3_600_000, resetFormat: 'milliseconds' });
    const { headers } = await chat(base);
    const hour = Date.now() + 3_600_000;
    expect(Math.abs(Date.parse(String(headers.date)) - hour)).toBeLessThan(2000);
    const stamp = Number(headers['x-ratelimit-reset-requests']);
    expect(Math.abs(stamp - hour - 60_000)).toBeLessThan(1000);
  });

  test('tokens are counted until none is left', async () => {
    const { venice, base } = await start({ tokens: { limit: 30, windowMs: 5000 } });
    const first = await chat(base);
    const used = JSON.parse(first.text).usage.total_tokens;
    expect(first.headers).toMatchObject({
      'x-ratelimit-limit-tokens': '30',
      'x-ratelimit-remaining-tokens': String(30 - used),
      'x-ratelimit-reset-tokens': '5',
    });
    expect(await chat(base)).toMatchObject({
      status: 200,
      headers: { 'x-ratelimit-remaining-tokens': '0' },
    });
    expect((await chat(base)).status).toBe(429);
    expect(venice.calls.at(-1)?.refusedBy).toBe('tokens');
  });

  test('headers can be left out, the tokens alone or all', async () => {
    const { venice, base } = await start({ tokens: false, requests: { limit: 2, windowMs: 5000 } });
    const names = async () =>
      Object.keys((await chat(base)).headers).filter((name) => name.startsWith('x-ratelimit'));
    expect(await names()).toHaveLength(4);
    venice.configure({ headers: false });
    expect(await names()).toEqual([]);
    expect((await chat(base)).status).toBe(429);
  });

  test('a limit may shrink and grow while it runs', async () => {
    const { venice, base } = await start({ requests: { limit: 3, windowMs: 60_000 } });
    await chat(base);
    venice.configure({ requests: { limit: 1, windowMs: 60_000 } });
    expect((await chat(base)).status).toBe(429);
    venice.configure({ requests: { limit: 4, windowMs: 60_000 } });
    const { headers } = await chat(base);
    expect(headers['x-ratelimit-remaining-requests']).toBe('2');
  });
});

describe('the failed-request budget', () => {
  const abuse = { failures: 2, windowMs: 300 };

  test('more failures than it forgives block the key, and no other', async () => {
    const { venice, base } = await start({ abuse });
    await fail(base);
    await fail(base);
    expect((await chat(base)).status).toBe(200);
    expect((await fail(base)).status).toBe(404);
    const got = await chat(base);
    expect(got.status).toBe(429);
    expect(got.text).toMatch(/^Too many failed attempts \(> 2\).*Please wait 30s and try again\.$/);
    expect(got.headers['x-ratelimit-remaining-requests']).toBe('99');
    expect(venice.calls.at(-1)?.refusedBy).toBe('abuse');
    expect((await chat(base, { key: 'other' })).status).toBe(200);
  });

  test('a block ends after a window without a failure: a refused call counts again', async () => {
    const { venice, base } = await start({ abuse });
    venice.block('key');
    await sleep(200);
    expect((await chat(base)).status).toBe(429);
    await sleep(200);
    expect((await chat(base)).status).toBe(429);
    await sleep(310);
    expect((await chat(base)).status).toBe(200);
  });

  test('failures that are older than the window are forgiven', async () => {
    const { base } = await start({ abuse });
    await fail(base);
    await fail(base);
    await sleep(310);
    await fail(base);
    expect((await chat(base)).status).toBe(200);
  });

  test('scripted failures count; false turns it off', async () => {
    const { venice, base } = await start({ abuse });
    const failure: Fault = { kind: 'answer', status: 500 };
    venice.script(failure, failure, failure);
    const failed = await Promise.all([chat(base), chat(base), chat(base)]);
    expect(failed.map(({ status }) => status)).toEqual([500, 500, 500]);
    expect((await chat(base)).status).toBe(429);
    venice.configure({ abuse: false });
    expect((await chat(base)).status).toBe(200);
  });
});

describe('records', () => {
  test('a call is there with its head, and its body as it arrives', async () => {
    const { venice, base } = await start();
    const begun = Date.now();
    const left = chat(base, {
      body: Buffer.from('{"mod'),
      headers: { 'X-Odd-Case': 'kept' },
      unfinished: true,
      leaveAfterMs: 60,
    });
    const call = await venice.arrived(1);
    expect(call).toMatchObject({ method: 'POST', url: '/api/v1/chat/completions' });
    expect(call.rawHeaders).toContain('X-Odd-Case');
    expect(call.at - begun).toBeLessThan(1000);
    await sleep(20);
    expect(call.body.toString()).toBe('{"mod');
    expect(call).toMatchObject({ aborted: false, status: undefined, finished: false });
    await Promise.all([left, call.over]);
    expect(call).toMatchObject({ aborted: true, finished: false });
  });

  test('a complete answer is finished, and not aborted', async () => {
    const { venice, base } = await start();
    await stream(base);
    const call = await venice.arrived(1);
    await call.over;
    expect(call).toMatchObject({ aborted: false, finished: true, status: 200 });
    expect(JSON.parse(call.body.toString())).toEqual(STREAM);
  });

  test('a client that leaves in the middle of a stream ends it', async () => {
    const { venice, base } = await start({ tokenDelayMs: 30 });
    await stream(base, { leaveAfterMs: 80 });
    const call = await venice.arrived(1);
    await call.over;
    expect(call).toMatchObject({ aborted: true, finished: false, status: 200 });
    expect(Date.now() - call.at).toBeLessThan(200);
    expect(venice.openSockets).toBe(0);
  });

  test('a body is kept up to a megabyte', async () => {
    const { venice, base } = await start();
    const body = Buffer.from(Array.from({ length: 1_500_000 }, (_, place) => place % 256));
    await ask(`${base}/stand-in/echo`, { body, method: 'PUT' });
    const call = await venice.arrived(1);
    expect(call).toMatchObject({ bodyBytes: 1_500_000, bodyCut: true });
    expect(call.body.equals(body.subarray(0, 1_000_000))).toBe(true);
  });

  test('the oldest calls can be forgotten', async () => {
    const { venice, base } = await start({ keptCalls: 1 });
    await ask(`${base}/first`);
    const second = venice.arrived(2);
    await ask(`${base}/second`);
    expect(venice.calls).toEqual([await second]);
    expect(await venice.arrived(2)).toMatchObject({ url: '/api/v1/second' });
  });

  test('connections are counted and told apart', async () => {
    const { venice, base } = await start();
    const agent = keepAlive();
    await chat(base, { agent });
    await chat(base, { agent });
    expect(venice.openSockets).toBe(1);
    await chat(base);
    expect(venice.connections).toBe(2);
    expect(venice.calls.map((call) => call.connection)).toEqual([1, 1, 2]);
  });
});

describe('life', () => {
  test('close() ends what is under way, and leaves no timer', async () => {
    const { venice, base } = await start({ latencyMs: 60_000 });
    const before = timers();
    const waiting = chat(base);
    const call = await venice.arrived(1);
    await sleep(20);
    expect(timers()).toBe(before + 1);
    await venice.close();
    expect((await waiting).broken).toBe('ECONNRESET');
    expect(call).toMatchObject({ aborted: false, finished: false });
    expect(timers()).toBe(before);
    expect(venice.openSockets).toBe(0);
    expect((await chat(base)).broken).toBe('ECONNREFUSED');
  });

  test('a port that is taken is an error', async () => {
    const { base } = await start();
    const second = createStandInVenice();
    await expect(second.listen(Number(new URL(base).port))).rejects.toThrow('EADDRINUSE');
  });

  test('latency comes before an answer, not before a refusal', async () => {
    const { base } = await start({ latencyMs: 100, requests: { limit: 1, windowMs: 60_000 } });
    const took = async () => {
      const begun = performance.now();
      const { status } = await chat(base);
      return { status, ms: performance.now() - begun };
    };
    const [served, refused] = [await took(), await took()];
    expect(served.status).toBe(200);
    expect(served.ms).toBeGreaterThan(95);
    expect(refused.status).toBe(429);
    expect(refused.ms).toBeLessThan(80);
  });

  test.each([
    ['gzip', gunzipSync],
    ['br', brotliDecompressSync],
    ['deflate', inflateSync],
  ] as const)('JSON can come as %s unasked, errors too, streams not', async (compress, decode) => {
    const { base } = await start({ compress });
    const got = await chat(base);
    expect(got.headers).toMatchObject({
      'content-encoding': compress,
      'content-length': String(got.body.length),
    });
    expect(JSON.parse(decode(got.body).toString())).toMatchObject({ object: 'chat.completion' });
    const failed = await ask(`${base}/nothing`);
    expect(decode(failed.body).toString()).toBe('{"error":"Route not found"}');
    expect((await stream(base)).headers['content-encoding']).toBeUndefined();
  });

  test.each([
    'GARBAGE\r\n\r\n',
    'POST /api/v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 2\r\n\r\n',
    `GET /${'x'.repeat(70_000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
    'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n',
    'POST /api/v1/stand-in/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n',
  ])('hostile bytes do not end it (%#)', async (bytes) => {
    const { base } = await start();
    await askRaw(base, bytes);
    expect((await chat(base)).status).toBe(200);
  });

  test.each(['//evil/api/v1/models', 'http://evil/api/v1/models', '*', '/api/v1/../v1/models'])(
    'the target %s is taken as it came, and is no route',
    async (target) => {
      const { venice, base } = await start();
      const head = `OPTIONS ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`;
      expect((await askRaw(base, head)).text).toMatch(/^HTTP\/1\.1 404 /);
      expect(venice.calls[0]?.url).toBe(target);
    },
  );
});

describe('faults', () => {
  test('a script is met in order of arrival, one each; then service is normal', async () => {
    const { venice, base } = await start();
    venice.script({ kind: 'answer', status: 503 }, { kind: 'ok' }, { kind: 'answer', status: 502 });
    expect(venice.scripted).toBe(3);
    const statuses = [await chat(base), await chat(base), await chat(base), await chat(base)];
    expect(statuses.map(({ status }) => status)).toEqual([503, 200, 502, 200]);
    expect(venice.scripted).toBe(0);
  });

  test('onCall chooses for calls that meet no script', async () => {
    const { base } = await start({
      onCall: ({ url }) => (url.endsWith('/models') ? { kind: 'answer', status: 500 } : undefined),
    });
    expect((await ask(`${base}/models`)).status).toBe(500);
    expect((await chat(base)).status).toBe(200);
  });

  test('ok delivers as it is told: headers, interim answers, framing, latency', async () => {
    const { got, call } = await meet({
      kind: 'ok',
      latencyMs: 50,
      informational: [103, 102],
      framing: 'close',
      headers: { 'x-ratelimit-limit-requests': 'nonsense', 'x-ratelimit-type': undefined },
    });
    expect(got).toMatchObject({ status: 200, interim: [103, 102], broken: undefined });
    expect(got.headers['content-length'] ?? got.headers['transfer-encoding']).toBeUndefined();
    expect(got.headers.connection).toBe('close');
    expect(got.headers['x-ratelimit-limit-requests']).toBe('nonsense');
    expect(got.headers['x-ratelimit-type']).toBeUndefined();
    await call.over;
    expect(Date.now() - call.at).toBeGreaterThan(45);
  });

  test('framing can be chunked, where the length would be known', async () => {
    const { got } = await meet({ kind: 'ok', framing: 'chunked' });
    expect(got.headers).toMatchObject({ 'transfer-encoding': 'chunked' });
    expect(got.headers['content-length']).toBeUndefined();
  });

  test.each([
    ['gzip', gunzipSync],
    ['br', brotliDecompressSync],
    ['deflate', inflateSync],
  ] as const)('a stream can be coded as %s, each event for itself', async (compress, decode) => {
    const asked = { body: STREAM };
    const { got, base } = await meet({ kind: 'ok', compress, tokenDelayMs: 15 }, asked);
    expect(got.headers['content-encoding']).toBe(compress);
    expect(got.pieces.length).toBeGreaterThan(5);
    expect(decode(got.body).toString()).toBe((await stream(base)).text);
  });

  test.each(['close', 'reset'] as const)('a kept connection can %s afterwards', async (how) => {
    const { venice, base } = await start();
    venice.script({ kind: 'ok', afterwards: how });
    const agent = keepAlive();
    expect(await chat(base, { agent })).toMatchObject({ status: 200, broken: undefined });
    await sleep(30);
    expect(venice.openSockets).toBe(0);
    expect(await chat(base, { agent })).toMatchObject({ status: 200, broken: undefined });
  });

  test('answer is the whole answer, after the whole request', async () => {
    const { got, call } = await meet({
      kind: 'answer',
      status: 402,
      reason: 'No Money',
      headers: { 'Payment-Required': 'abc', 'Retry-After': '7' },
      body: { error: { message: 'no' } },
      delayMs: 40,
    });
    expect(got).toMatchObject({
      status: 402,
      text: '{"error":{"message":"no"}}',
      headers: {
        'content-type': 'application/json; charset=utf-8',
        'payment-required': 'abc',
        'retry-after': '7',
        'cf-ray': expect.any(String),
      },
    });
    expect(Object.keys(got.headers).filter((name) => name.startsWith('x-'))).toEqual([]);
    expect(call).toMatchObject({ status: 402, bodyBytes: JSON.stringify(CHAT).length });
    await call.over;
    expect(Date.now() - call.at).toBeGreaterThan(35);
  });

  test.each([204, 304, 400])('an answer of %i may have no body', async (status) => {
    const { got } = await meet({ kind: 'answer', status });
    expect(got).toMatchObject({ status, text: '', broken: undefined });
  });

  test('a fault that cannot be written shows up as 500', async () => {
    const { got } = await meet({ kind: 'answer', status: 99, body: 'x' });
    expect(got).toMatchObject({ status: 500, text: expect.stringContaining('stand-in failed') });
  });

  test('rate-limited says when, in which window, and perhaps for how long', async () => {
    const options: StandInOptions = { resetFormat: 'milliseconds' };
    const { venice, base, got } = await meet({ kind: 'rate-limited', resetMs: 700 }, {}, options);
    expect(got).toMatchObject({
      status: 429,
      text: '{"error":"Rate limit exceeded"}',
      headers: { 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-remaining-tokens': '2000000' },
    });
    const until = Number(got.headers['x-ratelimit-reset-requests']) - Date.now();
    expect(Math.abs(until - 700)).toBeLessThan(100);
    venice.script(
      { kind: 'rate-limited', resetMs: 3000, window: 'tokens', retryAfter: 3 },
      { kind: 'rate-limited', resetMs: 3000, headers: false },
    );
    const tokens = await chat(base);
    expect(tokens.headers).toMatchObject({
      'x-ratelimit-remaining-requests': '100',
      'x-ratelimit-remaining-tokens': '0',
      'x-ratelimit-reset-tokens': '3',
      'retry-after': '3',
    });
    expect((await chat(base)).headers['x-ratelimit-reset-requests']).toBeUndefined();
    expect((await chat(base)).status).toBe(200);
  });

  test('overloaded leaves requests in the window, even in one that is used up', async () => {
    const options: StandInOptions = { requests: { limit: 1, windowMs: 60_000 } };
    const { venice, base, got } = await meet({ kind: 'overloaded' }, {}, options);
    expect(got).toMatchObject({ status: 429, headers: { 'x-ratelimit-remaining-requests': '1' } });
    expect(JSON.parse(got.text)).toMatchObject({ code: 'MODEL_OVERLOADED' });
    await chat(base);
    venice.script({ kind: 'overloaded' }, { kind: 'overloaded', headers: false });
    expect((await chat(base)).headers['x-ratelimit-remaining-requests']).toBe('1');
    expect((await chat(base)).headers['x-ratelimit-remaining-requests']).toBeUndefined();
  });

  test.each([
    [{ kind: 'abuse-block' }, /^Too many failed attempts \(> 50\) resulting/],
    [{ kind: 'abuse-block', failures: 20 }, /^Too many failed attempts \(> 20\) resulting/],
    [{ kind: 'feature-block' }, /^Too many failed attempts \(> 200\) asking for a feature/],
    [{ kind: 'abuse-block', shape: 'json' }, /^\{"error":"Too many failed attempts \(> 50\)/],
    [{ kind: 'unknown-field', field: 'user', shape: 'zod' }, /"keys":\["user"\],"path":\[\]/],
    [{ kind: 'unknown-field', field: 'user', shape: 'extra' }, /permitted, field: 'user', value/],
    [{ kind: 'null-field', field: 'n' }, /"received":"null","path":\["n"\]/],
  ] as const)('%j has its own body', async (fault, form) => {
    const { got } = await meet(fault);
    expect(got.text).toMatch(form);
    expect(got.status).toBe(fault.kind.endsWith('block') ? 429 : 400);
    expect(got.headers['x-ratelimit-remaining-requests']).toBe('100');
  });

  test.each(['head', 'body'] as const)('reset after the %s leaves no answer', async (after) => {
    const { got, call } = await meet({ kind: 'reset', after });
    expect(got).toMatchObject({ status: 0, broken: 'ECONNRESET' });
    await call.over;
    expect(call).toMatchObject({ aborted: false, finished: false, status: undefined });
    expect(call.bodyBytes).toBe(after === 'head' ? 0 : JSON.stringify(CHAT).length);
  });

  test('reset after the head does not wait for the body', async () => {
    const asked = { body: Buffer.from('{'), unfinished: true };
    expect((await meet({ kind: 'reset', after: 'head' }, asked)).got.broken).toBe('ECONNRESET');
  });

  test('reset-upload reads a part of the body', async () => {
    const { got, call } = await meet(
      { kind: 'reset-upload', afterBytes: 100_000 },
      { body: Buffer.alloc(1_000_000), unfinished: true },
    );
    expect(got.broken).toMatch(/ECONNRESET|EPIPE/);
    expect(call.bodyBytes).toBeGreaterThanOrEqual(100_000);
    expect(call.bodyBytes).toBeLessThan(1_000_000);
  });

  test('stall-upload stops reading, and never answers', async () => {
    const { got, call, venice } = await meet(
      { kind: 'stall-upload', afterBytes: 100_000 },
      { body: Buffer.alloc(20_000_000), leaveAfterMs: 100 },
    );
    expect(got).toMatchObject({ status: 0, broken: 'ECONNRESET' });
    expect(call.bodyBytes).toBeLessThan(1_000_000);
    expect(venice.openSockets).toBe(1);
  });

  test('slow-upload takes its time to read', async () => {
    const { got, call } = await meet(
      { kind: 'slow-upload', delayMs: 20 },
      { body: Buffer.from(JSON.stringify({ ...CHAT, user: 'x'.repeat(300_000) })) },
    );
    expect(got.status).toBe(200);
    await call.over;
    expect(Date.now() - call.at).toBeGreaterThan(60);
  });

  test('silent reads and never answers; it hears when the client leaves', async () => {
    const { got, call } = await meet({ kind: 'silent' }, { leaveAfterMs: 40 });
    expect(got.status).toBe(0);
    await call.over;
    expect(call).toMatchObject({ aborted: true, bodyBytes: JSON.stringify(CHAT).length });
  });

  test.each([CHAT, STREAM])('head-then-silent sends a head and no body', async (body) => {
    const asked = { body, leaveAfterMs: 60 };
    const { got, call } = await meet({ kind: 'head-then-silent' }, asked);
    expect(got).toMatchObject({ status: 200, text: '', broken: 'ECONNRESET' });
    await call.over;
    expect(call.aborted).toBe(true);
  });

  test.each([CHAT, STREAM])('reset-after-head resets after the head', async (body) => {
    const { got } = await meet({ kind: 'reset-after-head' }, { body });
    expect(got).toMatchObject({ status: 200, text: '', broken: 'ECONNRESET' });
  });

  test.each([CHAT, STREAM])('cut-body breaks off after so many bytes', async (body) => {
    const { got, base } = await meet({ kind: 'cut-body', bytes: 300 }, { body });
    expect(got).toMatchObject({ status: 200, broken: 'ECONNRESET' });
    expect(got.text).toBe((await chat(base, { body })).text.slice(0, 300));
  });

  test('cut-body can end cleanly within a content coding', async () => {
    const { got } = await meet({ kind: 'cut-body', bytes: 50, ending: 'end', compress: 'gzip' });
    expect(got).toMatchObject({ broken: undefined, body: expect.objectContaining({ length: 50 }) });
    expect(() => gunzipSync(got.body)).toThrow('unexpected end of file');
  });

  test.each(['close', 'reset'] as const)(
    'cut-stream breaks by %s between events',
    async (ending) => {
      const body = { ...STREAM, x_comments: true };
      const { got } = await meet({ kind: 'cut-stream', afterEvents: 3, ending }, { body });
      expect(got.broken).toBe('ECONNRESET');
      expect(dataOf(got.text)).toHaveLength(3);
      expect(got.text).toMatch(/\n\n$/);
    },
  );

  test('cut-stream breaks within an event', async () => {
    const fault = { kind: 'cut-stream', afterEvents: 3, midEvent: true } as const;
    const { got } = await meet(fault, { body: STREAM });
    expect(got.text.match(/^data: /gm)).toHaveLength(4);
    expect(got.text).not.toMatch(/\n$/);
  });

  test('cut-stream of a coded stream lacks the end of the coding', async () => {
    const fault = { kind: 'cut-stream', afterEvents: 3, compress: 'gzip' } as const;
    const { got } = await meet(fault, { body: STREAM });
    expect(got.broken).toBe('ECONNRESET');
    expect(() => gunzipSync(got.body)).toThrow('unexpected end of file');
  });

  test('stall-stream goes silent after its events', async () => {
    const fault = { kind: 'stall-stream', afterEvents: 2 } as const;
    const { got, call } = await meet(fault, { body: STREAM, leaveAfterMs: 80 });
    expect(dataOf(got.text)).toHaveLength(2);
    await call.over;
    expect(call.aborted).toBe(true);
  });

  test.each([undefined, 'close'] as const)(
    'end-stream-early ends cleanly (%s)',
    async (framing) => {
      const fault = { kind: 'end-stream-early', afterEvents: 2 } as const;
      const asked = { body: STREAM };
      const { got } = await meet(framing === undefined ? fault : { ...fault, framing }, asked);
      expect(got.broken).toBeUndefined();
      expect(dataOf(got.text)).toHaveLength(2);
      expect(got.text).not.toMatch(/"finish_reason":"|\[DONE\]/);
    },
  );

  test('slow-body cuts anywhere, and takes its time', async () => {
    const fault = { kind: 'slow-body', chunkBytes: 100, delayMs: 5 } as const;
    const { got, base } = await meet(fault, { body: STREAM });
    expect(got.pieces.length).toBeGreaterThan(8);
    expect(got.pieces[0]).toHaveLength(100);
    expect(got.text).toBe((await stream(base)).text);
  });

  test('wrong-length promises too much, or too little', async () => {
    const more = await meet({ kind: 'wrong-length', delta: 10 });
    expect(more.got).toMatchObject({ status: 200, broken: 'ECONNRESET' });
    const { venice, base } = await start();
    venice.script({ kind: 'wrong-length', delta: -10 });
    const head = 'GET /api/v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
    const { text } = await askRaw(base, head);
    const promised = Number(/Content-Length: (\d+)/.exec(text)?.[1]);
    expect(text.length - text.indexOf('\r\n\r\n') - 4).toBe(promised + 10);
  });

  test('raw bytes stand in place of an answer, and the connection closes', async () => {
    const { got, call } = await meet({ kind: 'raw', bytes: 'garbage\r\n\r\n' });
    expect(got).toMatchObject({ status: 0, broken: 'HPE_INVALID_CONSTANT' });
    expect(call.bodyBytes).toBe(JSON.stringify(CHAT).length);
    const odd = 'HTTP/1.1 099 Odd\r\nTrailer: x\r\nContent-Length: 0\r\n\r\n';
    expect((await meet({ kind: 'raw', bytes: Buffer.from(odd) })).got.status).toBe(99);
  });

  test('raw bytes can come early, and leave the connection open', async () => {
    const bytes = 'HTTP/1.1 200 OK\r\nContent-Le';
    const fault = { kind: 'raw', bytes, after: 'head', close: false } as const;
    const asked = { body: Buffer.from('{'), unfinished: true, leaveAfterMs: 60 };
    const { got, call } = await meet(fault, asked);
    expect(got).toMatchObject({ status: 0, broken: 'ECONNRESET' });
    await call.over;
    expect(call.bodyBytes).toBe(0);
    expect(Date.now() - call.at).toBeGreaterThan(30);
  });

  test.each([204, 304] as const)(
    '%i with a body is more than its reader expects',
    async (status) => {
      const { venice, base } = await start();
      venice.script({ kind: 'bodiless', status, body: 'boo' });
      const head = 'GET /api/v1/models HTTP/1.1\r\nHost: x\r\n\r\n';
      const answered = askRaw(base, head);
      await venice.arrived(1);
      await sleep(20);
      await venice.close();
      expect((await answered).text).toMatch(new RegExp(`^HTTP/1.1 ${status} .*\r\n\r\nboo$`, 's'));
    },
  );

  test('raw-stream writes its pieces as they are', async () => {
    const chunks = ['data: {"a":"', Buffer.from([0xc3]), Buffer.from([0xa9]), '"}\n\n'];
    const { got } = await meet({ kind: 'raw-stream', chunks, delayMs: 15 });
    expect(got.headers['content-type']).toBe('text/event-stream');
    expect(got.text).toBe('data: {"a":"é"}\n\n');
    expect(got.pieces).toHaveLength(4);
    expect(got.broken).toBeUndefined();
  });

  test.each([
    ['close', 'ECONNRESET', false],
    ['reset', 'ECONNRESET', false],
    ['silence', 'ECONNRESET', true],
  ] as const)('raw-stream can end with %s', async (ending, broken, aborted) => {
    const fault = { kind: 'raw-stream', chunks: ['x'], contentType: 'text/plain', ending } as const;
    const { got, call } = await meet(fault, { leaveAfterMs: 60 });
    expect(got).toMatchObject({ text: 'x', broken, headers: { 'content-type': 'text/plain' } });
    await call.over;
    expect(call.aborted).toBe(aborted);
  });

  test('early-answer does not wait for the body, and reads it still', async () => {
    const { venice, base } = await start();
    venice.script({ kind: 'early-answer', status: 413, body: { error: 'too large' } });
    const body = Buffer.alloc(100);
    const got = await chat(base, { body, unfinished: true });
    expect(got).toMatchObject({ status: 413, text: '{"error":"too large"}' });
    const [call] = venice.calls;
    expect(call?.bodyBytes).toBe(100);
  });

  test('early-answer can leave the body unread, or reset the connection', async () => {
    const { venice, base } = await start();
    const answer = { kind: 'early-answer', status: 403, body: 'no' } as const;
    venice.script({ ...answer, upload: 'stall' }, { ...answer, upload: 'reset' });
    const asked = { body: Buffer.alloc(20_000_000), leaveAfterMs: 150 };
    expect(await chat(base, asked)).toMatchObject({ status: 403, text: 'no' });
    expect(venice.calls[0]?.bodyBytes).toBe(0);
    expect((await chat(base, asked)).status).toBe(403);
    await venice.calls[1]?.over;
    expect(venice.calls[1]).toMatchObject({ bodyBytes: 0, aborted: false });
  });

  test('sse-error-first is a stream whose first event is an error', async () => {
    const { got } = await meet({ kind: 'sse-error-first' }, { body: STREAM });
    expect(got).toMatchObject({ status: 200, broken: undefined });
    expect(dataOf(got.text)).toMatchObject([{ error: { code: 'MODEL_OVERLOADED' } }]);
    const own = await meet({ kind: 'sse-error-first', error: { message: 'mine' } });
    expect(own.got.text).toBe('data: {"error":{"message":"mine"}}\n\n');
  });

  test('stop-accepting refuses connections for a while, then listens on the same port', async () => {
    const { base, got, call } = await meet({ kind: 'stop-accepting', forMs: 120 });
    expect(got.broken).toBe('ECONNRESET');
    expect((await chat(base)).broken).toBe('ECONNREFUSED');
    await sleep(150);
    expect((await chat(base)).status).toBe(200);
    expect(call).toMatchObject({ aborted: false, finished: false });
  });

  test('a pipelined call ends with its connection', async () => {
    const { venice, base } = await start();
    venice.script({ kind: 'silent' }, { kind: 'ok', latencyMs: 60_000 });
    const one = 'GET /api/v1/models HTTP/1.1\r\nHost: x\r\n\r\n';
    const { port } = new URL(base);
    const socket = connect(Number(port), '127.0.0.1', () => socket.write(one + one));
    const second = await venice.arrived(2);
    socket.destroy();
    await second.over;
    expect(second).toMatchObject({ aborted: true, finished: false });
  });
});

describe('TLS', () => {
  // A key that both sides know spares the test a certificate.
  const psk = Buffer.alloc(16, 7);
  const clientOptions = {
    agent: false as const,
    ciphers: 'PSK',
    pskCallback: () => ({ psk, identity: 'test' }),
    checkServerIdentity: () => undefined,
  };
  const askTls = (url: string): Promise<number | string | undefined> =>
    new Promise((resolve) => {
      const sent = requestTls(url, clientOptions, (answer) => {
        answer.resume().on('end', () => resolve(answer.statusCode));
      });
      sent.on('error', (error: NodeJS.ErrnoException) => resolve(error.code));
      sent.end();
    });

  test('it can speak TLS; there a reset is a close', async () => {
    const { venice, base } = await start({ tls: { pskCallback: () => psk, ciphers: 'PSK' } });
    expect(base).toMatch(/^https:/);
    venice.script({ kind: 'reset', after: 'body' });
    expect(await askTls(`${base}/models`)).toBe('ECONNRESET');
    expect(await askTls(`${base}/models`)).toBe(200);
    expect(venice.calls.map((call) => call.connection)).toEqual([1, 2]);
    expect(venice.connections).toBe(2);
  });
});
