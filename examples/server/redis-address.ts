/** Where Redis is, and how to enter. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** The number of the database. */
  readonly database: number;
  readonly tls: boolean;
  /** Host and port: what may be shown of it. */
  readonly shown: string;
}

const DEFAULT_PORT = 6_379;

/** Whether TLS is spoken, by protocol. */
const TLS: Readonly<Record<string, boolean>> = {
  'redis:': false,
  'rediss:': true,
  'valkey:': false,
  'valkeys:': true,
};

/**
 * Reads a URL such as `rediss://user:password@host:6379/0`. Here and not in the clients, each of
 * which understands other URLs, and repeats them in its errors.
 *
 * @returns `undefined` for no text
 * @throws TypeError that names the variable and what is allowed, but nothing of the value
 */
export function redisAddress(name: string, text: string): RedisAddress | undefined {
  if (text === '') return undefined;
  const address = URL.canParse(text) ? read(new URL(text)) : undefined;
  if (address !== undefined) return address;
  // Wherever the typing error is, the password may be next to it.
  throw new TypeError(
    `Expected \`${name}\` to be a redis://, rediss:// or valkey:// URL such as ` +
      'redis://127.0.0.1:6379 or rediss://user:password@host:6379/0, ' +
      `got a string of ${text.length} characters`,
  );
}

function read(url: URL): RedisAddress | undefined {
  const { protocol, hostname, port, pathname, search, hash } = url;
  const tls = TLS[protocol];
  const database = /^(?:\/(\d{1,5})?)?$/.exec(pathname);
  const username = decode(url.username);
  const password = decode(url.password);
  const isPlain = search + hash === '' && /^(\[[\da-f:.]+\]|[a-z\d][\w.-]*)$/i.test(hostname);
  if (tls === undefined || database === null || !isPlain) return undefined;
  if (username === undefined || password === undefined) return undefined;
  return {
    // The brackets of an IPv6 address belong to the URL.
    host: hostname.replaceAll(/[[\]]/g, ''),
    port: port === '' ? DEFAULT_PORT : Number(port),
    username: username === '' ? undefined : username,
    password: password === '' ? undefined : password,
    database: Number(database[1] ?? 0),
    tls,
    shown: `${hostname}:${port === '' ? DEFAULT_PORT : port}`,
  };
}

/** `undefined` where a `%` begins no escape. */
function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
