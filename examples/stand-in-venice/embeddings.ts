import { invalidRequest } from './refusals.ts';
import { isStrings, json, tokensIn } from './reply.ts';
import type { JsonObject, Reply } from './reply.ts';

const DEFAULT_DIMENSIONS = 1024;
const MOST_DIMENSIONS = 16_384;

/** `POST /embeddings`: the same text always gets the same vector. */
export function createEmbeddings(body: JsonObject): Reply {
  const { model, input, encoding_format: format = 'float' } = body;
  const dimensions = body.dimensions ?? DEFAULT_DIMENSIONS;
  if (typeof model !== 'string' || model === '') return invalidRequest('Required', 'model');
  const texts = typeof input === 'string' ? [input] : input;
  if (!isStrings(texts) || texts.length === 0) {
    return invalidRequest('Expected a string or an array of strings', 'input');
  }
  if (format !== 'float' && format !== 'base64') {
    return invalidRequest("Expected 'float' | 'base64'", 'encoding_format');
  }
  if (!isDimension(dimensions)) {
    return invalidRequest('Expected a positive integer', 'dimensions');
  }
  const data = texts.map((text, index) => {
    const vector = vectorOf(text, dimensions);
    const embedding = format === 'base64' ? base64Of(vector) : Array.from(vector, shortest);
    return { object: 'embedding', index, embedding };
  });
  const tokens = texts.reduce((sum, text) => sum + tokensIn(text), 0);
  const usage = { prompt_tokens: tokens, total_tokens: tokens };
  return json({ object: 'list', data, model, usage }, 200, tokens);
}

function isDimension(value: unknown): value is number {
  return (
    typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MOST_DIMENSIONS
  );
}

/** Numbers between -0.1 and 0.1; some are so small that JSON writes them with an exponent. */
function vectorOf(text: string, dimensions: number): Float32Array {
  let state = 0x811c9dc5;
  for (const byte of Buffer.from(text)) state = Math.imul(state ^ byte, 0x01000193);
  return Float32Array.from({ length: dimensions }, (_, place) => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9;
    const value = ((state >>> 0) / 2 ** 32 - 0.5) / 5;
    return place % 61 === 60 ? value * 2 ** -30 : value;
  });
}

/** The number with the fewest digits that is the same float32, as Venice prints them. */
function shortest(value: number): number {
  for (let digits = 6; digits < 9; digits += 1) {
    const printed = Number(value.toPrecision(digits));
    if (Math.fround(printed) === value) return printed;
  }
  return Number(value.toPrecision(9));
}

function base64Of(vector: Float32Array): string {
  const bytes = Buffer.alloc(4 * vector.length);
  vector.forEach((value, place) => bytes.writeFloatLE(value, 4 * place));
  return bytes.toString('base64');
}
