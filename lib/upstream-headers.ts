import type { OutgoingHttpHeaders } from 'node:http';
import { ProxyError } from './errors.ts';
import { forwardedHeaders } from './headers.ts';
import type { Config } from './options.ts';
import type { RequestContext } from './request-context.ts';
import { isBearerToken } from './validators.ts';

// Node frames the bodies of other methods by itself when there is no length (RFC 9112 §6.3).
const METHODS_WITHOUT_FRAMING: ReadonlySet<string> = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS']);

/** The headers of the upstream calls: the client's end-to-end ones, and what is ours to say. */
export function upstreamHeaders(context: RequestContext, pseudonym: string): OutgoingHttpHeaders {
  const { req, body } = context;
  const headers = forwardedHeaders(req.headers, pseudonym);
  if (body.kind === 'held') {
    headers['content-length'] = String(body.bytes.length);
    if (!body.isEncoded) delete headers['content-encoding'];
    if (body.isRespelt) {
      const type = String(headers['content-type']);
      headers['content-type'] = type.replace(/(;\s*charset=)[^;]*/i, '$1utf-8');
    }
  } else if (req.headers['content-length'] !== undefined) {
    headers['content-length'] = req.headers['content-length'];
  } else if (body.kind === 'passthrough' && METHODS_WITHOUT_FRAMING.has(req.method)) {
    headers['transfer-encoding'] = 'chunked';
  }
  // What is to be read on its way cannot be compressed: events, whose boundaries decide how a
  // broken stream ends, and embeddings that are converted.
  if (context.stream || context.wantsBase64) headers['accept-encoding'] = 'identity';
  return headers;
}

/** Puts the operator's key in the place of the client's. */
export async function addApiKey(
  headers: OutgoingHttpHeaders,
  context: RequestContext,
  source: NonNullable<Config['apiKey']>,
): Promise<void> {
  let key: unknown;
  try {
    key = typeof source === 'string' ? source : await source(context.req);
  } catch (error) {
    throw new ProxyError(
      'api_key_unavailable',
      'The key for the upstream could not be had.',
      error,
    );
  }
  if (key === undefined) return;
  if (typeof key !== 'string' || !isBearerToken(key)) {
    throw new ProxyError('api_key_unavailable', 'The key for the upstream is not a usable string.');
  }
  headers['authorization'] = `Bearer ${key}`;
}
