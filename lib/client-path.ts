/** The three addresses that Express knows of a request. */
export interface ExpressUrls {
  readonly originalUrl: string;
  readonly baseUrl: string;
  readonly url: string;
}

/** Where a request goes. */
export interface ConfinedPath {
  /** Path and query as they go out. */
  readonly upstreamPath: string;
  /** The path behind the target's own, without query and without a slash at its end. */
  readonly route: string;
}

// What Ollama's clients ask of an OpenAI base URL: they append `/api/…` to it.
const OLLAMA_ROUTES: ReadonlySet<string> = new Set(
  ['version', 'tags', 'ps', 'show', 'chat', 'generate', 'embed', 'embeddings'].map(
    (name) => `/api/${name}`,
  ),
);

/** Nothing in it could be read in two ways. */
const PLAIN_PATH = /^(?:\/[\w-]+)+$/;

/**
 * What the client wrote behind the mount path, byte for byte. Express 4 swallows one of two
 * slashes there and both versions put a slash before a lone `?query`, so `req.url` alone does not
 * tell; it is what counts, though, when the app has rewritten it on purpose.
 */
export function pathBehindMount({ originalUrl, baseUrl, url }: ExpressUrls): string {
  if (!originalUrl.startsWith('/')) return originalUrl;
  if (!originalUrl.startsWith(baseUrl)) return url;
  const written = originalUrl.slice(baseUrl.length);
  // Where there is a fragment, Express takes a backslash for the slash behind the mount path.
  if (written.startsWith('\\')) return written;
  const asExpressShowsIt =
    url === written ||
    `/${url}` === written ||
    (/^($|[?#])/.test(written) && url === `/${written}`);
  return asExpressShowsIt ? written : url;
}

/** The path as logs and hooks may show it: no query, and no password of an absolute form. */
export function shownPath(written: string): string {
  const queryAt = written.indexOf('?');
  const path = queryAt === -1 ? written : written.slice(0, queryAt);
  if (path === '') return '/';
  return path.includes('@') ? path.replace(/\/\/[^/]*@/, '//***@') : path;
}

/**
 * Joins the client's path to the target's, or says no (`undefined`) to one that some server
 * between here and the target's handler might resolve to another host or out of the target's
 * path. Nothing is normalised: a path is forwarded as it is or not at all.
 */
export function joinPath(written: string, basePath: string): ConfinedPath | undefined {
  // Nearly all are of this kind, and one look tells.
  if (PLAIN_PATH.test(written) && !OLLAMA_ROUTES.has(written)) {
    return { upstreamPath: basePath + written, route: written };
  }
  // Some parsers let a tab or a DEL pass; none of them can be sent (RFC 9112 §3.2).
  // oxlint-disable-next-line no-control-regex
  if (/[\0-\x20\x7f]/.test(written)) return undefined;
  const queryAt = written.indexOf('?');
  const path = queryAt === -1 ? written : written.slice(0, queryAt);
  if (!isConfined(path)) return undefined;
  const base = OLLAMA_ROUTES.has(path) ? '' : basePath;
  const joined = base === '' && path === '' ? `/${written}` : base + written;
  return { upstreamPath: joined, route: path.replace(/\/$/, '') };
}

function isConfined(path: string): boolean {
  if (path === '') return true;
  // Neither the absolute form (RFC 9112 §3.2.2) nor a network-path reference (RFC 3986 §4.2).
  if (!path.startsWith('/') || path.startsWith('//')) return false;
  if (path.includes('\\') || /%(2f|5c)/i.test(path)) return false;
  if (!path.includes('.') && !/%2e/i.test(path)) return true;
  return !path.split('/').some(isDotSegment);
}

/** RFC 3986 §5.2.4, percent-encoded or followed by `;parameters`, a query, a fragment or NUL, too. */
function isDotSegment(segment: string): boolean {
  const [name = ''] = segment.replace(/%2e/gi, '.').split(/[;#]|%(?:3b|23|3f|00)/i);
  return name === '.' || name === '..';
}
