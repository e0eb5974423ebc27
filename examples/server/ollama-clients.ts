import type { ServerResponse } from 'node:http';
import type { RequestHandler } from 'express';

const answers = new WeakSet<ServerResponse>();

/** Who gets this answer reads errors in Ollama's shape. */
export function markOllamaClient(res: ServerResponse): void {
  answers.add(res);
}

export function isForOllamaClient(res: ServerResponse): boolean {
  return answers.has(res);
}

/** `GET /`: by this its clients know that there is an Ollama. */
export const sayOllamaIsRunning: RequestHandler = (_req, res) => {
  res.type('text/plain').send('Ollama is running');
};
