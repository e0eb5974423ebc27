import type { IncomingHttpHeaders } from 'node:http';

// All that the proxy changes on purpose, and why. It is written from the documentation, not from
// the code: a difference that is not listed here is a fault.

/** RFC 9110 §7.6.1, §11.7, §6.6.2. */
const HOP_BY_HOP: ReadonlySet<string> = new Set(
  (
    'connection keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings ' +
    'proxy-authorization proxy-authenticate proxy-authentication-info'
  ).split(' '),
);

/** Request headers that end at the proxy. */
const KEPT_BACK: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  // The client's address, and what the app around the proxy has in its cookies; and what is made
  // anew for the next connection.
  ...(
    'cookie forwarded x-real-ip x-client-ip x-cluster-client-ip true-client-ip cf-connecting-ip ' +
    'cf-connecting-ipv6 host content-length expect via'
  ).split(' '),
]);

/** The headers of a request as they are to arrive upstream, but for those that are made anew. */
export function forwarded(
  headers: IncomingHttpHeaders,
  { isRead = false } = {},
): IncomingHttpHeaders {
  const named = namedIn(headers.connection);
  const kept = Object.entries(headers).filter(([name]) => {
    const plain = name.replaceAll('_', '-');
    return !KEPT_BACK.has(plain) && !plain.startsWith('x-forwarded-') && !named.includes(name);
  });
  const result = trimmed(kept);
  // What is read on its way (events, embeddings) cannot be compressed.
  if (isRead) result['accept-encoding'] = 'identity';
  return result;
}

/** What arrived, without what is made anew for that connection. */
export function comparable(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const { host: _, connection: __, via: ___, ...rest } = headers;
  delete rest['content-length'];
  delete rest['transfer-encoding'];
  return trimmed(Object.entries(rest));
}

/** RFC 9110 §5.5: white space around a value is no part of it; Node joins `a` and nothing to `a, `. */
function trimmed(entries: readonly (readonly [string, unknown])[]): IncomingHttpHeaders {
  return Object.fromEntries(
    entries.map(([name, value]) => [name, typeof value === 'string' ? value.trim() : value]),
  ) as IncomingHttpHeaders;
}

type Pairs = readonly (readonly [string, string])[];

/** The headers of an answer, as pairs. */
export function pairsOf(rawHeaders: readonly string[]): Pairs {
  return rawHeaders.flatMap((name, i) =>
    i % 2 === 0 ? [[name, rawHeaders[i + 1] ?? ''] as const] : [],
  );
}

/** The headers of an answer as the client is to get them, grouped by name in their first order. */
export function relayed(pairs: Pairs, { hasEvents = false } = {}): Pairs {
  const named = namedIn(
    pairs
      .filter(([name]) => name.toLowerCase() === 'connection')
      .map(([, value]) => value)
      .join(','),
  );
  const kept = pairs.filter(([name]) => {
    const lower = name.toLowerCase();
    if (HOP_BY_HOP.has(lower) || named.includes(lower)) return false;
    // Which pages may read it is for the app to say; what this proxy did, for this proxy.
    if (lower.startsWith('access-control-') || lower.startsWith('x-venice-proxy-')) return false;
    // Events may be followed by one more, and must be held back by nobody.
    return !(hasEvents && ['content-length', 'cache-control', 'x-accel-buffering'].includes(lower));
  });
  return grouped(kept);
}

/** The same of what the client got: without what this connection needs. */
export function withoutOwn(pairs: Pairs): Pairs {
  return grouped(
    pairs.filter(([name]) => {
      const lower = name.toLowerCase();
      return !HOP_BY_HOP.has(lower) && !lower.startsWith('x-venice-proxy-');
    }),
  );
}

/** Values of one name stand together, under its first spelling. */
function grouped(pairs: Pairs): Pairs {
  const names = [...new Set(pairs.map(([name]) => name.toLowerCase()))];
  return names.flatMap((lower) => {
    const its = pairs.filter(([name]) => name.toLowerCase() === lower);
    return its.map(([, value]) => [its[0]?.[0] ?? lower, value] as const);
  });
}

function namedIn(connection: string | undefined): readonly string[] {
  return (connection ?? '').split(',').map((name) => name.trim().toLowerCase());
}
