import { decodeBeginning } from './decode-body.ts';
import { Pieces } from './pieces.ts';
import { readUsage } from './read-usage.ts';
import type { Usage } from './read-usage.ts';

/** `usage` stands behind what the model wrote: so much of the end is looked at, twice that at most. */
const TAIL_BYTES = 32 * 1024;
/** A body in a coding is decoded at its end, unless it is longer than this. */
const CODED_BYTES = 64 * 1024;
const LONGEST_USAGE = 4 * 1024;

const USAGE = '"usage"';
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** So near to the end a look at each byte takes less time than to begin a search. */
const NEAR_BYTES = 1024;

/**
 * Keeps the end of a body that passes by.
 * @internal
 */
export class BodyTail {
  readonly #coding: string | undefined;
  #before: Pieces | undefined;
  #newest = new Pieces();
  #isTooLong = false;

  /** @param coding - the body's `Content-Encoding`; `undefined`: none */
  constructor(coding: string | undefined) {
    this.#coding = coding;
  }

  push(chunk: Buffer): void {
    if (this.#isTooLong) return;
    // Not as soon as there is enough: a body in one chunk is never put together.
    if (this.#coding === undefined && this.#newest.bytes >= TAIL_BYTES) {
      this.#before = this.#newest;
      this.#newest = new Pieces();
    }
    this.#newest.push(chunk);
    if (this.#coding !== undefined) this.#keepWhole();
  }

  /** What the body says of its tokens, when it is over. */
  usage(): Usage | undefined {
    if (this.#isTooLong) return undefined;
    if (this.#coding !== undefined) {
      return usageIn(Buffer.from(decodeBeginning(this.#newest.join(), this.#coding)));
    }
    const newest = this.#newest.join();
    return usageIn(this.#before ? Buffer.concat([...this.#before.list, newest]) : newest);
  }

  /** Without its beginning nothing of it can be decoded. */
  #keepWhole(): void {
    if (this.#newest.bytes <= CODED_BYTES) return;
    this.#isTooLong = true;
    this.#newest.take();
  }
}

/**
 * The last `usage` that is an object and counts tokens, as chat, responses and embeddings do.
 * @internal
 */
export function usageIn(tail: Buffer): Usage | undefined {
  for (let at = lastBefore(tail, tail.length); at >= 0; at = lastBefore(tail, at)) {
    // In a text of the model's the quotes are escaped.
    if (tail[at - 1] === BACKSLASH) continue;
    const text = tail.toString('latin1', at + USAGE.length, at + USAGE.length + LONGEST_USAGE);
    const usage = readUsage(text);
    if (usage !== undefined) return usage;
  }
  return undefined;
}

/** Where the last `"usage"` begins that does so before `end`; -1: there is none. */
function lastBefore(tail: Buffer, end: number): number {
  const near = Math.max(tail.length - NEAR_BYTES, 0);
  let at = end - 1;
  for (; at >= near; at -= 1) if (tail[at] === QUOTE && isUsage(tail, at)) return at;
  return at < 0 ? -1 : tail.lastIndexOf(USAGE, at);
}

function isUsage(tail: Buffer, at: number): boolean {
  for (let i = 1; i < USAGE.length; i += 1) if (tail[at + i] !== USAGE.charCodeAt(i)) return false;
  return true;
}
