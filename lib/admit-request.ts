import { randomBytes } from 'node:crypto';
import { ProxyError } from './errors.ts';
import { VIA_NAME } from './headers.ts';
import type { Step } from './pipeline.ts';
import type { ProxyState } from './proxy-state.ts';

/** So many proxies of this kind in a row are a loop, whatever their pseudonyms. */
const MOST_HOPS = 10;

// TRACE would show the client the headers of the upstream call, and so a key that is not its own.
const METHODS: ReadonlySet<string> = new Set([
  'GET',
  'POST',
  'PUT',
  'DELETE',
  'PATCH',
  'OPTIONS',
  'HEAD',
]);

/** A name for this router in `Via` (RFC 9110 §7.6.3), by which it knows its own requests again. */
export function createPseudonym(): string {
  return `${VIA_NAME}-${randomBytes(6).toString('hex')}`;
}

/** Whether a request has been here before, by its `Via`. */
export function isLoop(via: string | undefined, pseudonym: string): boolean {
  if (via === undefined) return false;
  const hops = via.split(',').map((hop) => hop.trim().split(/\s+/)[1] ?? '');
  return (
    hops.includes(pseudonym) || hops.filter((hop) => hop.startsWith(VIA_NAME)).length >= MOST_HOPS
  );
}

/** Refuses what cannot be forwarded as it is, and requests that come back round. */
export function admitRequest(state: ProxyState, pseudonym: string): Step {
  return function admit({ req, res }) {
    if (state.draining) {
      throw new ProxyError('draining', 'This server is shutting down and takes no new requests.');
    }
    if (!METHODS.has(req.method)) {
      res.setHeader('Allow', [...METHODS].join(', '));
      throw new ProxyError('method_not_allowed', `${req.method} is not served here.`);
    }
    // RFC 9112 §6.1: a coding that nobody here undoes, and that would be lost on the way.
    const coding = req.headers['transfer-encoding'];
    if (coding !== undefined && !/^\s*chunked\s*$/i.test(coding)) {
      throw new ProxyError(
        'transfer_coding_unsupported',
        'Of all transfer codings only `chunked` is understood here.',
      );
    }
    if (isLoop(req.headers.via, pseudonym)) {
      throw new ProxyError(
        'loop_detected',
        'This request has come back to the proxy that sent it: the target leads to the proxy itself.',
      );
    }
  };
}
