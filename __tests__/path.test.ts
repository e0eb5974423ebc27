import { describe, expect, test } from '@jest/globals';
import express5 from 'express';
import type { Express } from 'express';
import { createStandInVenice } from '../examples/stand-in-venice.ts';
import type { StandInVenice } from '../examples/stand-in-venice.ts';
import { createVeniceProxy } from '../lib/index.ts';
import type { VeniceProxy } from '../lib/index.ts';
import { Recorder, closeAfterTest, exchangeRaw, startFront, startScene } from './helpers/scene.ts';
import type { RawAnswer, Scene } from './helpers/scene.ts';
import { EXPRESSES, QUICK, listen, send } from './helpers/serve.ts';

const METHODS = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD'];

interface Place {
  readonly where: string;
  /** What stands in front of the paths that the proxy is given. */
  readonly prefix: string;
  readonly mount: (app: Express, proxy: VeniceProxy, express: typeof express5) => void;
}

const PLACES: readonly Place[] = [
  { where: 'at /', prefix: '', mount: (app, proxy) => app.use('/', proxy) },
  { where: 'at no path', prefix: '', mount: (app, proxy) => app.use(proxy) },
  { where: 'at /api/v1', prefix: '/api/v1', mount: (app, proxy) => app.use('/api/v1', proxy) },
  {
    where: 'at /deep/er/mount/',
    prefix: '/deep/er/mount',
    mount: (app, proxy) => app.use('/deep/er/mount/', proxy),
  },
  {
    where: 'in a nested router',
    prefix: '/outer/in%20ner',
    mount: (app, proxy, express) =>
      app.use('/outer', express.Router().use('/:name', express.Router().use(proxy))),
  },
];

/** The stand-in answers 404 to most of these paths: that must not use up a budget of failures. */
const PATIENT = { abuse: false, basePath: '/up/v1' } as const;

async function startAt(place: Place, express: typeof express5) {
  const venice = createStandInVenice(PATIENT);
  const target = await venice.listen();
  const recorder = new Recorder();
  const app = express();
  place.mount(app, createVeniceProxy({ ...QUICK, target, on: recorder.hooks }), express);
  const running = await listen(app);
  closeAfterTest(() => running.close());
  closeAfterTest(() => venice.close());
  return { venice, origin: running.origin, recorder };
}

function ask(origin: string, target: string, method = 'GET'): Promise<RawAnswer> {
  return exchangeRaw(
    origin,
    Buffer.from(
      `${method} ${target} HTTP/1.1\r\nHost: evil.example\r\nAuthorization: Bearer k\r\n` +
        'Connection: close\r\n\r\n',
      'latin1',
    ),
  );
}

function statusOf({ statusLine }: RawAnswer): number {
  return Number(statusLine.split(' ')[1]);
}

function header({ headerLines }: RawAnswer, name: string): string | undefined {
  const line = headerLines.find((each) => each.toLowerCase().startsWith(`${name}: `));
  return line?.slice(name.length + 2);
}

function range(first: number, last: number): string {
  return String.fromCharCode(
    ...Array.from({ length: last - first + 1 }, (_, index) => first + index),
  );
}

const INNOCENT = [
  '/models',
  '/models/',
  '/models?type=image',
  '/a%20b',
  '/x?a=b?c',
  '/x?',
  '/',
  '/?x',
  '/a//b///',
  '/a;b=c;d,e',
  '/x#y',
  '/x#y?z',
  '/x?q#y',
  '/x??&&==',
  '/x?a[]=1&b={}',
  '/%C3%A9%E9%zz%%00%0d%0a',
  '/.well-known/...',
  '/a..b/..c/d../.e',
  '/%2easy',
  '/x?y=/../..&u=http://evil.example//%2f%5c\\%2e%2e',
  '/http://evil.example',
  '/evil.example:80',
  "/!$&'()*+,-:;=@_~",
  '/"<>^`{|}',
  `/x?${range(0x21, 0x7e)}`,
  '/%252e%252e%252f',
  '/a%2Bb%25',
  '/__proto__/constructor',
  '/user@host',
  '/API/V1/models',
  '/api/v1/models',
  '/up/v1/models',
  `/x?${'y'.repeat(300)}`,
];

// Where there is no prefix, an HTTP request cannot say these.
const DIRECTLY_BEHIND = ['', '?', '?x', '?a=b?c', '?/../x', '?//evil.example'];

const HOSTILE = [
  '//',
  '//evil.example',
  '//evil.example/models',
  '///evil.example',
  '//evil.example?x',
  '//evil.example:80@x/',
  '/..',
  '/.',
  '/../',
  '/./',
  '/../models',
  '/./models',
  '/a/../../b',
  '/a/..',
  '/a/.',
  '/..?x',
  '/a//../b',
  '/%2e%2e/x',
  '/%2E%2e',
  '/.%2e/x',
  '/%2e./x',
  '/%2e/x',
  '/a/%2e%2e/%2e%2e/x',
  '/..;/x',
  '/..;a=b/x',
  '/%2e%2e;x',
  '/..%3b/x',
  '/..#x',
  '/%2f',
  '/%2Fevil.example',
  '/%2f%2fevil.example/x',
  '/a%2fb',
  '/..%2fx',
  '/..%2F..%2Fx',
  '/%5c',
  '/%5C%5Cevil.example',
  '/..%5cx',
  '/\\evil.example',
  '/\\\\evil.example\\x',
  '/..\\x',
  '/a\\..\\..\\b',
  '/api/../tags',
  '/api/tags/..',
  '/api/tags/../../x',
  '/../api/tags',
  '//api/tags',
];

/** How the absolute form can be written in front of a path that the app routes to the proxy. */
const ABSOLUTE = [
  'http://evil.example',
  'HTTP://evil.example',
  'https://evil.example:443',
  'http://user:pass@evil.example',
  'http://127.0.0.1:1',
  'http://[::1]:1',
];

async function urlsOf(scene: Scene, paths: readonly string[]): Promise<string[]> {
  for (const path of paths) {
    // oxlint-disable-next-line no-await-in-loop -- the order is compared
    await ask(scene.origin, `/api/v1${path}`);
  }
  return scene.venice.calls.map(({ url }) => url);
}

async function startTarget(path: string): Promise<{ venice: StandInVenice; baseUrl: string }> {
  const venice = createStandInVenice({ abuse: false, basePath: '' });
  const origin = await venice.listen();
  const { baseUrl } = await startFront({ target: origin + path });
  closeAfterTest(() => venice.close());
  return { venice, baseUrl };
}

/** Proxies that may be given targets that do not exist before they do. */
async function startProxies(
  count: number,
  targetOf: (index: number, origins: readonly string[]) => string,
) {
  const apps = Array.from({ length: count }, () => express5());
  const servers = await Promise.all(apps.map((app) => listen(app)));
  for (const server of servers) closeAfterTest(() => server.close());
  const origins = servers.map(({ origin }) => `${origin}/api/v1`);
  const recorders = apps.map((app, index) => {
    const recorder = new Recorder();
    const target = targetOf(index, origins);
    app.use('/api/v1', createVeniceProxy({ ...QUICK, target, on: recorder.hooks }));
    return recorder;
  });
  return { recorders, first: origins[0] ?? '' };
}

async function passInARow(count: number) {
  const venice = createStandInVenice();
  const target = await venice.listen();
  const proxies = await startProxies(count, (index, origins) => origins[index + 1] ?? target);
  closeAfterTest(() => venice.close());
  return { venice, ...proxies };
}

async function expectLoop(first: string): Promise<void> {
  const reply = await send(`${first}/models`);
  expect(reply.status).toBe(508);
  expect(JSON.parse(reply.text)).toEqual({
    error: {
      message: expect.stringContaining('come back'),
      type: 'invalid_request_error',
      param: null,
      code: 'loop_detected',
    },
  });
}

describe.each(EXPRESSES)('in %s', (_name, express) => {
  describe.each(PLACES)('$where', (place) => {
    const { prefix } = place;

    test('path and query go out byte for byte behind the target', async () => {
      const { venice, origin } = await startAt(place, express);
      const written = prefix === '' ? INNOCENT : [...DIRECTLY_BEHIND, ...INNOCENT];
      await Promise.all(written.map((each) => ask(origin, prefix + each)));
      expect(venice.calls.map(({ url }) => url).toSorted()).toEqual(
        written.map((each) => `/up/v1${each}`).toSorted(),
      );
    });

    test('a path that could lead elsewhere is refused, and no call is made', async () => {
      const { venice, origin, recorder } = await startAt(place, express);
      const written = [
        ...HOSTILE.map((each) => prefix + each),
        ...ABSOLUTE.flatMap((host) => [`${host}${prefix}/models`, `${host}${prefix}/`]),
        ...(prefix === '' ? [] : [`http://evil.example${prefix}?x`]),
      ];
      const answers = await Promise.all(written.map((each) => ask(origin, each)));
      const seen = answers.map((answer, index) => [written[index], statusOf(answer)]);
      expect(seen).toEqual(written.map((each) => [each, 400]));
      for (const answer of answers) {
        expect(JSON.parse(answer.body.toString())).toEqual({
          error: {
            message: expect.stringContaining('path'),
            type: 'invalid_request_error',
            param: null,
            code: 'invalid_path',
          },
        });
        expect(header(answer, 'content-type')).toBe('application/json; charset=utf-8');
        expect(header(answer, 'content-length')).toBe(String(answer.body.length));
        expect(header(answer, 'x-venice-proxy-attempts')).toBe('0');
      }
      expect([recorder.attempts, venice.connections]).toEqual([0, 0]);
    });

    test.each(METHODS)('%s is forwarded', async (method) => {
      const { venice, origin } = await startAt(place, express);
      const answer = await ask(origin, `${prefix}/stand-in/echo/a?b`, method);
      expect(statusOf(answer)).toBe(200);
      const { length } = answer.body;
      expect(length > 0).toBe(method !== 'HEAD');
      expect(venice.calls.map((call) => [call.method, call.url, call.bodyBytes])).toEqual([
        [method, '/up/v1/stand-in/echo/a?b', 0],
      ]);
    });

    test.each(['TRACE', 'PROPFIND'])('%s is refused, and no call is made', async (method) => {
      const { venice, origin, recorder } = await startAt(place, express);
      const answer = await ask(origin, `${prefix}/models`, method);
      expect(statusOf(answer)).toBe(405);
      expect(header(answer, 'allow')?.split(', ').toSorted()).toEqual(METHODS.toSorted());
      expect(JSON.parse(answer.body.toString())).toEqual({
        error: expect.objectContaining({
          type: 'invalid_request_error',
          code: 'method_not_allowed',
        }),
      });
      expect([recorder.attempts, venice.connections]).toEqual([0, 0]);
    });
  });

  test('a hostile path in front of the mount path never reaches the proxy', async () => {
    const scene = await startScene({}, PATIENT, { express });
    const written = [
      ...['//evil.example', '/..', '/%2e%2e', '/.', '/\\evil.example', '/x/..'].map(
        (each) => `${each}/api/v1/models`,
      ),
      '/api/../api/v1/models',
      '/api/%76%31/models',
      '/api%2fv1/models',
      '/api\\v1/models',
      '/api/v1..',
      '/api/v1%2e',
      '/api/v1%2f',
      '/api/v1;/models',
      '/api/v1.evil/models',
      'http://evil.example//api/v1/models',
      'http://evil.example/other',
    ];
    const answers = await Promise.all(written.map((each) => ask(scene.origin, each)));
    expect(answers.map((answer, index) => [written[index], statusOf(answer)])).toEqual(
      written.map((each) => [each, 404]),
    );
    expect([scene.recorder.attempts, scene.venice.connections]).toEqual([0, 0]);
  });

  test.each(['/x\x7f', '/x\ty', '/x?\x7f'])('a control byte is refused: %j', async (path) => {
    const scene = await startScene({}, PATIENT, { express });
    expect(statusOf(await ask(scene.baseUrl, `/api/v1${path}`))).toBe(400);
    expect(scene.venice.connections).toBe(0);
  });

  test.each(['/caf\xe9', '/\xc3\xa9', '/x?\xf0\x9f\x99\x82', '/\xa0'])(
    'a byte that is no ASCII goes out as it is, if it passes the parser of this Node: %j',
    async (path) => {
      const scene = await startScene({}, PATIENT, { express });
      const status = statusOf(await ask(scene.baseUrl, `/api/v1${path}`));
      const urls = scene.venice.calls.map(({ url }) => url);
      expect([status, urls]).toEqual(status === 400 ? [400, []] : [404, [`/up/v1${path}`]]);
    },
  );

  test('a request that is about no path is refused', async () => {
    const scene = await startScene({}, PATIENT, { express, mount: '/' });
    const answer = await ask(scene.origin, '*', 'OPTIONS');
    expect(statusOf(answer)).toBe(400);
    expect(answer.body.toString()).toContain('"code":"invalid_path"');
    expect(scene.venice.connections).toBe(0);
  });
});

test('the Host header of a client decides nothing', async () => {
  const { origin, venice, target } = await startScene();
  await ask(origin, '/api/v1/models');
  expect(venice.calls[0]?.headers.host).toBe(new URL(target).host);
});

describe('of Ollama', () => {
  test.each(['/api/v1', '/deep/er/base', '/'])(
    'exactly eight paths go to the origin of a target at %s, with their query',
    async (basePath) => {
      const scene = await startScene({}, { ...PATIENT, basePath });
      const names = ['version', 'tags', 'ps', 'show', 'chat', 'generate', 'embed', 'embeddings'];
      const paths = names.flatMap((name) => [`/api/${name}`, `/api/${name}?a=/b?c`]);
      expect(await urlsOf(scene, paths)).toEqual(paths);
    },
  );

  test("no ninth path leaves the target's own", async () => {
    const scene = await startScene({}, PATIENT);
    const paths = [
      '/api',
      '/api/',
      '/api/?tags',
      '/api/tag',
      '/api/tagss',
      '/api/Tags',
      '/API/tags',
      '/api/tags/',
      '/api/tags/x',
      '/api/tags;x',
      '/api/tags#',
      '/api/%74ags',
      '/api//tags',
      '/api/pull',
      '/api/push',
      '/api/create',
      '/api/copy',
      '/api/delete',
      '/api/blobs/x',
      '/api/me',
      '/api/user',
      '/api/constructor',
      '/tags',
      '/v1/models',
      '/x/api/tags',
      '/api/api/tags',
      '/api/v1/api/tags',
      '/api/v1/models',
      '/models',
    ];
    expect(await urlsOf(scene, paths)).toEqual(paths.map((path) => `/up/v1${path}`));
  });
});

describe('a target', () => {
  test.each([
    ['', '', '/'],
    ['', '?x', '/?x'],
    ['', '/', '/'],
    ['', '/models?x', '/models?x'],
    ['/', '', '/'],
    ['/', '?x', '/?x'],
    ['/', '/models', '/models'],
    ['/base', '', '/base'],
    ['/base', '?x', '/base?x'],
    ['/base', '/', '/base/'],
    ['/base', '/models', '/base/models'],
    ['/base/', '', '/base'],
    ['/base/', '/models', '/base/models'],
    ['/base/', '/', '/base/'],
    ['/ba%20se/v1///', '/models', '/ba%20se/v1/models'],
  ])('with the path %j takes %j as %j', async (path, written, url) => {
    const { venice, baseUrl } = await startTarget(path);
    const { origin, pathname } = new URL(baseUrl);
    await ask(origin, pathname + written);
    expect(venice.calls.map((call) => call.url)).toEqual([url]);
  });
});

describe('a request that comes back round', () => {
  test('to the proxy that sent it gets 508, at its second visit', async () => {
    const { recorders, first } = await startProxies(1, (index, origins) => origins[index] ?? '');
    await expectLoop(first);
    expect(recorders.map(({ attempts, retries }) => [attempts, retries])).toEqual([[1, []]]);
  });

  test('by way of another proxy gets 508, too', async () => {
    const { recorders, first } = await startProxies(
      2,
      (index, origins) => origins[1 - index] ?? '',
    );
    await expectLoop(first);
    expect(recorders.map(({ attempts, retries }) => [attempts, retries])).toEqual([
      [1, []],
      [1, []],
    ]);
  });

  test.each([2, 10])('is not one that passes %i proxies in a row', async (count) => {
    const { venice, recorders, first } = await passInARow(count);
    expect(await send(`${first}/models`)).toMatchObject({ status: 200, complete: true });
    expect(venice.calls).toHaveLength(1);
    expect(recorders.map(({ attempts }) => attempts)).toEqual(recorders.map(() => 1));
  });

  test('is taken for one when it has passed ten proxies', async () => {
    const { venice, recorders, first } = await passInARow(11);
    await expectLoop(first);
    expect(venice.calls).toHaveLength(0);
    expect(recorders.map(({ attempts }) => attempts)).toEqual([
      ...recorders.slice(1).map(() => 1),
      0,
    ]);
  });

  test.each(['1.1 vegur', '1.0 fred, 1.1 nginx (x)', '1.1 venice-proxy-000000000000'])(
    'is not one that has passed others (Via: %s)',
    async (via) => {
      const { baseUrl, venice } = await startScene();
      const reply = await send(`${baseUrl}/models`, { headers: { via } });
      expect(reply.status).toBe(200);
      expect(venice.calls[0]?.headers.via).toMatch(/^.+, 1\.1 venice-proxy-[0-9a-f]{12}$/);
      expect(venice.calls[0]?.headers.via?.startsWith(`${via}, `)).toBe(true);
    },
  );

  test('is known by a name that no two proxies share', async () => {
    const [one, two] = [await startScene(), await startScene()];
    await Promise.all([send(`${one.baseUrl}/models`), send(`${two.baseUrl}/models`)]);
    expect(one.venice.calls[0]?.headers.via).not.toBe(two.venice.calls[0]?.headers.via);
  });
});
