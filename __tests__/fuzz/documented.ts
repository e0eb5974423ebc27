// All that the proxy changes on purpose in the headers, and why. It is written from the
// documentation, not from the code: a difference that is not listed here is a fault.

/** A header as it stands on the wire. */
export type Pair = readonly [name: string, value: string];

/** No others are forwarded: TRACE would show headers that are not the client's own. */
export const METHODS: ReadonlySet<string> = new Set(
  'GET POST PUT DELETE PATCH OPTIONS HEAD'.split(' '),
);

/** RFC 9110 §7.6.1, §11.7, §6.6.2: they speak of one connection. */
const HOP_BY_HOP: ReadonlySet<string> = new Set(
  (
    'connection keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings ' +
    'proxy-authorization proxy-authenticate proxy-authentication-info'
  ).split(' '),
);

/** Made anew for the connection to the upstream, see `remadeOf`. */
const REMADE: ReadonlySet<string> = new Set(
  'host via content-length connection transfer-encoding'.split(' '),
);

/** The client's address, what the app around the proxy has in its cookies, and what waits for a 100. */
const KEPT_BACK: ReadonlySet<string> = new Set(
  (
    'cookie forwarded x-real-ip x-client-ip x-cluster-client-ip true-client-ip cf-connecting-ip ' +
    'cf-connecting-ipv6 expect'
  ).split(' '),
);

/** They make no sense twice: Node's parser keeps the first. */
const FIRST_COUNTS: ReadonlySet<string> = new Set(
  (
    'age authorization content-type etag expires from if-modified-since if-unmodified-since ' +
    'last-modified location max-forwards referer retry-after server user-agent'
  ).split(' '),
);

/** The end-to-end headers of a request as they are to stand in the upstream's, in their order. */
export function forwarded(sent: readonly Pair[], { isRead = false } = {}): readonly Pair[] {
  const named = namedIn(sent);
  const kept = joined(sent)
    .filter(([name]) => {
      // Servers of the CGI kind take one for the other.
      const plain = name.replaceAll('_', '-');
      if (HOP_BY_HOP.has(plain) || REMADE.has(plain) || KEPT_BACK.has(plain)) return false;
      return !plain.startsWith('x-forwarded-') && !named.has(name);
    })
    // White space around a value is no part of it (§5.5): `a` and nothing are `a, `.
    .map(([name, value]): Pair => [name, value.trim()]);
  if (!isRead) return kept;
  // What is read on its way (events, embeddings) cannot be compressed.
  const others = kept.filter(([name]) => name !== 'accept-encoding');
  return [...others, ['accept-encoding', 'identity']];
}

/**
 * One line a name (RFC 9110 §5.3), and names in lower case (§5.1), in the order of their first
 * lines: Node's parser and an object for the headers do that. In such an object whole numbers stand
 * first, and `__proto__` cannot stand.
 */
function joined(pairs: readonly Pair[]): readonly Pair[] {
  const byName = new Map<string, string[]>();
  for (const [name, value] of pairs) {
    const lower = name.toLowerCase();
    byName.set(lower, [...(byName.get(lower) ?? []), value]);
  }
  byName.delete('__proto__');
  const lines = [...byName].map(([name, values]): Pair => {
    const said = FIRST_COUNTS.has(name) ? (values[0] ?? '') : values.join(', ');
    return [name, said];
  });
  return numbersFirst(lines);
}

function numbersFirst(pairs: readonly Pair[]): readonly Pair[] {
  const isNumber = ([name]: Pair): boolean => /^(0|[1-9]\d{0,8})$/.test(name);
  const numbers = pairs.filter(isNumber).toSorted(([a], [b]) => Number(a) - Number(b));
  return [...numbers, ...pairs.filter((pair) => !isNumber(pair))];
}

/** What arrived, without what is made anew. */
export function comparable(arrived: readonly Pair[], { isRead = false } = {}): readonly Pair[] {
  const kept = arrived.filter(([name]) => !REMADE.has(name.toLowerCase()));
  if (!isRead) return kept;
  // Where it stands is all the same.
  const isCoding = ([name]: Pair): boolean => name === 'accept-encoding';
  return [...kept.filter((pair) => !isCoding(pair)), ...kept.filter(isCoding)];
}

interface Received {
  readonly headers: readonly Pair[];
  readonly body: Buffer;
}

/** The headers that are made anew for the connection to the upstream, as they are to arrive. */
export interface Remade {
  readonly host: string;
  /** Its end is the proxy's own name. */
  readonly via: string;
  readonly connection: string;
  readonly framing: string;
}

/** What has arrived of them: all of one kind. */
export function remadeOf({ headers, body }: Received): Remade {
  const all = (name: string): string =>
    headers.flatMap(([each, value]) => (each.toLowerCase() === name ? [value] : [])).join('|');
  const framing = [all('content-length'), all('transfer-encoding')];
  return {
    host: all('host'),
    via: all('via').replace(/venice-proxy-?\w*$/, 'us'),
    // Whether it is kept is for the two ends of it to say; to name headers is not.
    connection: all('connection').replace(/^(keep-alive|close)$/, 'kept or not'),
    framing: framingOf(framing.filter((said) => said !== '').join('|'), body),
  };
}

/**
 * How they are to be: the target's host, the client's `Via` and this hop (RFC 9110 §7.6.3), and
 * the body's framing, which becomes a length where a body is held.
 */
export function expectedRemade(
  { headers, body }: Received,
  { host, heldBytes }: { host: string; heldBytes?: number | undefined },
): Remade {
  const valueOf = (name: string): string | undefined =>
    joined(headers).find(([each]) => each === name)?.[1];
  const via = valueOf('via');
  const framing = valueOf('content-length') ?? valueOf('transfer-encoding') ?? '';
  return {
    host,
    via: via === undefined ? '1.1 us' : `${via}, 1.1 us`,
    connection: 'kept or not',
    framing: framingOf(heldBytes === undefined ? framing : String(heldBytes), body),
  };
}

/** A length of nothing, nothing in chunks and no framing are the same (RFC 9112 §6.3). */
function framingOf(said: string, body: Buffer): string {
  return body.length === 0 && ['0', 'chunked', ''].includes(said) ? 'nothing' : said;
}

/** The headers of a message, as pairs. */
export function pairsOf(rawHeaders: readonly string[]): readonly Pair[] {
  return rawHeaders.flatMap((name, i) =>
    i % 2 === 0 ? [[name, rawHeaders[i + 1] ?? ''] as const] : [],
  );
}

/** The headers of an answer as the client is to get them. */
export function relayed(pairs: readonly Pair[]): readonly Pair[] {
  const named = namedIn(pairs);
  const kept = pairs.filter(([name]) => {
    const lower = name.toLowerCase();
    if (HOP_BY_HOP.has(lower) || named.has(lower)) return false;
    // Which pages may read it is for the app to say; what this proxy did, for this proxy.
    return !lower.startsWith('access-control-') && !lower.startsWith('x-venice-proxy-');
  });
  return grouped(kept);
}

/** The same of what the client got: without what this connection needs, and what tells of the proxy. */
export function withoutOwn(pairs: readonly Pair[], status: number): readonly Pair[] {
  return grouped(
    pairs.filter(([name, value]) => {
      const lower = name.toLowerCase();
      // What a program could try again has been tried as often as it makes sense.
      if (isFailure(status) && lower === 'x-should-retry' && value === 'false') return false;
      return !HOP_BY_HOP.has(lower) && !lower.startsWith('x-venice-proxy-');
    }),
  );
}

/** What tells of the proxy in an answer to one attempt, a hint for those that complain apart. */
export function notesOf(pairs: readonly Pair[], status: number): readonly string[] {
  const notes = pairs.filter(([name]) => name.toLowerCase().startsWith('x-venice-proxy-'));
  const isHint = ([name]: Pair): boolean => status >= 400 && name === 'x-venice-proxy-hint';
  return notes
    .filter((pair) => !isHint(pair))
    .map(([name, value]) => `${name}: ${value.replace(/^\d+$/, 'n')}`);
}

/** As `notesOf` has them: the upstream's of these names are not the proxy's. */
export const NOTES: readonly string[] = ['x-venice-proxy-attempts: n', 'x-venice-proxy-wait: n'];

function isFailure(status: number): boolean {
  return status === 408 || status === 429 || status >= 500;
}

/** Values of one name stand together, under its first spelling; whole numbers stand first. */
function grouped(pairs: readonly Pair[]): readonly Pair[] {
  const names = [...new Set(pairs.map(([name]) => name.toLowerCase()))];
  const together = names.flatMap((lower) => {
    const its = pairs.filter(([name]) => name.toLowerCase() === lower);
    return its.map(([, value]): Pair => [its[0]?.[0] ?? lower, value]);
  });
  return numbersFirst(together);
}

/** What a message's `Connection` names is for its hop alone. */
function namedIn(pairs: readonly Pair[]): ReadonlySet<string> {
  const said = pairs.filter(([name]) => name.toLowerCase() === 'connection');
  const names = said.flatMap(([, value]) => value.split(','));
  return new Set(names.map((name) => name.trim().toLowerCase()));
}
