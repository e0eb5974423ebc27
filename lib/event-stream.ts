import { Pieces } from './pieces.ts';

// Server-sent events as the WHATWG describes them (HTML §9.2.6): an event ends at a blank line, and
// a line ends with LF, CR or CRLF, in any mixture.

export const LF = 0x0a;
export const CR = 0x0d;

/**
 * Finds where the last whole event ends: behind the last blank line. The search runs backwards, so
 * a chunk that ends with an event costs the same at any length.
 *
 * A CR at the end of the chunk counts as a whole line end. Should its LF begin the next chunk, then
 * that LF is found to be the end of the same blank line.
 *
 * @param beforeLast - the byte before `last`
 * @param last - the stream's byte in front of the chunk; at the very beginning LF for both, since a
 * line begins there
 * @returns the offset behind the blank line, 0 when none ends in the chunk
 */
export function endOfLastEvent(chunk: Buffer, beforeLast: number, last: number): number {
  for (let at = chunk.length - 1; at >= 0; at--) {
    const byte = chunk[at];
    if (byte !== LF && byte !== CR) continue;
    const previous = at > 0 ? chunk[at - 1] : last;
    if (previous === LF) return at + 1;
    if (previous !== CR) continue;
    if (byte === CR) return at + 1;
    // CRLF is one line end: whether the line is blank is up to what stands in front of it.
    const first = at > 1 ? chunk[at - 2] : at === 1 ? last : beforeLast;
    if (first === LF || first === CR) return at + 1;
  }
  return 0;
}

/** What the `data` lines of each event say, of the events that have any. */
export function dataOfEvents(text: string): string[] {
  return text
    .split(/\r\n\r\n|\n\n|\r\r/)
    .map((event) => event.split(/\r\n|\n|\r/).filter((line) => line.startsWith('data:')))
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.map((line) => line.slice('data:'.length).trimStart()).join('\n'));
}

/** The longest unfinished event that is held, in bytes. */
const MAX_TAIL = 1024 * 1024;

/**
 * Lets an event stream out in whole events: what has come of an unfinished one is held until its
 * end has come too. So a stream that breaks can be ended with an event of our own.
 */
export class EventAligner {
  readonly #maxTail: number;
  readonly #held = new Pieces();
  #beforeLast = LF;
  #last = LF;
  #midEvent = false;

  /**
   * @param maxTail - a longer unfinished event is passed on as it comes, up to its end
   */
  constructor(maxTail = MAX_TAIL) {
    this.#maxTail = maxTail;
  }

  /** Whether a part of an unfinished event has left, so that no other event can follow it. */
  get midEvent(): boolean {
    return this.#midEvent;
  }

  /** Takes a chunk and gives what may leave now: the chunk itself when that is just it. */
  push(chunk: Buffer): Buffer | undefined {
    if (chunk.length === 0) return undefined;
    const end = endOfLastEvent(chunk, this.#beforeLast, this.#last);
    this.#beforeLast = chunk.length > 1 ? (chunk[chunk.length - 2] ?? LF) : this.#last;
    this.#last = chunk[chunk.length - 1] ?? LF;

    if (end > 0) this.#midEvent = false;
    // Holding the rest of an event would not bring back what has left of it.
    if (this.#midEvent) return chunk;
    const unfinished = chunk.length - end + (end > 0 ? 0 : this.#held.bytes);
    if (unfinished > this.#maxTail) {
      this.#midEvent = true;
      return this.#release(chunk);
    }
    if (end === 0) {
      this.#hold(chunk);
      return undefined;
    }
    if (end === chunk.length) return this.#release(chunk);
    const whole = this.#release(chunk.subarray(0, end));
    this.#hold(chunk.subarray(end));
    return whole;
  }

  /** Takes out what is held of an event of which no more will come. */
  tail(): Buffer {
    return this.#release(Buffer.alloc(0));
  }

  #hold(bytes: Buffer): void {
    this.#held.push(bytes);
  }

  #release(bytes: Buffer): Buffer {
    if (this.#held.bytes === 0) return bytes;
    // Only now: joining at each chunk would be quadratic for an event that comes in many.
    return Buffer.concat([...this.#held.take(), bytes]);
  }
}
