import type { ServerResponse } from 'node:http';
import { isForOllamaClient } from './ollama-clients.ts';

/**
 * Answers with an error in OpenAI's shape, as the proxy's own errors are: so a client's SDK can
 * show the message, whatever it was that refused the request. Ollama's clients get its shape.
 */
export function sendError(
  res: ServerResponse,
  status: number,
  code: string,
  message: string,
): void {
  const type = status < 500 ? 'invalid_request_error' : 'server_error';
  const error = isForOllamaClient(res) ? message : { message, type, param: null, code };
  const body = JSON.stringify({ error });
  res.statusCode = status;
  res.setHeader('content-type', 'application/json; charset=utf-8');
  res.setHeader('content-length', Buffer.byteLength(body));
  res.end(body);
}
