import type { IncomingHttpHeaders } from 'node:http';

/** What describes the client's body, and the answer that it wants, does not hold upstream. */
const DESCRIPTIONS: ReadonlySet<string> = new Set([
  'accept',
  'content-encoding',
  'content-length',
  'content-type',
  'if-modified-since',
  'if-none-match',
  'range',
  'transfer-encoding',
]);

/** The client's headers for a request that has become another one. */
export function translatedHeaders(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const kept = Object.entries(headers).filter(([name]) => !DESCRIPTIONS.has(name));
  return {
    ...Object.fromEntries(kept),
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
  };
}
