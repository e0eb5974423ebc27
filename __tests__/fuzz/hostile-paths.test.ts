import { expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { patienceMs, runs } from './runs.ts';
import { exchangeRaw, startFront } from '../helpers/scene.ts';
import type { Front } from '../helpers/scene.ts';
import { EXPRESSES } from '../helpers/serve.ts';
import { until } from '../helpers/until.ts';
import { startScriptedUpstream } from './scripted-upstream.ts';

const piece = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('/', '/', '/', '/x', '/models', '/a.b', '/...') },
  {
    weight: 4,
    arbitrary: fc.constantFrom('/..', '/.', '/%2e%2e', '/.%2E', '/%2E%2e', '/%2e', '..', '%2e'),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      '%2f',
      '%5C',
      '\\',
      ';a',
      '%3b',
      '#',
      '%252e',
      '%23',
      '%3f',
      '%c0%ae',
    ),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom('?', '?x=/../..', '@evil', ':80', '%00', '%09', '%', '*'),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom('\t', '\u007f', '\u00e9', 'http://evil.example', '//evil'),
  },
  { weight: 1, arbitrary: fc.constantFrom('/api/tags', '/api/v1', '/up', '/api/chat') },
);
const anyPath = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(''));

/** Every path that some server may take this one for. */
function readings(url: string): string[] {
  const [path = ''] = url.split('?');
  const spelt = [path, path.replace(/%([0-7][0-9a-f])/gi, decodeAscii)];
  return spelt.flatMap((each) => {
    const slashed = each.replaceAll('\\', '/');
    return [slashed, slashed.replace(/;[^/]*/g, ''), slashed.replace(/[#?\0].*/, '')].map(resolve);
  });
}

function decodeAscii(_: string, hex: string): string {
  return String.fromCharCode(Number.parseInt(hex, 16));
}

/** RFC 3986 §5.2.4, and slashes that follow each other count as one. */
function resolve(path: string): string {
  const kept: string[] = [];
  for (const segment of path.split('/')) {
    if (segment === '..') kept.pop();
    else if (segment !== '' && segment !== '.') kept.push(segment);
  }
  return `/${kept.join('/')}`;
}

/** Paths of targets, below which everything has to stay, but for what Ollama's clients ask. */
const BASES = ['/up/v1', ''];

const OLLAMA = /^\/api\/(version|tags|ps|show|chat|generate|embed|embeddings)$/;

/** Of paths that nobody can misread. */
const PLAIN = /^(\/[\w.-]*[\w-][\w.-]*)+\/?$/;

/** How a path is to go out. */
function expectedUrl(path: string, base: string): string {
  const [route = ''] = path.split('?');
  if (OLLAMA.test(route)) return path;
  return base === '' && !path.startsWith('/') ? `/${path}` : base + path;
}

/** Of what arrived for a path; `undefined`: as it should. */
function complaintOf(path: string, base: string, url: string): string | undefined {
  if (url !== expectedUrl(path, base)) return `${url} for ${path}`;
  // As a reference (RFC 3986 §4.2), too, it means the same server.
  if (new URL(url, 'http://upstream').host !== 'upstream') return `another host: ${url}`;
  const [route = ''] = path.split('?');
  if (OLLAMA.test(route)) return undefined;
  // Whatever they would lead to: the answer to them says so.
  if (/\\|%2f|%5c/i.test(route)) return `a hidden slash: ${url}`;
  // Below any path of a target, whether this one has a path or not.
  const probe = `/up/v1${path.startsWith('/') ? '' : '/'}${path}`;
  return readings(probe).find((each) => !`${each}/`.startsWith('/up/v1/'));
}

/** The statuses with which a path may be refused. */
function refusalsOf(path: string): readonly number[] {
  if (PLAIN.test(path)) return [];
  // What goes on where the mount path ends is another path: nobody's.
  return /^[^/?]/.test(path) ? [400, 404] : [400];
}

test.each(EXPRESSES)(
  'a path in any spelling stays below the target, or is refused (%s)',
  async (_, express) => {
    const upstream = await startScriptedUpstream();
    const fronts = new Map<string, Front>();
    for (const base of BASES) {
      const options = { target: upstream.origin + base, retries: 0, rateLimit: false };
      // oxlint-disable-next-line no-await-in-loop -- one after the other is soon enough
      fronts.set(base, await startFront(options, { express }));
    }

    const played = fc.tuple(anyPath, fc.constantFrom(...BASES));
    const property = fc.asyncProperty(played, async ([path, base]) => {
      const front = fronts.get(base);
      if (front === undefined) throw new Error('every base has its proxy');
      upstream.arrived.length = 0;
      const head = `GET /api/v1${path} HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n`;
      const { statusLine } = await exchangeRaw(front.origin, Buffer.from(head, 'latin1'));
      const status = Number(statusLine.split(' ')[1]);
      const complaints = upstream.arrived.map(({ url }) => complaintOf(path, base, url));
      expect([[], [undefined]]).toContainEqual(complaints);
      expect(complaints.length === 1 ? [200] : refusalsOf(path)).toContain(status);
    });
    await fc.assert(property, runs(400));
    await until(() => [...fronts.values()].every(({ proxy }) => proxy.inFlight === 0));
  },
  patienceMs(),
);
