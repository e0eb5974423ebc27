import { ProxyError } from '../errors.ts';
import { generationParams } from './generation-params.ts';
import { chatMessages, withImages } from './messages.ts';
import { optionalObjects, optionalText, textIn } from './read-member.ts';
import type { JsonObject } from '../json-value.ts';

/** What a client asks for, by the last part of the path. */
export type AnswerForm = 'chat' | 'generate' | 'embed' | 'embeddings';

/** What becomes of a request: it goes upstream, or has its answer already. */
export type Translation =
  | { readonly route: '/chat/completions' | '/embeddings'; readonly body: JsonObject }
  | { readonly route: undefined; readonly answer: JsonObject };

/**
 * What Ollama's client asks, in the words of Venice's API.
 *
 * @param now - for the time in an answer that needs no upstream
 * @throws ProxyError for what cannot be said there
 */
export function translateRequest(form: AnswerForm, body: JsonObject, now: Date): Translation {
  const asked = textIn(body, 'model');
  if (asked === '') throw new ProxyError('invalid_body', 'model is required');
  return TRANSLATIONS[form]({ ...body, model: asked }, modelId(asked), now);
}

/** Ollama's clients put a tag behind a name that has none. */
export function modelId(name: string): string {
  return name.replace(/:latest$/, '');
}

type Translate = (body: JsonObject, model: string, now: Date) => Translation;

const TRANSLATIONS: Readonly<Record<AnswerForm, Translate>> = {
  chat(body, model, now) {
    const messages = optionalObjects(body, 'messages');
    if (messages.length === 0) {
      return loaded(body, now, { message: { role: 'assistant', content: '' } });
    }
    const tools = optionalObjects(body, 'tools');
    return {
      route: '/chat/completions',
      body: {
        model,
        messages: chatMessages(messages),
        ...(tools.length === 0 ? {} : { tools }),
        ...generationParams(body),
      },
    };
  },

  generate(body, model, now) {
    if (textIn(body, 'suffix') !== '') {
      throw new ProxyError('invalid_body', `${model} does not support insert: Venice has no FIM.`);
    }
    if (body['raw'] === true) {
      throw new ProxyError(
        'invalid_body',
        `${model} does not support raw prompts: Venice puts each into the template of its model.`,
      );
    }
    const content = withImages(optionalText(body, 'prompt'), body);
    if (content === '') return loaded(body, now, { response: '' });
    const system = optionalText(body, 'system');
    return {
      route: '/chat/completions',
      body: {
        model,
        messages: [
          ...(system === '' ? [] : [{ role: 'system', content: system }]),
          { role: 'user', content },
        ],
        ...generationParams(body),
      },
    };
  },

  embed(body, model) {
    const { input, dimensions } = body;
    // Venice refuses what is empty.
    if (input === undefined || input === null || input === '' || isEmptyList(input)) {
      return { route: undefined, answer: { model: body['model'], embeddings: [] } };
    }
    const size = typeof dimensions === 'number' && dimensions > 0 ? { dimensions } : {};
    return {
      route: '/embeddings',
      body: { model, input, encoding_format: 'float', ...size },
    };
  },

  embeddings(body, model) {
    const prompt = optionalText(body, 'prompt');
    if (prompt === '') return { route: undefined, answer: { embedding: [] } };
    return { route: '/embeddings', body: { model, input: prompt, encoding_format: 'float' } };
  },
};

/** Without a prompt a model is only to be loaded, or let go: Venice has it loaded anyway. */
function loaded(body: JsonObject, now: Date, empty: JsonObject): Translation {
  const { model, keep_alive: keepAlive } = body;
  const isUnload = keepAlive === 0 || keepAlive === '0' || keepAlive === '0s';
  const done_reason = isUnload ? 'unload' : 'load';
  const created_at = now.toISOString();
  return { route: undefined, answer: { model, created_at, ...empty, done_reason, done: true } };
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}
