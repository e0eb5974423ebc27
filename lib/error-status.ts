/** What a status says by itself, for errors that say no more. */
export interface StatusMeaning {
  /** The kind under which OpenAI clients file it. */
  readonly type: string;
  /** In place of the upstream's own code. */
  readonly code: string;
  readonly message: string;
}

type Row = readonly [type: string, code: string, message: string];

const MEANINGS: Readonly<Record<number, Row>> = {
  400: ['invalid_request_error', 'invalid_request', 'The upstream refused the request.'],
  401: ['authentication_error', 'authentication_failed', 'The upstream refused the API key.'],
  402: ['insufficient_quota', 'insufficient_quota', 'The upstream wants to be paid first.'],
  403: ['permission_error', 'permission_denied', 'The API key may not do this.'],
  404: ['not_found_error', 'not_found', 'The upstream has nothing there.'],
  405: ['invalid_request_error', 'method_not_allowed', 'The upstream has no such method there.'],
  408: ['invalid_request_error', 'request_timeout', 'The request took too long to arrive.'],
  409: ['invalid_request_error', 'conflict', 'The request is in conflict with another one.'],
  410: ['not_found_error', 'gone', 'What was there is gone.'],
  413: ['invalid_request_error', 'request_too_large', 'The request is too large.'],
  415: ['invalid_request_error', 'unsupported_media_type', 'The upstream takes no such content.'],
  422: ['invalid_request_error', 'unprocessable', 'The upstream cannot make use of the request.'],
  429: ['rate_limit_error', 'rate_limit_exceeded', 'The upstream takes no more requests for now.'],
  500: ['server_error', 'server_error', 'The upstream failed.'],
  502: ['server_error', 'bad_gateway', 'A server behind the upstream failed.'],
  503: ['server_error', 'service_unavailable', 'The upstream is not available for now.'],
  504: ['server_error', 'gateway_timeout', 'The request took the upstream too long.'],
  520: ['server_error', 'cloudflare_520', 'The upstream behind Cloudflare sent no proper answer.'],
  521: ['server_error', 'cloudflare_521', 'The upstream behind Cloudflare is down.'],
  522: ['server_error', 'cloudflare_522', 'Cloudflare got no connection to the upstream.'],
  523: ['server_error', 'cloudflare_523', 'Cloudflare does not reach the upstream.'],
  524: [
    'server_error',
    'cloudflare_524',
    'The upstream behind Cloudflare took too long to answer.',
  ],
};

/** @param status - 400 and up */
export function meaningOf(status: number): StatusMeaning {
  const row = MEANINGS[status] ?? unknownMeaning(status);
  const [type, code, message] = row;
  return { type, code, message };
}

function unknownMeaning(status: number): Row {
  return status < 500
    ? ['invalid_request_error', 'invalid_request', `The upstream answered with ${status}.`]
    : ['server_error', 'server_error', `The upstream failed with ${status}.`];
}
