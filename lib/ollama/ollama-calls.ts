import type { AnswerForm } from './translate-request.ts';

/** What of Ollama's API there is, by the last part of the path. */
export type OllamaCall = AnswerForm | 'version' | 'tags' | 'ps' | 'show';

const READ = ['GET', 'HEAD'] as const;
const ASK = ['POST'] as const;

/** The methods of each. */
export const OLLAMA_CALLS: Readonly<Record<OllamaCall, readonly string[]>> = {
  version: READ,
  tags: READ,
  ps: READ,
  show: ASK,
  chat: ASK,
  generate: ASK,
  embed: ASK,
  embeddings: ASK,
};

/**
 * The part of a path behind the mount that says what is asked of Ollama's API; `undefined` where it
 * is no path of that.
 */
export function ollamaPart(path: string): string | undefined {
  return path.startsWith('/api/') ? path.slice('/api/'.length).replace(/\/$/, '') : undefined;
}

export function isOllamaCall(part: string): part is OllamaCall {
  return Object.hasOwn(OLLAMA_CALLS, part);
}
