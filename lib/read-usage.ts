import { isObject, parseJson } from './json-value.ts';
import type { JsonObject } from './json-value.ts';

/** What an answer says of its tokens. */
export interface Usage {
  readonly inputTokens: number | undefined;
  readonly outputTokens: number | undefined;
  readonly totalTokens: number | undefined;
}

const ZERO = 0x30;
const BACKSLASH = 0x5c;
/** A number of so many digits is exact. */
const MOST_DIGITS = 15;

/**
 * What the object says that stands behind the name `usage`.
 * @internal
 */
export function readUsage(text: string): Usage | undefined {
  const value = scanObject(text) ?? parseObject(text);
  if (value === undefined) return undefined;
  const usage = {
    inputTokens: count(value['prompt_tokens']) ?? count(value['input_tokens']),
    outputTokens: count(value['completion_tokens']) ?? count(value['output_tokens']),
    totalTokens: count(value['total_tokens']),
  };
  const { inputTokens, outputTokens, totalTokens } = usage;
  return (inputTokens ?? outputTokens ?? totalTokens) === undefined ? undefined : usage;
}

function count(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

/**
 * The numbers that `parseObject` finds, in a fraction of its time; `undefined`: not sure of them. It
 * knows whole numbers, `null`, and objects of these, without white space.
 * @internal
 */
export function scanObject(text: string): JsonObject | undefined {
  const numbers: JsonObject = {};
  return text.startsWith(':{') && pastObject(text, 1, numbers) !== -1 ? numbers : undefined;
}

/** @internal */
export function parseObject(text: string): JsonObject | undefined {
  const begin = /^\s*:\s*(?=\{)/.exec(text);
  if (begin === null) return undefined;
  const value = parseJson(objectAt(text, begin[0].length));
  return isObject(value) ? value : undefined;
}

/** From a `{` to the `}` that belongs to it. */
function objectAt(text: string, from: number): string {
  let depth = 0;
  for (let i = from; i < text.length; i += 1) {
    if (text[i] === '"') {
      for (i += 1; i < text.length && text[i] !== '"'; i += 1) if (text[i] === '\\') i += 1;
    } else if (text[i] === '{') {
      depth += 1;
    } else if (text[i] === '}') {
      depth -= 1;
      if (depth === 0) return text.slice(from, i + 1);
    }
  }
  return '';
}

/** From a `{` on; returns where the object ends, or -1: not sure. */
function pastObject(text: string, from: number, numbers: JsonObject | undefined): number {
  let at = from;
  if (text[at + 1] === '}') return at + 2;
  do {
    const begin = at + 2;
    if (text[at + 1] !== '"') return -1;
    // Small letters and `_`; nothing that would be escaped, or escapes.
    for (at = begin; text.charCodeAt(at) > BACKSLASH;) at += 1;
    const name = text.slice(begin, at);
    if (!text.startsWith('":', at)) return -1;
    at += 2;
    let value: number | undefined;
    if (numbers !== undefined && text[at] === '{') {
      at = pastObject(text, at, undefined);
    } else if (text.startsWith('null', at)) {
      at += 4;
    } else {
      const most = at + (text[at] === '0' ? 1 : MOST_DIGITS);
      const first = at;
      value = 0;
      for (let digit: number; (digit = text.charCodeAt(at) - ZERO) >= 0 && digit <= 9; at += 1) {
        value = value * 10 + digit;
      }
      if (at === first || at > most) return -1;
    }
    // Of several of a name the last counts.
    if (numbers !== undefined) numbers[name] = value;
  } while (text[at] === ',');
  return text[at] === '}' ? at + 1 : -1;
}
