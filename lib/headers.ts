import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';

/** The headers that the proxy adds to answers. */
export const ANSWER_HEADERS = {
  /** Attempts that were made for this request; a stale connection that was replaced is none. */
  attempts: 'x-venice-proxy-attempts',
  /** Milliseconds spent waiting, before them and between them. */
  wait: 'x-venice-proxy-wait',
  /** Parameters taken out of the request, separated by commas. */
  dropped: 'x-venice-proxy-dropped',
  /** The model that was asked, where that is not the one that the client named. */
  model: 'x-venice-proxy-model',
  /** One line of what helps with an error. */
  hint: 'x-venice-proxy-hint',
} as const;

/** What every `Via` pseudonym of this kind of proxy begins with. */
export const VIA_NAME = 'venice-proxy';

/**
 * RFC 9110 §7.6.1: these speak of one connection and are never forwarded, in either direction;
 * nor is what `Connection` names. The proxy ones: §11.7. `Trailer` goes, too (§6.6.2): trailers
 * are not relayed, and Node throws on a `Trailer` beside a `Content-Length`.
 */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/**
 * Ends here although it is end-to-end: what is made anew for the next connection (`host`,
 * `content-length`), what http-proxy-middleware cannot take (`expect`), and what would tell the
 * upstream who the client is (cookies of the app around us, its address).
 */
const KEPT_FROM_UPSTREAM: ReadonlySet<string> = new Set([
  'cf-connecting-ip',
  'cf-connecting-ipv6',
  'content-length',
  'cookie',
  'expect',
  'forwarded',
  'host',
  'true-client-ip',
  'via',
  'x-client-ip',
  'x-cluster-client-ip',
  'x-real-ip',
]);

const NOT_FORWARDED: ReadonlySet<string> = new Set([...HOP_BY_HOP, ...KEPT_FROM_UPSTREAM]);

/** RFC 9110 §6.4.1: an answer that never has a body. */
export function hasNoBody(method: string, status: number): boolean {
  return method === 'HEAD' || status === 204 || status === 304;
}

/** RFC 9112 §6.3: a request has a body when a header field says so. */
export function hasBody(headers: IncomingHttpHeaders): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** The names in a `Connection` header, in lower case. */
function connectionNames(connection: string | undefined): ReadonlySet<string> {
  if (connection === undefined || /^(keep-alive|close)$/i.test(connection)) return NO_NAMES;
  return new Set(connection.split(',').map((name) => name.trim().toLowerCase()));
}

const NO_NAMES: ReadonlySet<string> = new Set();

/**
 * What of the client's headers goes upstream; `Via` is appended (RFC 9110 §7.6.3).
 *
 * @param httpVersion - that of the client's request
 */
export function forwardedHeaders(
  headers: IncomingHttpHeaders,
  httpVersion: string,
  viaPseudonym: string,
): OutgoingHttpHeaders {
  const named = connectionNames(headers.connection);
  const forwarded: OutgoingHttpHeaders = {};
  for (const name in headers) {
    // Servers of the CGI kind read `x_real_ip` as `x-real-ip`.
    const plain = name.includes('_') ? name.replaceAll('_', '-') : name;
    if (NOT_FORWARDED.has(plain) || plain.startsWith('x-forwarded-') || named.has(name)) continue;
    const value = headers[name];
    if (value !== undefined) forwarded[name] = value;
  }
  const hop = `${httpVersion} ${viaPseudonym}`;
  forwarded['via'] = headers.via === undefined ? hop : `${headers.via}, ${hop}`;
  return forwarded;
}

/**
 * The end-to-end headers of an answer: name (spelt as the upstream spelt it), value, name, value, in
 * their order.
 *
 * @param connection - what its `Connection` says
 */
export function endToEndHeaders(
  rawHeaders: readonly string[],
  connection: string | undefined,
): readonly string[] {
  const named = connectionNames(connection);
  const kept: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    const lower = name.toLowerCase();
    if (!HOP_BY_HOP.has(lower) && !named.has(lower)) kept.push(name, rawHeaders[i + 1] ?? '');
  }
  return kept;
}

/** A list for a header: what is no visible ASCII, and the comma, percent-encoded. */
export function headerList(names: readonly string[]): string {
  return names
    .map((name) => name.toWellFormed().replace(/[^\x21-\x7e]|[,%]/gu, encodeURIComponent))
    .join(', ');
}

/** Of a header that came several times the first value. */
export function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

/** `application/json` and its relatives (RFC 6839 §3.1). */
export function isJsonType(contentType: string | undefined): boolean {
  return /^\s*application\/([\w.+-]+\+)?json\s*(;|$)/i.test(contentType ?? '');
}
