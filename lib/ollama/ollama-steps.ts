import type { IncomingHttpHeaders } from 'node:http';
import { ProxyError } from '../errors.ts';
import { isObject, parseJson } from '../json-value.ts';
import type { Config } from '../options.ts';
import type { Step } from '../pipeline.ts';
import type { RequestContext } from '../request-context.ts';
import { ModelCatalog } from './model-catalog.ts';
import { descriptionOf, runningOf, tagsOf, usableModels } from './model-list.ts';
import { OLLAMA_CALLS, isOllamaCall, ollamaPart } from './ollama-calls.ts';
import { ollamaError, ollamaTransform } from './ollama-transform.ts';
import { textIn } from './read-member.ts';
import type { JsonObject } from '../json-value.ts';
import { sendJson } from './send-json.ts';
import { modelId, translateRequest } from './translate-request.ts';

/** Of an Ollama that knows all that is understood here; some clients refuse older ones. */
const VERSION = '0.12.6';

/** The list of all models needs no key. */
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
export function ollamaSteps({ basePath }: Pick<Config, 'basePath'>): OllamaSteps {
  const catalog = new ModelCatalog();
  return {
    open: openOllama,

    translate(context) {
      const { ollama } = context;
      if (ollama === undefined) return undefined;
      if (ollama === 'version') return answer(context, { version: VERSION });
      const isList = ollama === 'tags' || ollama === 'ps';
      const body = isList ? {} : bodyOf(context);
      if (isList || ollama === 'show') {
        context.model = isList ? undefined : modelAskedFor(body);
        const models = catalog.at(performance.now());
        if (models !== undefined) return answer(context, told(context, models));
        aim(context, basePath, MODELS);
        context.upstreamPath += '?type=all';
        context.upstreamMethod = 'GET';
        context.body = { kind: 'none' };
        // Held whole, and asked for again when it breaks.
        context.transform = { json: (bytes) => bytes, error: ollamaError };
        return undefined;
      }
      const translation = translateRequest(ollama, body, new Date());
      if (translation.route === undefined) return answer(context, translation.answer);
      aim(context, basePath, translation.route);
      const bytes = Buffer.from(JSON.stringify(translation.body));
      context.body = { kind: 'held', bytes, isEncoded: false, isRespelt: false };
      context.transform = ollamaTransform(context, {
        form: ollama,
        model: textIn(body, 'model'),
        hidesThinking: body['think'] === false,
        isStream: translation.body['stream'] === true,
      });
      return undefined;
    },

    tell(context) {
      const { answer: listed } = context;
      const isAbout = context.ollama !== undefined && context.route === MODELS;
      if (!isAbout || listed === undefined || listed.status !== 200 || context.left) {
        return undefined;
      }
      const list = parseJson(listed.joined.toString());
      if (!listed.hasEnded || !isObject(list)) {
        throw new ProxyError('upstream_invalid', 'The upstream sent a list that cannot be read.');
      }
      const models = usableModels(list);
      catalog.tell(models, performance.now());
      listed.discard();
      return answer(context, told(context, models));
    },
  };
}

function openOllama(context: RequestContext): void {
  const part = ollamaPart(context.path);
  if (part === undefined) return;
  context.transform = { error: ollamaError };
  const { req, res } = context;
  if (!isOllamaCall(part)) {
    const base = `${req.protocol}://${req.get('host') ?? 'localhost'}${req.baseUrl}`;
    throw new ProxyError(
      'not_implemented',
      `/api/${part} is not served here: there are only models of Venice's, which nobody can ` +
        `change. An API like OpenAI's is at ${base}.`,
    );
  }
  const methods = OLLAMA_CALLS[part];
  if (!methods.includes(req.method)) {
    res.setHeader('Allow', methods.join(', '));
    throw new ProxyError('method_not_allowed', `/api/${part} takes ${methods.join(' or ')}.`);
  }
  context.ollama = part;
}

function answer(context: RequestContext, value: JsonObject): 'answered' {
  sendJson(context, value);
  return 'answered';
}

/** The body of a request, whatever type it says it has: `curl -d` says that of a form. */
function bodyOf({ body }: RequestContext): JsonObject {
  if (body.kind !== 'held') throw new ProxyError('invalid_body', 'missing request body');
  const value = body.isEncoded ? undefined : parseJson(body.bytes.toString());
  if (isObject(value)) return value;
  throw new ProxyError('invalid_body', 'The body is not a JSON object.');
}

function modelAskedFor(body: JsonObject): string {
  // Older clients call it `name`.
  const name = textIn(body, 'model') || textIn(body, 'name');
  if (name === '') throw new ProxyError('invalid_body', 'model is required');
  return name;
}

function told({ ollama, model = '' }: RequestContext, models: readonly JsonObject[]): JsonObject {
  if (ollama === 'tags') return tagsOf(models);
  if (ollama === 'ps') return runningOf(models);
  const id = modelId(model);
  // Venice's ids may have features of it behind a colon.
  const plain = id.replace(/:.*$/, '');
  const found = models.find((each) => textIn(each, 'id') === id || textIn(each, 'id') === plain);
  if (found === undefined) throw new ProxyError('model_not_found', `model '${model}' not found`);
  return descriptionOf(found);
}

/** Where the request goes in place of where it came. */
function aim(context: RequestContext, basePath: string, route: string): void {
  context.route = route;
  context.upstreamPath = basePath + route;
  context.clientHeaders = translatedHeaders(context.req.headers);
}

/** What describes the client's body and the answer that it wants does not hold upstream. */
const DESCRIPTIONS: ReadonlySet<string> = new Set([
  'accept',
  'content-encoding',
  'content-length',
  'content-type',
  'if-modified-since',
  'if-none-match',
  'range',
  'transfer-encoding',
]);

function translatedHeaders(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const kept = Object.entries(headers).filter(([name]) => !DESCRIPTIONS.has(name));
  return {
    ...Object.fromEntries(kept),
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
  };
}
