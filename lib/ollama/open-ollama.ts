import { ProxyError } from '../errors.ts';
import type { RequestContext } from '../request-context.ts';
import { OLLAMA_CALLS, isOllamaCall, ollamaPart } from './ollama-calls.ts';
import { ollamaErrors } from './ollama-transform.ts';

/**
 * Finds out what is asked of Ollama's API. Whatever goes wrong from here on is told in its shape.
 *
 * @throws ProxyError for what is not built
 */
export function openOllama(context: RequestContext): void {
  const part = ollamaPart(context.path);
  if (part === undefined) return;
  context.transform = { error: ollamaErrors(context) };
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
