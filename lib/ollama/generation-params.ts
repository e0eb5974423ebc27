import { ProxyError } from '../errors.ts';
import { isObject } from '../json-value.ts';
import { numberIn, objectIn } from './read-member.ts';
import type { JsonObject } from '../json-value.ts';

/** Numbers of Ollama's `options`, and what Venice calls them. The others speak of a GPU. */
const NUMBERS: readonly (readonly [ollama: string, venice: string])[] = [
  ['temperature', 'temperature'],
  ['top_p', 'top_p'],
  ['top_k', 'top_k'],
  ['min_p', 'min_p'],
  ['presence_penalty', 'presence_penalty'],
  ['frequency_penalty', 'frequency_penalty'],
  ['repeat_penalty', 'repetition_penalty'],
];

/**
 * How an answer is to be made, for `/chat/completions`: `options`, `think` and `format` of
 * `/api/chat` and `/api/generate`, whose `stream` is on unless it is turned off.
 */
export function generationParams(body: JsonObject): JsonObject {
  const stream = body['stream'] !== false;
  return {
    stream,
    ...(stream ? { stream_options: { include_usage: true } } : {}),
    ...sampling(objectIn(body, 'options')),
    ...thinking(body['think']),
    ...responseFormat(body['format']),
  };
}

function sampling(options: JsonObject): JsonObject {
  const params: Record<string, unknown> = {};
  for (const [name, venice] of NUMBERS) {
    const value = numberIn(options, name);
    if (value !== undefined) params[venice] = value;
  }
  // What is not positive means "as many as you like", or "any seed"; Venice refuses it.
  const most = numberIn(options, 'num_predict');
  if (most !== undefined && most > 0) params['max_tokens'] = most;
  const seed = numberIn(options, 'seed');
  if (seed !== undefined && seed > 0) params['seed'] = seed;
  const { stop } = options;
  if (typeof stop === 'string' || (Array.isArray(stop) && stop.length > 0)) params['stop'] = stop;
  return params;
}

/** Models that reason do so unless they are told not to: `true` asks for nothing. */
function thinking(think: unknown): JsonObject {
  if (think === false) return { venice_parameters: { disable_thinking: true } };
  return typeof think === 'string' && think !== '' ? { reasoning_effort: think } : {};
}

function responseFormat(format: unknown): JsonObject {
  if (format === 'json') return { response_format: { type: 'json_object' } };
  if (isObject(format)) {
    // Without `strict`: that asks of a schema what those of Ollama's clients do not have.
    const json_schema = { name: 'response', schema: format };
    return { response_format: { type: 'json_schema', json_schema } };
  }
  if (format === undefined || format === null || format === '') return {};
  throw new ProxyError('invalid_body', 'invalid format: expected "json" or a JSON schema.');
}
