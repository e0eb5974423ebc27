import { createHash } from 'node:crypto';
import { numberIn, objectIn, objectsIn, textIn } from './read-member.ts';
import type { JsonObject } from '../json-value.ts';

/** Of all that Venice has, what Ollama's API can ask something of; others tell no type. */
const TYPES: ReadonlySet<unknown> = new Set(['text', 'embedding', undefined]);

/** As Ollama writes "never"; always the same, so that the list stays the same. */
const EXPIRES_AT = '2318-01-01T00:00:00Z';

/** The models of Venice's `GET /models` that Ollama's clients can use. */
export function usableModels(list: JsonObject): readonly JsonObject[] {
  return objectsIn(list, 'data').filter(
    (model) => TYPES.has(model['type']) && textIn(model, 'id') !== '',
  );
}

/** The same, and under the names that the operator has given to some. */
export function withAliases(
  models: readonly JsonObject[],
  aliases: ReadonlyMap<string, string> | undefined,
): readonly JsonObject[] {
  if (aliases === undefined) return models;
  const ids = new Set(models.map((model) => model['id']));
  const named = [...aliases].flatMap(([id, target]) => {
    const model = ids.has(id) ? undefined : modelNamed(target, models);
    return model === undefined ? [] : [{ ...model, id }];
  });
  return [...models, ...named];
}

/** Venice's names may have features of it behind a colon. */
export function modelNamed(name: string, models: readonly JsonObject[]): JsonObject | undefined {
  const plain = name.replace(/:.*$/, '');
  return (
    models.find((model) => model['id'] === name) ?? models.find((model) => model['id'] === plain)
  );
}

/** `GET /api/tags`. */
export function tagsOf(models: readonly JsonObject[]): JsonObject {
  return {
    models: models.map((model) => ({ ...namesOf(model), modified_at: createdAt(model) })),
  };
}

/** `GET /api/ps`: all of them are at work. */
export function runningOf(models: readonly JsonObject[]): JsonObject {
  return {
    models: models.map((model) => {
      const tokens = contextLength(model);
      const context = tokens === undefined ? {} : { context_length: tokens };
      return { ...namesOf(model), expires_at: EXPIRES_AT, size_vram: 0, ...context };
    }),
  };
}

/** `POST /api/show`. */
export function descriptionOf(model: JsonObject): JsonObject {
  const architecture = familyOf(model);
  const tokens = contextLength(model);
  const dimensions = numberIn(objectIn(model, 'model_spec'), 'embeddingDimensions');
  return {
    license: '',
    modelfile: '',
    parameters: '',
    template: '',
    details: detailsOf(model),
    model_info: {
      'general.architecture': architecture,
      'general.basename': textIn(objectIn(model, 'model_spec'), 'name') || textIn(model, 'id'),
      ...(tokens === undefined ? {} : { [`${architecture}.context_length`]: tokens }),
      ...(dimensions === undefined ? {} : { [`${architecture}.embedding_length`]: dimensions }),
    },
    capabilities: capabilitiesOf(model),
    modified_at: createdAt(model),
  };
}

/** What a list tells of each; there is no file of which `size` could be told. */
function namesOf(model: JsonObject): JsonObject {
  const id = textIn(model, 'id');
  const digest = createHash('sha256').update(id).digest('hex');
  return { name: id, model: id, size: 0, digest, details: detailsOf(model) };
}

/** Some clients refuse a model of which one of these is missing. */
function detailsOf(model: JsonObject): JsonObject {
  const family = familyOf(model);
  const { quantization } = abilities(model);
  return {
    parent_model: '',
    format: '',
    family,
    families: [family],
    parameter_size:
      /(?:^|[-_.])(\d+(?:\.\d+)?b)(?:$|[-_.])/i.exec(textIn(model, 'id'))?.[1]?.toUpperCase() ?? '',
    quantization_level:
      typeof quantization === 'string' && /^[a-z]+\d/i.test(quantization)
        ? quantization.toUpperCase()
        : '',
  };
}

/** Clients look for it in the names of other members: `llama` of `llama-3.3-70b`. */
function familyOf(model: JsonObject): string {
  return /^(?:[^/]*\/)?([a-z]+)/i.exec(textIn(model, 'id'))?.[1]?.toLowerCase() ?? 'venice';
}

function capabilitiesOf(model: JsonObject): readonly string[] {
  if (textIn(model, 'type') === 'embedding') return ['embedding'];
  const able = abilities(model);
  return [
    'completion',
    ...(able['supportsFunctionCalling'] === true ? ['tools'] : []),
    ...(able['supportsVision'] === true ? ['vision'] : []),
    ...(able['supportsReasoning'] === true ? ['thinking'] : []),
  ];
}

function abilities(model: JsonObject): JsonObject {
  return objectIn(objectIn(model, 'model_spec'), 'capabilities');
}

function contextLength(model: JsonObject): number | undefined {
  const spec = objectIn(model, 'model_spec');
  return (
    numberIn(spec, 'availableContextTokens') ??
    numberIn(model, 'context_length') ??
    numberIn(spec, 'maxInputTokens')
  );
}

function createdAt(model: JsonObject): string {
  const seconds = numberIn(model, 'created') ?? 0;
  // Beyond what a `Date` can be, `toISOString` would throw.
  return new Date(Math.min(Math.abs(seconds), 2 ** 32) * 1_000).toISOString();
}
