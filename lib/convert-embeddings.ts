/**
 * Puts base64 (little-endian float32) where an embeddings answer has arrays of numbers under
 * `data[i].embedding`; every other byte stays, and so do strings (base64 already) and arrays of
 * anything else. With nothing to convert, the very same buffer comes back.
 *
 * @returns `undefined` when the bytes are not one whole JSON text: cut off, or no JSON at all.
 */
export function embeddingsToBase64(answer: Buffer): Buffer | undefined {
  // One character a byte, so that offsets into the text are offsets into the bytes. Bytes above
  // 0x7f may stand inside of strings only, and no string is changed.
  const text = answer.toString('latin1');
  const vectors = findVectors(text);

  // The vectors have been parsed. If what is around them is JSON with a string in the place of
  // each, then the whole was JSON, and the vectors stood where the search thought them to stand.
  let rest = '';
  let from = 0;
  for (const { start, end } of vectors) {
    rest += `${text.slice(from, start)}""`;
    from = end;
  }
  rest += text.slice(from);
  if (parse(rest) === undefined) return undefined;
  if (vectors.length === 0) return answer;

  const pieces: Buffer[] = [];
  from = 0;
  for (const { start, end, base64 } of vectors) {
    pieces.push(answer.subarray(from, start), Buffer.from(`"${base64}"`, 'latin1'));
    from = end;
  }
  pieces.push(answer.subarray(from));
  return Buffer.concat(pieces);
}

interface Vector {
  /** Where the opening bracket stands. */
  readonly start: number;
  /** Behind the closing bracket. */
  readonly end: number;
  readonly base64: string;
}

// How many brackets are open around the two names.
const DATA_DEPTH = 1;
const EMBEDDING_DEPTH = 3;

/** Right for JSON; for anything else it comes to an end, with some result. */
function findVectors(text: string): Vector[] {
  const vectors: Vector[] = [];
  const mark = /["[\]{}]/g;
  let depth = 0;
  let inData = false;
  // Kept, because a search from each `[` anew would be quadratic where no `]` comes.
  let closer = 0;
  while (mark.test(text)) {
    const at = mark.lastIndex - 1;
    const char = text[at];
    if (char === '[' || char === '{') {
      depth += 1;
      continue;
    }
    if (char !== '"') {
      depth -= 1;
      if (depth === DATA_DEPTH) inData = false;
      continue;
    }

    const end = endOfString(text, at);
    if (end === undefined) break;
    mark.lastIndex = end;
    if (depth === DATA_DEPTH && findArray(text, at, end, 'data') !== undefined) inData = true;
    if (depth !== EMBEDDING_DEPTH || !inData) continue;
    const start = findArray(text, at, end, 'embedding');
    if (start === undefined) continue;

    if (closer < start) closer = text.indexOf(']', start);
    if (closer === -1) break;
    // When there are arrays or texts in the array, this may not be its end, and is no JSON then.
    const values = parse(text.slice(start, closer + 1));
    const base64 = Array.isArray(values) ? toBase64(values) : undefined;
    if (base64 === undefined) continue;
    mark.lastIndex = closer + 1;
    vectors.push({ start, end: closer + 1, base64 });
  }
  return vectors;
}

/** Where the array begins that has this name, if the string at `start` is the name of an array. */
function findArray(text: string, start: number, end: number, name: string): number | undefined {
  const colon = /[ \n\r\t]*:[ \n\r\t]*(?=\[)/y;
  colon.lastIndex = end;
  // Compared when decoded: a name may be written with escapes.
  return colon.test(text) && parse(text.slice(start, end)) === name ? colon.lastIndex : undefined;
}

function endOfString(text: string, start: number): number | undefined {
  let quote = start;
  for (;;) {
    quote = text.indexOf('"', quote + 1);
    if (quote === -1) return undefined;
    let backslashes = 0;
    while (text[quote - 1 - backslashes] === '\\') backslashes += 1;
    if (backslashes % 2 === 0) return quote + 1;
  }
}

/** `undefined` when there is anything but numbers. */
function toBase64(values: readonly unknown[]): string | undefined {
  const bytes = Buffer.allocUnsafe(values.length * Float32Array.BYTES_PER_ELEMENT);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let offset = 0;
  for (const value of values) {
    if (typeof value !== 'number') return undefined;
    view.setFloat32(offset, value, true);
    offset += Float32Array.BYTES_PER_ELEMENT;
  }
  return bytes.toString('base64');
}

/** `undefined` for what is no JSON. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
