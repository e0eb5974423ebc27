import { isKnownCoding } from './decode-body.ts';
import type { ErrorMembers } from './errors.ts';
import { CR } from './event-stream.ts';
import type { RequestContext } from './request-context.ts';
import type { UpstreamAnswer } from './upstream-answer.ts';

/**
 * Makes another body of the answer to one request: an object for each request, in
 * `context.transform` before the attempts begin. What it leaves out stays as it is. Of an answer
 * without a body (HEAD, 204, 304) nothing is asked.
 */
export interface AnswerTransform {
  /** The media type of a stream behind it; `undefined`: still `text/event-stream`. */
  readonly streamType?: string | undefined;

  /**
   * A whole JSON body of status 2xx, decoded; up to 256 MiB are held for it. The very same buffer
   * back: every byte and header stays.
   */
  json?: ((body: Buffer) => Buffer | Promise<Buffer>) | undefined;

  /**
   * One whole event of a stream (a comment is one, too), its blank line included, which only the
   * last one may lack. What comes back is written as it is; it may be empty.
   */
  event?: ((event: Buffer) => Buffer) | undefined;

  /** What is written at the end of a stream, when that is complete. */
  end?: (() => Buffer) | undefined;

  /**
   * What tells an error: the body of an answer with its status, or the last bytes of a stream that
   * broke. `undefined`: OpenAI's shape for ours, and the upstream's own words for its own.
   */
  error?: ((error: ErrorMembers) => Buffer) | undefined;
}

/** A longer event is more than can be held for a transform, in bytes. */
export const LONGEST_EVENT = 16 * 1024 * 1024;

/** Whether the body of this answer is a JSON text to be changed. */
export function changesJson({ transform }: RequestContext, answer: UpstreamAnswer): boolean {
  return transform?.json !== undefined && isSuccess(answer) && answer.isJson;
}

/** Whether the body of this answer is a stream of events to be changed. */
export function changesEvents({ transform }: RequestContext, answer: UpstreamAnswer): boolean {
  if (transform?.event === undefined || !isSuccess(answer) || !answer.isEventStream) return false;
  return isKnownCoding(answer.headers['content-encoding']);
}

function isSuccess({ status }: UpstreamAnswer): boolean {
  return status >= 200 && status < 300;
}

/**
 * What a transform makes of whole events.
 *
 * @param onError - told what it threw: then only what it had made before comes back
 */
export function transformEvents(
  transform: AnswerTransform,
  events: Buffer,
  onError: (error: unknown) => void,
): Buffer {
  const parts = splitEvents(events);
  const changed: Buffer[] = [];
  try {
    for (const event of parts) changed.push(transform.event?.(event) ?? event);
  } catch (error) {
    onError(error);
    return Buffer.concat(changed);
  }
  return changed.every((part, i) => part === parts[i]) ? events : Buffer.concat(changed);
}

const BLANK_LINE = Buffer.from('\n\n');

/** Each event with its blank line; the last one may lack it. */
export function splitEvents(events: Buffer): Buffer[] {
  const ends = events.includes(CR) ? endsInAnyForm(events) : endsBehindLf(events);
  if (ends.at(-1) !== events.length) ends.push(events.length);
  return ends.map((end, i) => events.subarray(ends[i - 1] ?? 0, end));
}

function endsBehindLf(events: Buffer): number[] {
  const ends: number[] = [];
  for (let at = events.indexOf(BLANK_LINE); at !== -1; at = events.indexOf(BLANK_LINE, at)) {
    at += BLANK_LINE.length;
    ends.push(at);
  }
  return ends;
}

function endsInAnyForm(events: Buffer): number[] {
  // latin1: one character for each byte.
  const text = events.toString('latin1');
  return [...text.matchAll(/(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)/g)].map(
    (found) => found.index + found[0].length,
  );
}

/** What the second one makes of what the first one has made. */
export function chainTransforms(first: AnswerTransform, second: AnswerTransform): AnswerTransform {
  const json = async (body: Buffer): Promise<Buffer> => {
    const changed = (await first.json?.(body)) ?? body;
    return second.json?.(changed) ?? changed;
  };
  const event = (bytes: Buffer): Buffer => {
    const changed = first.event?.(bytes) ?? bytes;
    return changed.length === 0 ? changed : (second.event?.(changed) ?? changed);
  };
  return {
    streamType: second.streamType,
    json: (first.json ?? second.json) && json,
    event: (first.event ?? second.event) && event,
    end: second.end?.bind(second),
    error: second.error?.bind(second),
  };
}
