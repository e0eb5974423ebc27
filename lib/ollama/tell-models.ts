import { decodeBody } from '../decode-body.ts';
import { ProxyError } from '../errors.ts';
import { isObject, parseJson } from '../json-value.ts';
import type { JsonObject } from '../json-value.ts';
import type { UpstreamAnswer } from '../upstream-answer.ts';
import { descriptionOf, modelNamed, runningOf, tagsOf, usableModels } from './model-list.ts';
import { modelId } from './translate-request.ts';

/** What is asked about models; `show` about one of them. */
export type ModelQuestion =
  | { readonly call: 'tags' | 'ps' }
  | { readonly call: 'show'; readonly name: string };

/** The models in an answer to `GET /models` that has been held whole. */
export async function modelsFrom(answer: UpstreamAnswer): Promise<readonly JsonObject[]> {
  const bytes = answer.hasEnded
    ? await decodeBody(answer.joined, answer.headers['content-encoding'])
    : undefined;
  const list = Buffer.isBuffer(bytes) ? parseJson(bytes.toString()) : undefined;
  if (isObject(list) && Array.isArray(list['data'])) return usableModels(list);
  throw new ProxyError('upstream_invalid', 'The upstream sent a list that cannot be read.');
}

/** @throws ProxyError for a model that is not there */
export function tellModels(question: ModelQuestion, models: readonly JsonObject[]): JsonObject {
  if (question.call !== 'show') {
    return question.call === 'tags' ? tagsOf(models) : runningOf(models);
  }
  const found = modelNamed(modelId(question.name), models);
  if (found !== undefined) return descriptionOf(found);
  throw new ProxyError('model_not_found', `model '${question.name}' not found`);
}
