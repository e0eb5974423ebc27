import { hash, randomInt } from 'node:crypto';
import type { OutgoingHttpHeaders } from 'node:http';

/** Whose window a request counts against. */
export interface BucketName {
  /** A hash of the target and the credentials: they are not kept. */
  readonly key: string;
  /** The model's id without its features; empty for routes without a model. */
  readonly bucket: string;
  /** Both in one. */
  readonly id: string;
}

/** Ids that are longer than any model's are hashed. */
const LONGEST_ID = 100;
/** More keys than this are hashed anew each time. */
const MOST_KEYS = 1_000;

interface KnownKey {
  readonly key: string;
  /** Most requests of a key are for the model of the one before: they share a name. */
  last: BucketName | undefined;
}

/** Names the buckets of one target. */
export class BucketNames {
  readonly #target: URL;
  /** By the fingerprint of the credentials, which are not kept. */
  readonly #keys = new Map<number, KnownKey>();
  readonly #seeds = [randomInt(2 ** 32), randomInt(2 ** 32)] as const;

  constructor(target: URL) {
    this.#target = target;
  }

  /** @param headers - those of the upstream call: what counts is the key that goes upstream */
  of(headers: OutgoingHttpHeaders, model: string | undefined): BucketName {
    const said = headers['authorization'] ?? headers['sign-in-with-x'] ?? '';
    const known = this.#keyOf(typeof said === 'string' ? said : String(said));
    // `llama-3.3-70b:enable_web_search=on`: the limit belongs to what stands in front of the colon.
    const colon = model?.indexOf(':') ?? -1;
    const id = (colon === -1 ? model : model?.slice(0, colon)) ?? '';
    const bucket = id.length > LONGEST_ID ? digest(id) : id;
    if (known.last?.bucket === bucket) return known.last;
    const { key } = known;
    known.last = { key, bucket, id: bucketId(key, bucket) };
    return known.last;
  }

  #keyOf(credentials: string): KnownKey {
    const print = fingerprint(credentials, this.#seeds);
    const known = this.#keys.get(print);
    if (known !== undefined) return known;
    const key = { key: digest(`${this.#target.origin} ${credentials}`), last: undefined };
    if (this.#keys.size >= MOST_KEYS) this.#keys.clear();
    this.#keys.set(print, key);
    return key;
  }
}

export function bucketId(key: string, bucket: string): string {
  return `${key} ${bucket}`;
}

function digest(text: string): string {
  return hash('sha256', text, 'base64url').slice(0, 22);
}

/**
 * 53 bits that tell keys apart within this process (two multiplicative hashes, mixed); a real hash
 * costs ten times as much at each request. Should two keys ever have the same, they share a window.
 */
function fingerprint(text: string, [first, second]: readonly [number, number]): number {
  let [a, b] = [first, second];
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    a = Math.imul(a ^ code, 0x9e3779b1);
    b = Math.imul(b ^ code, 0x5f356495);
  }
  a = Math.imul(a ^ (a >>> 16), 0x85ebca6b) ^ Math.imul(b ^ (b >>> 13), 0xc2b2ae35);
  b = Math.imul(b ^ (b >>> 16), 0x85ebca6b) ^ Math.imul(a ^ (a >>> 13), 0xc2b2ae35);
  return (b & 0x1fffff) * 2 ** 32 + (a >>> 0);
}
