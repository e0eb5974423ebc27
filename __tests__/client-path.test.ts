import { IncomingMessage, ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { Socket } from 'node:net';
import { describe, expect, test } from '@jest/globals';
import express5 from 'express';
import type { Request, Response } from 'express';
import * as fc from 'fast-check';
import { joinPath, pathBehindMount } from '../lib/client-path.ts';

const express4 = createRequire(import.meta.url)('express4') as typeof express5;
const BASE = '/api/v1';
const prefixed = (prefix: string) => (url: string) => prefix + url;

describe.each([
  ['Express 5', express5],
  ['Express 4', express4],
])('pathBehindMount in %s', (_name, express) => {
  interface Ways {
    mount?: string;
    /** What an app does to `req.url` in front of the mount. */
    before?: (url: string) => string;
    /** The same, behind it. */
    behind?: (url: string) => string;
  }

  /** Hands a request to an app of the real Express, without a connection. */
  function seenBehindMount(url: string, ways: Ways = {}): string | undefined {
    const { mount = BASE, before = (same) => same, behind = (same) => same } = ways;
    let seen: string | undefined;
    const router = express.Router();
    router.use((req, _res, next) => {
      req.url = behind(req.url);
      next();
    });
    router.use((req, _res) => {
      seen = pathBehindMount(req);
    });
    const app = express();
    app.use((req, _res, next) => {
      req.url = before(req.url);
      next();
    });
    app.use(mount, router);
    const req = new IncomingMessage(new Socket());
    req.method = 'GET';
    req.url = url;
    app(req as Request, new ServerResponse(req) as Response, () => {});
    return seen;
  }

  test.each([
    '/models',
    '/models/',
    '/models?type=image',
    '/models/a%20b%2Fc',
    '/a/../b',
    '/',
    '//',
    '//host',
    '///host',
    '//host?x',
    '',
    '?x',
    '/?x',
    '?',
    '?x=//y/../z?',
    '/x#y',
  ])('what stands behind the mount comes out byte for byte: %j', (written) => {
    expect(seenBehindMount(BASE + written)).toBe(written);
  });

  test.each(['/', '/v1', '/v1/', '/deep/er/v1', '/tenants/:tenant/v1', '/:any'])(
    'the mount path may be any: %s',
    (mount) => {
      const prefix = mount.replace(/\/$/, '').replace(/:\w+/, 'a%20b');
      expect(seenBehindMount(`${prefix}//x?y`, { mount })).toBe('//x?y');
      expect(seenBehindMount(`${prefix}/x?y`, { mount })).toBe('/x?y');
    },
  );

  test('the client may spell the mount path in capitals, as Express lets it', () => {
    expect(seenBehindMount('/API/v1/models')).toBe('/models');
  });

  test('a path that the app has rewritten behind the mount counts as rewritten', () => {
    expect(seenBehindMount('/api/v1/models?x', { behind: prefixed('/other') })).toBe(
      '/other/models?x',
    );
  });

  test('a path that the app has rewritten in front of the mount counts as rewritten', () => {
    expect(seenBehindMount('/v1/models?x', { before: prefixed('/api') })).toBe('/models?x');
    expect(seenBehindMount('/v1//models', { before: prefixed('/api') })).not.toContain('/v1');
  });

  test.each(['http://h/api/v1/models', 'http://h/api/v1//models', 'http://h/api/v1?x'])(
    'the absolute form stays one, so that it is refused: %s',
    (url) => {
      const seen = seenBehindMount(url);
      expect(seen).toBe(url);
      expect(joinPath(seen ?? '', BASE)).toBeUndefined();
    },
  );

  test('the asterisk form is refused', () => {
    const seen = seenBehindMount('*', { mount: '/' });
    expect(seen).toBe('*');
    expect(joinPath(seen ?? '', BASE)).toBeUndefined();
  });
});

const OLLAMA = [
  '/api/version',
  '/api/tags',
  '/api/ps',
  '/api/show',
  '/api/chat',
  '/api/generate',
  '/api/embed',
  '/api/embeddings',
];

describe('joinPath', () => {
  test.each([
    ['/models', '/models'],
    ['/models/', '/models'],
    ['/chat/completions?a=b&c', '/chat/completions'],
    ['/a..b', '/a..b'],
    ['/..a', '/..a'],
    ['/a..', '/a..'],
    ['/...', '/...'],
    ['/.../x', '/.../x'],
    ['/.well-known', '/.well-known'],
    ['/a/.b', '/a/.b'],
    ['/a/b.', '/a/b.'],
    ['/a;x/b', '/a;x/b'],
    ['/a;../b', '/a;../b'],
    ['/a%2eb', '/a%2eb'],
    ['/a//b', '/a//b'],
    ['/x?y=../..', '/x'],
    ['/x?y=//host/%2f%5c\\', '/x'],
    ['/x?http://host/', '/x'],
    ['?x=../..', ''],
    ['/models/a%20b', '/models/a%20b'],
    ['/models/a%2Bb%25', '/models/a%2Bb%25'],
    ['/models/%C3%A9', '/models/%C3%A9'],
    ['/models/llama:latest@1,2=3&4+5~6!', '/models/llama:latest@1,2=3&4+5~6!'],
    ['/http://host', '/http://host'],
    ['/x?', '/x'],
    ['/', ''],
    ['', ''],
  ])('an innocent path goes byte for byte behind the base path: %j', (written, route) => {
    expect(joinPath(written, BASE)).toEqual({ upstreamPath: BASE + written, route });
  });

  test.each([
    ['', '/'],
    ['?x', '/?x'],
    ['/', '/'],
    ['/models', '/models'],
  ])('a target without a path gets one that begins with a slash: %j', (written, upstreamPath) => {
    expect(joinPath(written, '')?.upstreamPath).toBe(upstreamPath);
  });

  test.each([
    '//host',
    '//host/x',
    '///host',
    '//',
    '//host?x',
    'http://host/x',
    'HTTP://host/x',
    'https:host',
    'host/x',
    'x',
    '*',
    '@host',
    ':80',
    '.host',
    '/..',
    '/.',
    '/../',
    '/./',
    '/../x',
    '/./x',
    '/a/..',
    '/a/.',
    '/a/../b',
    '/a/./b',
    '/a//../..//b',
    '/..?x',
    '/a/..?/b',
    '/..#',
    '/..#?x',
    '/.#x',
    '/%2e%2e#x/y',
    '..',
    '../x',
  ])(
    'a path with a host, without a slash in front or with a dot segment is refused: %j',
    (path) => {
      expect(joinPath(path, BASE)).toBeUndefined();
    },
  );

  test.each([
    '/%2e%2e/x',
    '/%2e%2E',
    '/%2E/x',
    '/.%2e/x',
    '/%2e./x',
    '/a/%2e%2e',
    '/..;x/y',
    '/..;/y',
    '/.;/y',
    '/%2e%2e;x=1/y',
    '/..%3bx/y',
    '/..%3Bx/y',
    '/a/..;',
    '/%2f',
    '/%2F%2Fhost',
    '/a%2f..%2fb',
    '/..%2f',
    '/%5c',
    '/%5C%5Chost',
    '/a%5c..',
    '/\\host',
    '/a\\b',
    '\\host',
    '\\\\host\\x',
    '/a/..\\b',
  ])('a dot segment, a slash or a backslash is refused however it is encoded: %j', (path) => {
    expect(joinPath(path, BASE)).toBeUndefined();
    expect(joinPath(path, '')).toBeUndefined();
  });

  test.each(OLLAMA)("Ollama's %s goes to the target's origin", (path) => {
    expect(joinPath(path, BASE)).toEqual({ upstreamPath: path, route: path });
    expect(joinPath(`${path}?x=/../y`, BASE)).toEqual({
      upstreamPath: `${path}?x=/../y`,
      route: path,
    });
  });

  test.each([
    '/api',
    '/api/',
    '/api/tag',
    '/api/tagss',
    '/api/Tags',
    '/API/tags',
    '/api/tags/',
    '/api/tags/x',
    '/api/tags;x',
    '/api/%74ags',
    '/api//tags',
    '/api/pull',
    '/api/push',
    '/api/create',
    '/api/copy',
    '/api/delete',
    '/api/blobs/x',
    '/tags',
    '/api/v1/api/tags',
    '/api/constructor',
  ])("no ninth path leaves the target's own: %j", (path) => {
    expect(joinPath(path, BASE)?.upstreamPath).toBe(BASE + path);
  });

  const pieces =
    '/ / / // \\ . .. %2e %2E %2f %5C ; %3b ? # a api tags v1 http: h @ : % %25 %00 ~ \x80 \xff'.split(
      ' ',
    );
  const anyPath = fc.oneof(
    fc.array(fc.constantFrom(...pieces), { maxLength: 12 }).map((parts) => parts.join('')),
    fc
      .constantFrom(...OLLAMA)
      .chain((path) => fc.constantFrom(...pieces, '').map((piece) => path + piece)),
    // Whatever Node's parser lets through.
    fc
      .array(fc.integer({ min: 0x21, max: 0xff }).filter((code) => code !== 0x7f))
      .map((codes) => `/${String.fromCharCode(...codes)}`),
  );

  test.each(['', '/v1', BASE])(
    'whatever is accepted stays on the host and below the base path %j',
    (base) => {
      fc.assert(
        fc.property(anyPath, (written) => {
          const confined = joinPath(written, base);
          if (confined === undefined) return;
          const { upstreamPath } = confined;
          const { host, pathname } = new URL(upstreamPath, 'http://h');
          expect(host).toBe('h');
          if (OLLAMA.includes(pathname) && upstreamPath === written) return;
          expect(upstreamPath).toBe(
            base === '' && !written.startsWith('/') ? `/${written}` : base + written,
          );
          expect(`${pathname}/`.startsWith(`${base}/`)).toBe(true);
        }),
        { numRuns: 2_000 },
      );
    },
  );

  test('a dot segment is refused wherever it stands', () => {
    const dot = fc.constantFrom('.', '%2e', '%2E');
    const dotSegment = fc
      .tuple(dot, fc.option(dot, { nil: '' }), fc.constantFrom('', ';', ';a=b', '%3b', '%3Bx'))
      .map((parts) => parts.join(''));
    const innocent = fc.array(fc.constantFrom('a', 'v1', '...', 'b.c', '%20'), { maxLength: 3 });
    fc.assert(
      fc.property(innocent, dotSegment, innocent, (before, segment, after) => {
        expect(joinPath(`/${[...before, segment, ...after].join('/')}`, BASE)).toBeUndefined();
        expect(joinPath(`/${[...before, ...after].join('/')}`, BASE)).toBeDefined();
      }),
    );
  });
});
