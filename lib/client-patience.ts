import type { IncomingHttpHeaders } from 'node:http';
import { single } from './headers.ts';

/** An answer must be on its way for so long before the client leaves, at most. */
const LONGEST_MARGIN_MS = 1_000;
const MARGIN = 0.1;

/**
 * How long a client waits for the head of its answer, as the OpenAI SDKs say it when their caller
 * has set a timeout (`x-stainless-timeout`, in seconds): milliseconds, less what it takes to answer
 * while it is still there. `Infinity` where it does not say.
 */
export function clientPatienceMs(headers: IncomingHttpHeaders): number {
  const text = single(headers['x-stainless-timeout'])?.trim() ?? '';
  const timeoutMs = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1_000 : 0;
  if (timeoutMs <= 0) return Infinity;
  return timeoutMs - Math.min(LONGEST_MARGIN_MS, MARGIN * timeoutMs);
}
