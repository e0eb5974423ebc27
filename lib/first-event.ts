import { CR, LF, dataOfEvents } from './event-stream.ts';
import { isObject, parseJson } from './json-value.ts';
import { causeOfStatus } from './replay-policy.ts';
import type { FailureCause } from './replay-policy.ts';

const COLON = 0x3a;

/** What the codes mean that Venice writes in place of a status (docs.venice.ai, error codes). */
const CAUSES: ReadonlyMap<string, FailureCause> = new Map([
  ['MODEL_AT_CAPACITY', 'refused'],
  ['MODEL_OFFLINE', 'refused'],
  ['MODEL_OVERLOADED', 'refused'],
  ['RATE_LIMIT_EXCEEDED', 'refused'],
  ['INFERENCE_FAILED', 'failed'],
  ['UPSTREAM_ERROR', 'failed'],
  ['INTERNAL_ERROR', 'failed'],
  ['SERVER_ERROR', 'failed'],
  ['UNKNOWN_ERROR', 'failed'],
  ['REQUEST_TIMEOUT', 'timeout'],
]);

/** Whether there is more than comments and empty lines. */
export function hasEvent(chunks: readonly Buffer[]): boolean {
  const watch = new EventWatch();
  return chunks.some((chunk) => watch.look(chunk) !== -1);
}

/** The same, while the chunks come. */
export class EventWatch {
  #hasEvent = false;
  #isLineStart = true;

  /** Where in this chunk the first event goes on or begins; -1: it has not begun. */
  look(chunk: Buffer): number {
    if (this.#hasEvent) return 0;
    for (const [at, byte] of chunk.entries()) {
      const isLineEnd = byte === LF || byte === CR;
      if (this.#isLineStart && !isLineEnd && byte !== COLON) {
        this.#hasEvent = true;
        return at;
      }
      this.#isLineStart = isLineEnd;
    }
    return -1;
  }
}

/**
 * A stream whose first event is an error has failed although its status is 200: how, as far as a
 * replay depends on it. `final` for everything else.
 */
export function causeOfFirstEvent(chunks: readonly Buffer[]): FailureCause {
  if (!chunks.some((chunk) => chunk.includes('"error"'))) return 'final';
  const [data = ''] = dataOfEvents(Buffer.concat(chunks).toString());
  return causeOfError(parseJson(data));
}

function causeOfError(value: unknown): FailureCause {
  if (!isObject(value) || value['error'] === undefined || value['choices'] !== undefined) {
    return 'final';
  }
  const error = isObject(value['error']) ? value['error'] : value;
  for (const said of [error['status'], error['code'], value['code'], error['type']]) {
    if (typeof said === 'number' && said >= 400) return causeOfStatus(said);
    if (typeof said !== 'string') continue;
    const cause = /^[45]\d\d$/.test(said)
      ? causeOfStatus(Number(said))
      : CAUSES.get(said.toUpperCase());
    if (cause !== undefined) return cause;
  }
  const message = isObject(value['error']) ? value['error']['message'] : value['error'];
  return typeof message === 'string' && /\b(overloaded|at capacity)\b/i.test(message)
    ? 'refused'
    : 'final';
}
