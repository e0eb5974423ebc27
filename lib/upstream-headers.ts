import type { OutgoingHttpHeaders } from 'node:http';
import type { Request } from 'express';
import { ProxyError } from './errors.ts';
import { forwardedHeaders } from './headers.ts';
import type { Config } from './options.ts';
import type { RequestContext } from './request-context.ts';
import { unlessEnded } from './unless-ended.ts';
import { isBearerToken } from './validators.ts';

// Node frames the bodies of other methods by itself when there is no length (RFC 9112 §6.3).
const METHODS_WITHOUT_FRAMING: ReadonlySet<string> = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS']);

/** The headers of the upstream calls: the client's end-to-end ones, and what is ours to say. */
export function upstreamHeaders(
  context: RequestContext,
  pseudonym: string,
  { forwardClientAddress }: Pick<Config, 'forwardClientAddress'>,
): OutgoingHttpHeaders {
  const { req, body, clientHeaders } = context;
  const headers = forwardedHeaders(clientHeaders, req.httpVersion, pseudonym);
  if (forwardClientAddress) addClientAddress(headers, req);
  if (body.kind === 'held') {
    headers['content-length'] = String(body.bytes.length);
    if (!body.isEncoded) delete headers['content-encoding'];
    if (body.isRespelt) {
      const type = String(headers['content-type']);
      headers['content-type'] = type.replace(/(;\s*charset=)[^;]*/i, '$1utf-8');
    }
  } else if (clientHeaders['content-length'] !== undefined) {
    // Without zeros in front: some read those as octal.
    headers['content-length'] = String(Number(clientHeaders['content-length']));
  } else if (body.kind === 'passthrough' && METHODS_WITHOUT_FRAMING.has(req.method)) {
    headers['transfer-encoding'] = 'chunked';
  }
  // What is to be read on its way cannot be compressed: events, whose boundaries decide how a
  // broken stream ends, and what is converted.
  const isRead = context.stream || context.wantsBase64 || context.transform !== undefined;
  if (isRead) headers['accept-encoding'] = 'identity';
  return headers;
}

/**
 * Appends the hop in front of this proxy to what the app trusts of those before it: without `trust
 * proxy` that is nothing, as anybody can write these headers.
 */
function addClientAddress(headers: OutgoingHttpHeaders, req: Request): void {
  const { remoteAddress } = req.socket;
  const hops = remoteAddress === undefined ? req.ips : [...req.ips, remoteAddress];
  if (hops.length > 0) headers['x-forwarded-for'] = hops.join(', ');
  headers['x-forwarded-proto'] = req.protocol;
  const host = isTrusted(req) ? (req.get('x-forwarded-host') ?? req.get('host')) : req.get('host');
  if (host !== undefined) headers['x-forwarded-host'] = host;
}

function isTrusted(req: Request): boolean {
  const trust: unknown = req.app.get('trust proxy fn');
  return typeof trust === 'function' && trust(req.socket.remoteAddress, 0) === true;
}

/** Puts the operator's key in the place of the client's. */
export async function addApiKey(
  headers: OutgoingHttpHeaders,
  context: RequestContext,
  source: NonNullable<Config['apiKey']>,
): Promise<void> {
  let key: unknown;
  try {
    key = typeof source === 'string' ? source : await unlessEnded(context, source(context.req));
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
  context.hasOwnKey = true;
}
