import type { IncomingHttpHeaders, OutgoingHttpHeader, OutgoingHttpHeaders } from 'node:http';
import { describe, expect, test } from '@jest/globals';
import cors from 'cors';
import type { Express, RequestHandler, Response } from 'express';
import { CHAT, chat, startFront, startScene } from './helpers/scene.ts';
import type { Scene } from './helpers/scene.ts';
import { EXPRESSES, send } from './helpers/serve.ts';
import {
  LAST_CHUNK,
  chunk,
  chunkedHead,
  dial,
  get,
  head,
  isWhole,
  meet,
  parseAnswer,
  startUpstream,
} from './helpers/wire.ts';

/** What the upstream got of a request with these header lines. */
async function arrivesOf(...headers: string[]): Promise<IncomingHttpHeaders> {
  const scene = await startScene();
  const client = await dial(scene.origin);
  await client.write(get('/stand-in/echo', { headers }));
  const { headers: arrived } = await scene.venice.arrived(1);
  return arrived;
}

/** What the client gets of an answer with these header lines. */
async function relayedOf(...headers: string[]): Promise<readonly (readonly [string, string])[]> {
  const { client, upstream } = await meet();
  await upstream.write(`${head('Content-Length: 2', ...headers)}{}`);
  await client.until('{}');
  return parseAnswer(client.received).headers;
}

const namesOf = (headers: readonly (readonly [string, string])[]): string[] =>
  headers.map(([name]) => name.toLowerCase());

describe('of a request', () => {
  test.each([
    ['Keep-Alive', 'timeout=5'],
    ['Proxy-Authorization', 'Basic abc'],
    ['Proxy-Authenticate', 'Basic'],
    ['Proxy-Connection', 'keep-alive, x'],
    ['TE', 'trailers'],
    ['Trailer', 'X-Sum'],
    ['Upgrade', 'websocket'],
    ['HTTP2-Settings', 'AAMAAABkAARAAAAAAAIAAAAA'],
    ['Expect', '100-continue'],
    ['Cookie', 'session=secret'],
    ['Forwarded', 'for=192.0.2.1'],
    ['X-Real-IP', '192.0.2.1'],
    ['X-Forwarded-For', '192.0.2.1'],
    ['X-Forwarded-Host', 'inside.example'],
    ['X-Forwarded-Proto', 'https'],
    ['X-Forwarded-Port', '443'],
    ['X-Forwarded-Prefix', '/ai'],
    ['X-Forwarded-Server', 'inside'],
    ['X-Forwarded-User', 'jane'],
    ['X-Forwarded-Client-Cert', 'By=x'],
  ])('%s stays on its hop', async (name, value) => {
    const arrived = await arrivesOf(`${name}: ${value}`, 'X-Kept: yes');
    expect(arrived).not.toHaveProperty(name.toLowerCase());
    expect(arrived['x-kept']).toBe('yes');
    expect(JSON.stringify(arrived)).not.toContain(value);
  });

  // What stands behind CGI's rules, which know no `-`, reads these as the names above.
  test.each([
    'Transfer_Encoding',
    'Content_Length',
    'Proxy_Authorization',
    'X_Real_IP',
    'X_Forwarded_For',
    'x_forwarded-for',
    'Cf_Connecting-IP',
  ])('%s stays on its hop, too', async (name) => {
    const arrived = await arrivesOf(`${name}: 7777777`, 'X_Kept: yes');
    expect(JSON.stringify(arrived)).not.toContain('7777777');
    expect(arrived['x_kept']).toBe('yes');
  });

  test('what Connection names stays on its hop, however it is written', async () => {
    const arrived = await arrivesOf(
      'Connection: keep-alive,x-one ,  X-TWO,,',
      'connection: X-Three',
      'X-One: 1',
      'x-two: 2',
      'X-Three: 3',
      'X-Four: 4',
    );
    expect(arrived).toMatchObject({ 'x-four': '4', connection: 'keep-alive' });
    for (const name of ['x-one', 'x-two', 'x-three']) expect(arrived).not.toHaveProperty(name);
  });

  test.each(['content-length', 'Content-Length, Transfer-Encoding', 'host'])(
    'the framing is right although Connection names %s',
    async (name) => {
      const scene = await startScene();
      const reply = await send(`${scene.baseUrl}/chat/completions`, {
        headers: { connection: `close, ${name}` },
        body: CHAT,
      });
      expect(reply).toMatchObject({ status: 200, complete: true });
      expect(JSON.parse(scene.venice.calls[0]?.body.toString() ?? '')).toEqual(CHAT);
    },
  );

  test('an upgrade is no upgrade: the answer is an ordinary one', async () => {
    const scene = await startScene();
    const client = await dial(scene.origin);
    const headers = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: x'];
    await client.write(get('/models', { headers }));
    await client.until('}');
    expect(parseAnswer(client.received).status).toBe(200);
    expect(scene.venice.calls[0]?.headers).toMatchObject({ 'sec-websocket-key': 'x' });
    expect(scene.venice.calls[0]?.headers).not.toHaveProperty('upgrade');
  });

  test('the address of the client goes nowhere, also when the app trusts proxies', async () => {
    const scene = await startScene({}, {}, { before: (app) => void app.set('trust proxy', true) });
    await send(`${scene.baseUrl}/models`, { headers: { 'x-forwarded-for': '192.0.2.7' } });
    expect(JSON.stringify(scene.venice.calls[0]?.rawHeaders)).not.toMatch(
      /192\.0\.2\.7|forwarded/i,
    );
  });

  test.each([
    ['begins', [], /^1\.1 venice-proxy-[0-9a-f]{12}$/],
    ['is appended to', ['Via: 1.0 fred'], /^1\.0 fred, 1\.1 venice-proxy-[0-9a-f]{12}$/],
    [
      'is appended to, over several lines',
      ['Via: 1.0 fred', 'Via: 2 jane (a proxy)'],
      /^1\.0 fred, 2 jane \(a proxy\), 1\.1 venice-proxy-[0-9a-f]{12}$/,
    ],
  ])('Via %s', async (_how, headers, via) => {
    expect((await arrivesOf(...headers)).via).toMatch(via);
  });

  test('everything else arrives as it was sent', async () => {
    const headers = {
      authorization: 'Bearer test-key',
      'sign-in-with-x': 'eyJ=',
      'x-stainless-lang': 'js',
      'x-stainless-retry-count': '0',
      'accept-language': 'de, en;q=0.5',
      accept: 'application/json',
      'accept-encoding': 'gzip, br',
      'user-agent': 'OpenAI/JS 7.57.0',
      'openai-beta': 'assistants=v2',
      'x-odd': 'a "quoted" \\ value, with (comments); and=more',
      'x-latin': '\xe4\xf6\xfc',
    };
    const arrived = await arrivesOf(
      ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
      'X-Twice: 1',
      'X-Twice: 2',
    );
    // A test writes UTF-8; what counts is that the same bytes arrive.
    const latin = Buffer.from(headers['x-latin']).toString('latin1');
    expect(arrived).toMatchObject({ ...headers, 'x-latin': latin, 'x-twice': '1, 2' });
  });

  test('Host is that of the target', async () => {
    const scene = await startScene();
    await send(`${scene.baseUrl}/models`, { headers: { host: 'evil.example' } });
    expect(scene.venice.calls[0]?.headers.host).toBe(new URL(scene.target).host);
  });

  test.each([
    ['JSON', 'application/json', '/chat/completions', JSON.stringify(CHAT)],
    ['an upload', 'application/octet-stream', '/stand-in/echo', 'x'.repeat(1_000)],
  ])('Expect: 100-continue is answered, then %s is forwarded', async (_what, type, path, body) => {
    const scene = await startScene();
    const client = await dial(scene.origin);
    const lines = [
      `POST /api/v1${path} HTTP/1.1`,
      'Host: x',
      'Authorization: Bearer test-key',
      'Expect: 100-continue',
      `Content-Type: ${type}`,
      `Content-Length: ${body.length}`,
    ];
    await client.write([...lines, '', ''].join('\r\n'));
    await client.until('HTTP/1.1 100 Continue\r\n\r\n');
    expect(scene.venice.calls).toEqual([]);
    await client.write(body);
    await client.when(() => isWhole(client.received));
    expect(parseAnswer(client.received)).toMatchObject({ status: 200, complete: true });
    expect(scene.venice.calls[0]?.body.toString()).toBe(body);
    expect(scene.venice.calls[0]?.headers).not.toHaveProperty('expect');
  });
});

describe('of an answer', () => {
  test.each([
    ['Keep-Alive', 'timeout=77'],
    ['Proxy-Authenticate', 'Basic'],
    ['Proxy-Authentication-Info', 'x'],
    ['Proxy-Authorization', 'Basic abc'],
    ['Proxy-Connection', 'keep-alive'],
    ['TE', 'trailers'],
    ['Trailer', 'X-Sum'],
    ['Upgrade', 'h2c'],
  ])('%s stays on its hop', async (name, value) => {
    const relayed = await relayedOf(`${name}: ${value}`, 'X-Kept: yes');
    expect(relayed).not.toContainEqual([name, value]);
    expect(relayed).toContainEqual(['X-Kept', 'yes']);
  });

  test('what Connection names stays on its hop', async () => {
    const relayed = await relayedOf(
      'Connection: x-one, close',
      'X-One: 1',
      'Connection: X-TWO',
      'x-two: 2',
      'X-Three: 3',
    );
    expect(namesOf(relayed)).toContain('x-three');
    expect(namesOf(relayed)).not.toContain('x-one');
    expect(namesOf(relayed)).not.toContain('x-two');
    // The client's connection is its own affair.
    expect(relayed).toContainEqual(['Connection', 'keep-alive']);
  });

  test('the body is framed although Connection names its length', async () => {
    const { client, upstream } = await meet();
    await upstream.write(`${head('Content-Length: 2', 'Connection: Content-Length')}{}`);
    await client.until(LAST_CHUNK);
    expect(parseAnswer(client.received)).toMatchObject({
      complete: true,
      body: Buffer.from('{}'),
    });
  });

  test('trailers are left out', async () => {
    const { client, upstream } = await meet();
    await upstream.write(chunkedHead('application/json', 'Trailer: X-Sum') + chunk('{}'));
    await upstream.write('0\r\nX-Sum: 1\r\n\r\n');
    await client.until(LAST_CHUNK);
    expect(client.text).not.toMatch(/x-sum/i);
  });

  test('case, order and repetition are the upstream’s', async () => {
    const relayed = await relayedOf(
      'x-LOWER-upper: 1',
      'CF-RAY: abc-FRA',
      'Set-Cookie: a=1; Path=/',
      'x-ratelimit-remaining-requests: 5',
      'Set-Cookie: b=2; Path=/',
      'ETag: "x"',
      'X-VENICE-TEE-Attestation: yes',
      'PAYMENT-REQUIRED: eyJ=',
      'Date: Thu, 01 Jan 2026 00:00:00 GMT',
      'set-cookie: c=3',
    );
    const theirs = relayed.filter(([name]) => !/^(x-powered-by|x-venice-proxy-.*)$/i.test(name));
    expect(theirs).toEqual([
      ['Content-Length', '2'],
      ['x-LOWER-upper', '1'],
      ['CF-RAY', 'abc-FRA'],
      ['Set-Cookie', 'a=1; Path=/'],
      ['Set-Cookie', 'b=2; Path=/'],
      ['Set-Cookie', 'c=3'],
      ['x-ratelimit-remaining-requests', '5'],
      ['ETag', '"x"'],
      ['X-VENICE-TEE-Attestation', 'yes'],
      ['PAYMENT-REQUIRED', 'eyJ='],
      ['Date', 'Thu, 01 Jan 2026 00:00:00 GMT'],
      ['Connection', 'keep-alive'],
      ['Keep-Alive', 'timeout=5'],
    ]);
  });

  test('the reason phrase is the upstream’s', async () => {
    const { client, upstream } = await meet();
    await upstream.write('HTTP/1.1 299 Quite Fine\r\nContent-Length: 2\r\n\r\n{}');
    await client.until('{}');
    expect(client.text).toMatch(/^HTTP\/1\.1 299 Quite Fine\r\n/);
  });
});

/** Sets what helmet sets, before anything is known of the answer. */
const protective: RequestHandler = (_req, res, next) => {
  res.set({
    'Content-Security-Policy': "default-src 'none'",
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Referrer-Policy': 'no-referrer',
    'Strict-Transport-Security': 'max-age=31536000; includeSubDomains',
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'SAMEORIGIN',
  });
  res.cookie('session', 'app');
  res.vary('Origin');
  next();
};

const guard = (app: Express): void =>
  void app.use(cors({ origin: 'https://app.example', credentials: true }), protective);

describe.each(EXPRESSES)('what the app has set before, in %s,', (_name, express) => {
  async function startGuarded(): Promise<Scene> {
    return startScene({}, {}, { express, before: guard });
  }
  const kept = {
    'access-control-allow-origin': 'https://app.example',
    'access-control-allow-credentials': 'true',
    'content-security-policy': "default-src 'none'",
    'cross-origin-resource-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
    'strict-transport-security': 'max-age=31536000; includeSubDomains',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'SAMEORIGIN',
    'set-cookie': ['session=app; Path=/'],
    vary: 'Origin',
  };

  test('survives on answers, streams and errors of ours', async () => {
    const scene = await startGuarded();
    expect((await chat(scene)).headers).toMatchObject(kept);
    expect((await chat(scene, { stream: true })).headers).toMatchObject(kept);
    const refused = await send(`${scene.baseUrl}/a%2fb`);
    expect(refused).toMatchObject({ status: 400, headers: kept });
  });

  test('survives although the upstream sets the same', async () => {
    const scene = await startGuarded();
    scene.venice.script({
      kind: 'ok',
      headers: {
        'Access-Control-Allow-Origin': '*',
        'Access-Control-Expose-Headers': 'X-Theirs',
        'Content-Security-Policy': "default-src 'self'",
        'Cross-Origin-Resource-Policy': 'cross-origin',
        'Referrer-Policy': 'origin',
        'Strict-Transport-Security': 'max-age=0',
        'X-Content-Type-Options': 'none',
        'X-Frame-Options': 'ALLOWALL',
        'Set-Cookie': ['__cf_bm=1', '_cfuvid=2'],
        Vary: 'Accept-Encoding',
      },
    });
    const { headers } = await chat(scene);
    expect(headers['access-control-expose-headers']).toBeUndefined();
    expect(headers).toMatchObject({
      ...kept,
      'set-cookie': ['session=app; Path=/', '__cf_bm=1', '_cfuvid=2'],
      vary: 'Origin, Accept-Encoding',
    });
  });
});

test('the upstream does not say which pages may read an answer, also where the app says nothing', async () => {
  const scene = await startScene();
  const theirs = {
    'Access-Control-Allow-Origin': '*',
    'Access-Control-Allow-Credentials': 'true',
  };
  scene.venice.script({ kind: 'ok', headers: theirs }, { kind: 'ok', headers: theirs });
  const replies = [await chat(scene), await send(`${scene.baseUrl}/models`, { method: 'OPTIONS' })];
  for (const { headers } of replies) {
    expect(Object.keys(headers).filter((name) => name.startsWith('access-control-'))).toEqual([]);
  }
});

type Head = string | OutgoingHttpHeaders | OutgoingHttpHeader[] | undefined;

/** Hooks `writeHead` as on-headers 1.0 does, on which compression, morgan and sessions build. */
function onHeaders(res: Response, listener: (this: Response) => void): void {
  const writeHead = res.writeHead.bind(res);
  let fired = false;
  res.writeHead = function hooked(status: number, first?: Head, second?: Head) {
    const reason = typeof first === 'string' ? first : undefined;
    const headers = reason === undefined ? first : second;
    res.statusCode = status;
    // Of a flat list of names and values this makes headers with the names 0, 1, 2…
    for (const [name, value] of Object.entries(headers ?? {})) res.setHeader(name, String(value));
    if (!fired) {
      fired = true;
      listener.call(res);
    }
    if (reason !== undefined) res.statusMessage = reason;
    return writeHead(res.statusCode);
  };
}

describe('a middleware that hooks writeHead', () => {
  interface Note {
    status: number;
    type: unknown;
    attempts: unknown;
    finished: [number, unknown];
  }

  async function startHooked(): Promise<{ scene: Scene; notes: Note[] }> {
    const notes: Note[] = [];
    const before = (app: Express): void =>
      void app.use((_req, res, next) => {
        onHeaders(res, function note() {
          const type = this.getHeader('content-type');
          const attempts = this.getHeader('x-venice-proxy-attempts');
          const it: Note = { status: this.statusCode, type, attempts, finished: [0, 0] };
          notes.push(it);
          this.setHeader('X-Hooked', String(notes.length));
          this.removeHeader('X-Powered-By');
          this.on('finish', () => {
            it.finished = [this.statusCode, this.getHeader('content-length')];
          });
        });
        next();
      });
    return { scene: await startScene({}, {}, { before }), notes };
  }

  test('sees and changes the head of a short answer', async () => {
    const { scene, notes } = await startHooked();
    const reply = await chat(scene);
    expect(reply).toMatchObject({ status: 200, complete: true });
    expect(reply.headers).toMatchObject({ 'x-hooked': '1' });
    expect(reply.headers).not.toHaveProperty('x-powered-by');
    expect(notes).toEqual([
      {
        status: 200,
        type: 'application/json; charset=utf-8',
        attempts: '1',
        finished: [200, String(reply.body.length)],
      },
    ]);
  });

  test('sees and changes the head of a stream, of HEAD, of 204 and of errors', async () => {
    const { scene, notes } = await startHooked();
    const stream = await chat(scene, { stream: true });
    expect(stream).toMatchObject({ status: 200, complete: true, headers: { 'x-hooked': '1' } });
    const models = await send(`${scene.baseUrl}/models`, { method: 'HEAD' });
    expect(models).toMatchObject({ status: 200, headers: { 'x-hooked': '2' } });
    scene.venice.script({ kind: 'answer', status: 204 }, { kind: 'answer', status: 402, body: {} });
    expect(await chat(scene)).toMatchObject({ status: 204, headers: { 'x-hooked': '3' } });
    expect(await chat(scene)).toMatchObject({ status: 402, headers: { 'x-hooked': '4' } });
    expect(await send(`${scene.baseUrl}/a%2fb`)).toMatchObject({
      status: 400,
      headers: { 'x-hooked': '5' },
    });
    expect(notes.map(({ status }) => status)).toEqual([200, 200, 204, 402, 400]);
    expect(notes[0]?.type).toBe('text/event-stream; charset=utf-8');
  });
});

test('a header that no answer may have is left out, the rest stays', async () => {
  const upstream = await startUpstream((_req, res) => {
    res.socket?.end(
      Buffer.from(
        'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Raw: a\x80\xffb\r\nX-Tab: a\tb\r\n\r\n{}',
        'latin1',
      ),
    );
  });
  const front = await startFront({ target: upstream });
  const reply = await send(`${front.baseUrl}/models`);
  expect(reply).toMatchObject({ status: 200, text: '{}' });
  expect(reply.headers).toMatchObject({ 'x-raw': 'a\x80\xffb', 'x-tab': 'a\tb' });
});
