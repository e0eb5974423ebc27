import { decodeBeginning } from './decode-body.ts';
import { isObject, parseJson } from './json-value.ts';
import { Pieces } from './pieces.ts';

/** What an answer says of its tokens. */
export interface Usage {
  readonly inputTokens: number | undefined;
  readonly outputTokens: number | undefined;
  readonly totalTokens: number | undefined;
}

/** `usage` stands behind what the model wrote: so much of the end is looked at, twice that at most. */
const TAIL_BYTES = 32 * 1024;
/** A body in a coding is decoded at its end, unless it is longer than this. */
const CODED_BYTES = 64 * 1024;
const LONGEST_USAGE = 4 * 1024;

const USAGE = '"usage"';
const USAGE_BYTES = Buffer.from(USAGE);
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

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
    this.#newest.push(chunk);
    if (this.#coding !== undefined) this.#keepWhole();
    else if (this.#newest.bytes >= TAIL_BYTES) {
      this.#before = this.#newest;
      this.#newest = new Pieces();
    }
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
  for (let at = tail.lastIndexOf(USAGE_BYTES); at >= 0; at = lastBefore(tail, at)) {
    // In a text of the model's the quotes are escaped.
    if (tail[at - 1] === BACKSLASH) continue;
    const text = tail.toString('latin1', at + USAGE.length, at + USAGE.length + LONGEST_USAGE);
    const usage = readUsage(text);
    if (usage !== undefined) return usage;
  }
  return undefined;
}

function lastBefore(tail: Buffer, at: number): number {
  return at === 0 ? -1 : tail.lastIndexOf(USAGE_BYTES, at - 1);
}

function readUsage(text: string): Usage | undefined {
  const begin = /^\s*:\s*(?=\{)/.exec(text);
  if (begin === null) return undefined;
  const value = parseJson(objectAt(text, begin[0].length));
  if (!isObject(value)) return undefined;
  const usage = {
    inputTokens: count(value['prompt_tokens']) ?? count(value['input_tokens']),
    outputTokens: count(value['completion_tokens']) ?? count(value['output_tokens']),
    totalTokens: count(value['total_tokens']),
  };
  const { inputTokens, outputTokens, totalTokens } = usage;
  return (inputTokens ?? outputTokens ?? totalTokens) === undefined ? undefined : usage;
}

/** From a `{` to the `}` that belongs to it. */
function objectAt(text: string, from: number): string {
  let depth = 0;
  let isInString = false;
  for (let i = from; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (isInString) {
      if (code === BACKSLASH) i += 1;
      else if (code === QUOTE) isInString = false;
    } else if (code === QUOTE) isInString = true;
    else if (code === 0x7b) depth += 1;
    else if (code === 0x7d) {
      depth -= 1;
      if (depth === 0) return text.slice(from, i + 1);
    }
  }
  return '';
}

function count(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}
