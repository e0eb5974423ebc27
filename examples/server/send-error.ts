import type { Response } from 'express';

/**
 * Answers with an error in OpenAI's shape, as the proxy's own errors are: so a client's SDK can
 * show the message, whatever it was that refused the request.
 */
export function sendError(res: Response, status: number, code: string, message: string): void {
  const type = status < 500 ? 'invalid_request_error' : 'server_error';
  res.status(status).json({ error: { message, type, param: null, code } });
}
