import { parseJson } from './json-value.ts';

/**
 * Edits of a JSON text that leave every other byte as its author wrote it. `JSON.parse` and
 * `JSON.stringify` would change 12345678901234567890 and 1.0, lose duplicate names, and take twice
 * the time and more.
 */

/** One member of the top-level object; the offsets count bytes. */
export interface JsonMember {
  /** Decoded: `"mod\u0065l"` is `model`. */
  readonly name: string;
  /** Position among all members of the object, from 0. */
  readonly index: number;
  /** Where the name's opening quote stands. */
  readonly start: number;
  /** Where the value's first byte stands. */
  readonly valueStart: number;
  /** Behind the value's last byte. */
  readonly end: number;
  /** Where the comma in front stands; the first member has none. */
  readonly commaBefore: number | undefined;
  /** Where the comma behind stands; the last member has none. */
  readonly commaAfter: number | undefined;
}

/** Of what an edit makes: which of the bytes stay, from where to where, or others in their place. */
export type JsonPart = readonly [start: number, end: number] | Buffer;

/** A body that has more of them consists of nothing else, and is not worth the memory. */
const MOST_FOUND = 2_000;
/** So many members are found for their `null` alone: a body may consist of nothing else. */
const MOST_NULLS = 1_000;

/**
 * Finds the members of the top-level object whose decoded names are in `wanted`: in the order of
 * the text, duplicates included.
 *
 * @param nullsToo - finds those whose value is `null`, too, up to a thousand
 * @returns `undefined` when the bytes are anything but exactly one JSON object (RFC 8259, no byte
 * order mark), it is more than a million levels deep, or it has thousands of such members: then
 * nobody is to touch them. Inside of strings invalid UTF-8 is tolerated, and in long ones whatever
 * does not change where they end.
 */
export function findMembers(
  json: Buffer,
  wanted: ReadonlySet<string>,
  nullsToo = false,
): readonly JsonMember[] | undefined {
  const found: JsonMember[] = [];
  let nulls = nullsToo ? 0 : MOST_NULLS;
  let at = afterSpace(json, 0);
  if (byteAt(json, at) !== BRACE_OPEN) return undefined;
  at = afterSpace(json, at + 1);
  if (byteAt(json, at) === BRACE_CLOSE) return endsAt(json, at + 1) ? found : undefined;

  let commaBefore: number | undefined;
  for (let index = 0; ; index++) {
    const start = at;
    const nameEnd = afterString(json, start);
    if (nameEnd === INVALID) return undefined;
    const valueStart = afterColon(json, nameEnd);
    if (valueStart === INVALID) return undefined;
    const end = afterValue(json, valueStart);
    if (end === INVALID) return undefined;

    at = afterSpace(json, end);
    const next = byteAt(json, at);
    if (next !== COMMA && next !== BRACE_CLOSE) return undefined;
    const commaAfter = next === COMMA ? at : undefined;
    const name = decodeString(json.toString('utf8', start, nameEnd));
    if (name === undefined) return undefined;
    const isWantedNull = nulls < MOST_NULLS && byteAt(json, valueStart) === SMALL_N;
    if (isWantedNull) nulls += 1;
    if (isWantedNull || wanted.has(name)) {
      if (found.length === MOST_FOUND) return undefined;
      found.push({ name, index, start, valueStart, end, commaBefore, commaAfter });
    }
    if (commaAfter === undefined) return endsAt(json, at + 1) ? found : undefined;
    commaBefore = commaAfter;
    at = afterSpace(json, commaAfter + 1);
  }
}

/**
 * Takes members out of the object, each with one comma beside it; every other byte stays, white
 * space too.
 *
 * @param members - what {@link findMembers} found in bytes of this length
 * @returns `undefined`: there is nothing to cut
 */
export function cutMembers(
  length: number,
  members: readonly JsonMember[],
  cut: (member: JsonMember) => boolean,
): readonly JsonPart[] | undefined {
  const kept: JsonPart[] = [];
  let from = 0;
  const skip = (start: number, end: number): void => {
    if (from < start) kept.push([from, start]);
    from = end;
  };

  let cuts = 0;
  for (const member of members) {
    if (!cut(member)) continue;
    const { index, commaBefore, commaAfter } = member;
    // The comma in front goes: the one behind goes on separating what stays. As long as nothing
    // has stayed there is nothing to separate, and the one behind has to go instead.
    const leads = index === cuts;
    if (!leads && commaBefore !== undefined) skip(commaBefore, commaBefore + 1);
    skip(member.start, member.end);
    if (leads && commaAfter !== undefined) skip(commaAfter, commaAfter + 1);
    cuts += 1;
  }
  if (cuts === 0) return undefined;
  skip(length, length);
  return kept;
}

/**
 * Puts other values in the place of members' values; every other byte stays.
 *
 * @param members - what {@link findMembers} found in bytes of this length
 * @param replace - gives the new value as JSON text, `undefined` for a value that stays
 * @returns `undefined`: there is nothing to replace
 */
export function replaceValues(
  length: number,
  members: readonly JsonMember[],
  replace: (member: JsonMember) => string | Buffer | undefined,
): readonly JsonPart[] | undefined {
  const parts: JsonPart[] = [];
  let from = 0;
  for (const member of members) {
    const value = replace(member);
    if (value === undefined) continue;
    const bytes = typeof value === 'string' ? Buffer.from(value) : value;
    parts.push([from, member.valueStart], bytes);
    from = member.end;
  }
  return from === 0 ? undefined : [...parts, [from, length]];
}

/** Whether a member's value is `null`. */
export function isNull(json: Buffer, member: JsonMember): boolean {
  return json[member.valueStart] === SMALL_N;
}

/** The decoded value of a member; `undefined` for an object or an array. */
export function scalarValue(
  json: Buffer,
  member: JsonMember,
): string | number | boolean | null | undefined {
  const first = json[member.valueStart];
  if (first === BRACE_OPEN || first === BRACKET_OPEN) return undefined;
  if (first === QUOTE) {
    return decodeString(json.toString('utf8', member.valueStart, member.end));
  }
  const value: string | number | boolean | null = JSON.parse(
    json.toString('utf8', member.valueStart, member.end),
  );
  return value;
}

const TAB = 0x09;
const LINE_FEED = 0x0a;
const RETURN = 0x0d;
const SPACE = 0x20;
const QUOTE = 0x22;
const PLUS = 0x2b;
const COMMA = 0x2c;
const MINUS = 0x2d;
const POINT = 0x2e;
const SLASH = 0x2f;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const BRACKET_OPEN = 0x5b;
const BACKSLASH = 0x5c;
const BRACKET_CLOSE = 0x5d;
const SMALL_A = 0x61;
const SMALL_B = 0x62;
const SMALL_E = 0x65;
const SMALL_F = 0x66;
const SMALL_N = 0x6e;
const SMALL_R = 0x72;
const SMALL_T = 0x74;
const SMALL_U = 0x75;
const BRACE_OPEN = 0x7b;
const BRACE_CLOSE = 0x7d;

// Each `after…` below takes the offset where something is to begin, and gives the offset behind it
// or, when it does not stand there, INVALID.
const INVALID = -1;
const NO_CONTAINER = 0;

// Each level takes 8 bytes, so that a body of nothing but brackets would take many times its size.
const MAX_DEPTH = 1_000_000;

// Behind the last byte: 0 may stand nowhere in JSON.
const NO_BYTE = 0;

/**
 * Never reads outside of the bytes: one such read, which a client can bring about with a broken
 * body, and V8 makes every later one two to three times slower.
 */
function byteAt(json: Buffer, at: number): number {
  return at < json.length ? (json[at] ?? NO_BYTE) : NO_BYTE;
}

/** 1 for each byte that means nothing but itself inside of a string. */
const PLAIN = new Uint8Array(256).fill(1, 0x20);
PLAIN[QUOTE] = 0;
PLAIN[BACKSLASH] = 0;

/** So much of a string is looked at byte by byte: names are rarely longer. */
const SHORT_TEXT = 32;

/** Without recursion: the depth is the client's choice. */
function afterValue(json: Buffer, start: number): number {
  const outer: number[] = [];
  let closer = NO_CONTAINER;
  let at = start;
  for (;;) {
    const first = byteAt(json, at);
    if (first === BRACE_OPEN || first === BRACKET_OPEN) {
      const itsCloser = first === BRACE_OPEN ? BRACE_CLOSE : BRACKET_CLOSE;
      at = afterSpace(json, at + 1);
      if (byteAt(json, at) !== itsCloser) {
        if (outer.length === MAX_DEPTH) return INVALID;
        outer.push(closer);
        closer = itsCloser;
        if (closer === BRACE_CLOSE) at = afterNameAndColon(json, at);
        if (at === INVALID) return INVALID;
        continue;
      }
      at += 1;
    } else {
      at = afterScalar(json, at);
      if (at === INVALID) return INVALID;
    }

    // A value has ended, and with it perhaps the containers around it, until a comma.
    for (;;) {
      if (closer === NO_CONTAINER) return at;
      at = afterSpace(json, at);
      const next = byteAt(json, at);
      at += 1;
      if (next === COMMA) break;
      if (next !== closer) return INVALID;
      closer = outer.pop() ?? NO_CONTAINER;
    }
    at = afterSpace(json, at);
    if (closer === BRACE_CLOSE) at = afterNameAndColon(json, at);
    if (at === INVALID) return INVALID;
  }
}

function afterScalar(json: Buffer, at: number): number {
  switch (byteAt(json, at)) {
    case QUOTE:
      return afterString(json, at);
    case SMALL_T:
      return afterWord(json, at, TRUE);
    case SMALL_F:
      return afterWord(json, at, FALSE);
    case SMALL_N:
      return afterWord(json, at, NULL);
    default:
      return afterNumber(json, at);
  }
}

function afterString(json: Buffer, start: number): number {
  if (byteAt(json, start) !== QUOTE) return INVALID;
  const short = Math.min(json.length, start + SHORT_TEXT);
  let at = start + 1;
  while (at < short) {
    const code = json[at] ?? NO_BYTE;
    if (PLAIN[code] === 1) {
      at += 1;
      continue;
    }
    if (code === QUOTE) return at + 1;
    if (code !== BACKSLASH) return INVALID;
    at = afterEscape(json, at);
    if (at === INVALID) return INVALID;
  }
  return afterLongString(json, at);
}

/**
 * From quote to quote, as the system's own search takes a hundredth of the time of anything that
 * looks at each byte. Control bytes and escapes that JSON does not have are leapt over: where the
 * string ends they do not change, and whoever reads it will complain of them.
 *
 * @param start - inside of the string, and not inside of an escape
 */
function afterLongString(json: Buffer, start: number): number {
  let from = start;
  for (;;) {
    const quote = json.indexOf(QUOTE, from);
    if (quote === -1) return INVALID;
    let at = quote;
    while (at > from && json[at - 1] === BACKSLASH) at -= 1;
    // Two and two they are backslashes; one that is left over escapes the quote.
    if ((quote - at) % 2 === 0) return quote + 1;
    from = quote + 1;
  }
}

function afterEscape(json: Buffer, backslash: number): number {
  switch (byteAt(json, backslash + 1)) {
    case QUOTE:
    case BACKSLASH:
    case SLASH:
    case SMALL_B:
    case SMALL_F:
    case SMALL_N:
    case SMALL_R:
    case SMALL_T:
      return backslash + 2;
    case SMALL_U: {
      const end = backslash + 6;
      for (let at = backslash + 2; at < end; at++) {
        if (!isHexDigit(byteAt(json, at))) return INVALID;
      }
      return end;
    }
    default:
      return INVALID;
  }
}

function isHexDigit(code: number): boolean {
  const small = code | 0x20;
  return (code >= ZERO && code <= NINE) || (small >= SMALL_A && small <= SMALL_F);
}

const TRUE = Buffer.from('true');
const FALSE = Buffer.from('false');
const NULL = Buffer.from('null');

function afterWord(json: Buffer, start: number, word: Buffer): number {
  for (let i = 1; i < word.length; i++) if (byteAt(json, start + i) !== word[i]) return INVALID;
  return start + word.length;
}

function afterNumber(json: Buffer, start: number): number {
  let at = byteAt(json, start) === MINUS ? start + 1 : start;
  at = byteAt(json, at) === ZERO ? at + 1 : afterDigits(json, at);
  if (at !== INVALID && byteAt(json, at) === POINT) at = afterDigits(json, at + 1);
  if (at === INVALID || (byteAt(json, at) | 0x20) !== SMALL_E) return at;
  const sign = byteAt(json, at + 1);
  return afterDigits(json, sign === PLUS || sign === MINUS ? at + 2 : at + 1);
}

/** One digit at least. */
function afterDigits(json: Buffer, start: number): number {
  let at = start;
  for (;;) {
    const code = byteAt(json, at);
    if (code < ZERO || code > NINE) return at === start ? INVALID : at;
    at += 1;
  }
}

function afterNameAndColon(json: Buffer, start: number): number {
  const nameEnd = afterString(json, start);
  return nameEnd === INVALID ? INVALID : afterColon(json, nameEnd);
}

function afterColon(json: Buffer, start: number): number {
  const at = afterSpace(json, start);
  return byteAt(json, at) === COLON ? afterSpace(json, at + 1) : INVALID;
}

function afterSpace(json: Buffer, start: number): number {
  let at = start;
  for (;;) {
    const code = byteAt(json, at);
    // Most of the time there is none, and one comparison tells.
    if (code > SPACE) return at;
    if (code !== SPACE && code !== LINE_FEED && code !== RETURN && code !== TAB) return at;
    at += 1;
  }
}

function endsAt(json: Buffer, at: number): boolean {
  return afterSpace(json, at) === json.length;
}

/** A string's value, from its quotes on; `undefined` where it has escapes that JSON does not have. */
function decodeString(text: string): string | undefined {
  if (!text.includes('\\')) return text.slice(1, -1);
  const value = parseJson(text);
  return typeof value === 'string' ? value : undefined;
}
