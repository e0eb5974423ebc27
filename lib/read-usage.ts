import { isObject, parseJson } from './json-value.ts';
import type { JsonObject } from './json-value.ts';

/** What an answer says of its tokens. */
export interface Usage {
  readonly inputTokens: number | undefined;
  readonly outputTokens: number | undefined;
  readonly totalTokens: number | undefined;
}

/** The names that count, as chat and as responses have them. */
type Counts = Record<
  'prompt_tokens' | 'completion_tokens' | 'input_tokens' | 'output_tokens' | 'total_tokens',
  number | undefined
>;

const ZERO = 0x30;
const BACKSLASH = 0x5c;
/** A number of so many digits is exact. */
const MOST_DIGITS = 15;

/**
 * What the object says that stands behind the name `usage`.
 * @internal
 */
export function readUsage(text: string): Usage | undefined {
  const value: JsonObject | Counts | undefined = scanObject(text) ?? parseObject(text);
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
 * What counts of that which `parseObject` finds, in a fraction of its time; `undefined`: not sure of
 * it. It knows whole numbers, `null`, and objects of these, without white space.
 * @internal
 */
export function scanObject(text: string): Counts | undefined {
  const counts: Counts = {
    prompt_tokens: undefined,
    completion_tokens: undefined,
    input_tokens: undefined,
    output_tokens: undefined,
    total_tokens: undefined,
  };
  return text.startsWith(':{') && pastObject(text, 1, counts) !== -1 ? counts : undefined;
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
function pastObject(text: string, from: number, counts: Counts | undefined): number {
  let at = from;
  if (text[at + 1] === '}') return at + 2;
  do {
    const begin = at + 2;
    if (text[at + 1] !== '"') return -1;
    // Small letters and `_`; nothing that would be escaped, or escapes.
    for (at = begin; text.charCodeAt(at) > BACKSLASH;) at += 1;
    const end = at;
    if (!text.startsWith('":', at)) return -1;
    at += 2;
    let value: number | undefined;
    if (counts !== undefined && text[at] === '{') {
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
    if (counts !== undefined) note(counts, text, begin, end, value);
  } while (text[at] === ',');
  return text[at] === '}' ? at + 1 : -1;
}

/** Without a string for the name: of several of a name the last counts. */
function note(
  counts: Counts,
  text: string,
  begin: number,
  end: number,
  value: number | undefined,
): void {
  switch (end - begin) {
    case 12:
      if (text.startsWith('total_tokens', begin)) counts.total_tokens = value;
      else if (text.startsWith('input_tokens', begin)) counts.input_tokens = value;
      break;
    case 13:
      if (text.startsWith('prompt_tokens', begin)) counts.prompt_tokens = value;
      else if (text.startsWith('output_tokens', begin)) counts.output_tokens = value;
      break;
    case 17:
      if (text.startsWith('completion_tokens', begin)) counts.completion_tokens = value;
      break;
    default:
  }
}
