import { dataOfEvents } from './event-stream.ts';
import { hasEvent } from './first-event.ts';
import { isObject, parseJson } from './json-value.ts';

/** Whether whole events show that nothing is missing behind them. */
interface Signs {
  /** Wherever these events stand. */
  readonly anywhere: (events: Buffer) => boolean;
  /** As the last ones: looked for once, and not in each chunk. */
  readonly asLast: (events: Buffer) => boolean;
}

/** Most events begin with it. */
const SMALL_D = 0x64;

const FINISH_REASON = Buffer.from('"finish_reason"');
const DONE = Buffer.from('[DONE]');
const FINAL_RESPONSES = ['completed', 'incomplete', 'failed'].map((how) =>
  Buffer.from(`"response.${how}"`),
);
const FINAL_TYPE = /"type"\s*:\s*"response\.(completed|incomplete|failed)"/;

/** By route, what its streams end with (OpenAI's API reference, streaming). */
const SIGNS: ReadonlyMap<string, Signs> = new Map([
  ['/chat/completions', { anywhere: hasFinishReason, asLast: hasDone }],
  ['/responses', { anywhere: hasFinalResponse, asLast: () => false }],
]);

/** Whether it is known of a route's streams how they end. */
export function hasStreamEnd(route: string): boolean {
  return SIGNS.has(route);
}

/**
 * Looks for the sign by which a stream of events tells that it is complete. The end of the body
 * does not: where that is the end of the connection (RFC 9112 §6.3), it looks the same when the
 * upstream was cut off, and behind a gateway that was cut off any body ends in good order.
 */
export class StreamEnd {
  readonly #signs: Signs;
  #isShown = false;
  #last: Buffer | undefined;
  #goesOn = false;

  private constructor(signs: Signs) {
    this.#signs = signs;
  }

  /** `undefined`: of the route's streams no sign is known. */
  static of(route: string): StreamEnd | undefined {
    const signs = SIGNS.get(route);
    return signs && new StreamEnd(signs);
  }

  /** @param isPart - of an event that goes on in what comes next */
  look(events: Buffer, isPart: boolean): void {
    if (this.#isShown) {
      this.#goesOn = isPart;
      return;
    }
    const seen = this.#goesOn ? this.#withBefore(events) : events;
    this.#isShown = this.#signs.anywhere(seen);
    if (this.#goesOn) this.#last = seen.subarray(-64);
    else if (isPart || events[0] === SMALL_D || hasEvent([events])) this.#last = events;
    this.#goesOn = isPart;
  }

  /** @param tail - what came of an event whose blank line did not */
  isComplete(tail: Buffer): boolean {
    // The event with the sign may have lost its own end.
    if (this.#goesOn) return false;
    if (this.#isShown || (this.#last && this.#signs.asLast(this.#last))) return true;
    if (this.#last?.includes('"error"') && dataOfEvents(this.#last.toString()).some(isError))
      return true;
    // Half an event may hold the sign, and still has lost what stood behind it.
    const [data = ''] = dataOfEvents(tail.toString());
    const isWhole = data === '[DONE]' || parseJson(data) !== undefined;
    const { anywhere, asLast } = this.#signs;
    return isWhole && (anywhere(tail) || asLast(tail) || isError(data));
  }

  /** The sign may stand across the border. */
  #withBefore(events: Buffer): Buffer {
    const before = this.#last?.subarray(-64);
    return before === undefined ? events : Buffer.concat([before, events]);
  }
}

/** In a text of the model's the quotes are escaped, so that it cannot be taken for the member. */
function hasFinishReason(events: Buffer): boolean {
  for (let at = events.indexOf(FINISH_REASON); at !== -1; at = events.indexOf(FINISH_REASON, at)) {
    at += FINISH_REASON.length;
    while (isSpace(events[at]) || events[at] === 0x3a) at += 1;
    // Neither `null` nor, as some write it, an empty string.
    if (events[at] === 0x22 && events[at + 1] !== 0x22) return true;
  }
  return false;
}

function hasDone(events: Buffer): boolean {
  return events.includes(DONE) && /^data: ?\[DONE\]\s*$/m.test(events.toString('latin1'));
}

/** As the event's own `type`: a text of the model's, or what it echoes of the request, may be the same. */
function hasFinalResponse(events: Buffer): boolean {
  if (!FINAL_RESPONSES.some((type) => events.includes(type))) return false;
  const text = events.toString();
  if (!FINAL_TYPE.test(text)) return false;
  const all = dataOfEvents(text);
  // Of a part without its beginning, or its end, no more can be asked.
  return all.length === 0 || all.some(isFinalResponse);
}

function isFinalResponse(data: string): boolean {
  const value = parseJson(data);
  if (value === undefined) return FINAL_TYPE.test(data);
  return isObject(value) && FINAL_TYPE.test(`"type":${JSON.stringify(value['type'])}`);
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09;
}

/** The upstream tells by itself that there will be no more. */
function isError(data: string): boolean {
  const value = parseJson(data);
  if (!isObject(value)) return false;
  return value['type'] === 'error' || (Boolean(value['error']) && value['choices'] === undefined);
}
