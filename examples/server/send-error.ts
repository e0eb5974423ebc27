import type { ServerResponse } from 'node:http';

/**
 * Answers with an error in OpenAI's shape, as the proxy's own errors are: so a client's SDK can
 * show the message, whatever it was that refused the request.
 */
export function sendError(
  res: ServerResponse,
  status: number,
  code: string,
  message: string,
): void {
  const type = status < 500 ? 'invalid_request_error' : 'server_error';
  const body = JSON.stringify({ error: { message, type, param: null, code } });
  res.statusCode = status;
  res.setHeader('content-type', 'application/json; charset=utf-8');
  res.setHeader('content-length', Buffer.byteLength(body));
  res.end(body);
}
