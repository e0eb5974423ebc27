import { ProxyError } from '../errors.ts';
import { HeldBytes } from '../held-bytes.ts';
import { isObject, parseJson } from '../json-value.ts';
import type { JsonObject } from '../json-value.ts';
import type { Config } from '../options.ts';
import type { Step } from '../pipeline.ts';
import type { RequestContext } from '../request-context.ts';
import { ModelCatalog } from './model-catalog.ts';
import { withAliases } from './model-list.ts';
import type { OllamaCall } from './ollama-calls.ts';
import { ollamaErrors, ollamaTransform } from './ollama-transform.ts';
import { openOllama } from './open-ollama.ts';
import { textIn } from './read-member.ts';
import { sendJson } from './send-json.ts';
import { modelsFrom, tellModels } from './tell-models.ts';
import type { ModelQuestion } from './tell-models.ts';
import { translateRequest } from './translate-request.ts';
import type { AnswerForm } from './translate-request.ts';
import { translatedHeaders } from './translated-headers.ts';

/** Of an Ollama that knows all that is understood here; some clients refuse older ones. */
const VERSION = '0.12.6';

const MODELS = '/models';

/** What a request of Ollama's API goes through beside the other steps. */
export interface OllamaSteps {
  /** First of all: whoever speaks Ollama is to understand what goes wrong. */
  readonly open: Step;
  /** When the body is there: answers at once, or turns the request into one of Venice's. */
  readonly translate: Step;
  /** When the answer is there: what was asked about models. */
  readonly tell: Step;
}

/** Ollama's API in front of Venice's (github.com/ollama/ollama, docs/api.md). */
export function ollamaSteps(config: Pick<Config, 'basePath' | 'models'>): OllamaSteps {
  const catalog = new ModelCatalog();
  return {
    open: openOllama,

    translate(context) {
      const { ollama } = context;
      if (ollama === undefined) return undefined;
      if (ollama === 'version') return answer(context, { version: VERSION });
      if (!isAboutModels(ollama)) return translateCall(context, ollama, config);
      const question = questionOf(context, ollama);
      const models = catalog.at(performance.now());
      if (models !== undefined) return answer(context, tellModels(question, models));
      askForModels(context, config);
      return undefined;
    },

    tell(context) {
      const { ollama, answer: listed, left } = context;
      if (ollama === undefined || !isAboutModels(ollama) || left) return undefined;
      // An error is told like any other.
      if (listed === undefined || listed.status !== 200) return undefined;
      return modelsFrom(listed).then((usable) => {
        const models = withAliases(usable, config.models);
        catalog.tell(models, performance.now());
        listed.discard();
        if (context.left) return 'answered';
        return answer(context, tellModels(questionOf(context, ollama), models));
      });
    },
  };
}

type ModelCall = ModelQuestion['call'];

function isAboutModels(call: OllamaCall): call is ModelCall {
  return call === 'tags' || call === 'ps' || call === 'show';
}

function questionOf(context: RequestContext, call: ModelCall): ModelQuestion {
  if (call !== 'show') return { call };
  if (context.model === undefined) {
    const body = bodyOf(context);
    // Older clients call it `name`.
    context.model = textIn(body, 'model') || textIn(body, 'name');
  }
  if (context.model === '') throw new ProxyError('invalid_body', 'model is required');
  return { call, name: context.model };
}

/** The list of all needs no key, and these clients often have none when they ask. */
function askForModels(context: RequestContext, config: Pick<Config, 'basePath'>): void {
  aim(context, config, MODELS);
  context.upstreamPath += '?type=all';
  context.upstreamMethod = 'GET';
  context.body = { kind: 'none' };
  // Held whole, and asked for again when it breaks.
  context.transform = { json: (bytes) => bytes, error: ollamaErrors(context) };
}

function translateCall(
  context: RequestContext,
  form: AnswerForm,
  config: Pick<Config, 'basePath'>,
): 'answered' | undefined {
  const body = bodyOf(context);
  const translation = translateRequest(form, body, new Date());
  if (translation.route === undefined) return answer(context, translation.answer);
  aim(context, config, translation.route);
  const bytes = new HeldBytes([Buffer.from(JSON.stringify(translation.body))]);
  context.body = { kind: 'held', bytes, isEncoded: false, isRespelt: false };
  context.transform = ollamaTransform(context, {
    form,
    model: textIn(body, 'model'),
    hidesThinking: body['think'] === false,
    isStream: translation.body['stream'] === true,
  });
  return undefined;
}

function answer(context: RequestContext, value: JsonObject): 'answered' {
  sendJson(context, value);
  return 'answered';
}

/** The body of a request, whatever type it says it has: `curl -d` says that of a form. */
function bodyOf({ body }: RequestContext): JsonObject {
  if (body.kind !== 'held') throw new ProxyError('invalid_body', 'missing request body');
  const value = body.isEncoded ? undefined : parseJson(body.bytes.look(String));
  if (isObject(value)) return value;
  throw new ProxyError('invalid_body', 'The body is not a JSON object.');
}

/** Where the request goes in place of where it came. */
function aim(context: RequestContext, { basePath }: Pick<Config, 'basePath'>, route: string): void {
  context.route = route;
  context.upstreamPath = basePath + route;
  context.clientHeaders = translatedHeaders(context.req.headers);
}
