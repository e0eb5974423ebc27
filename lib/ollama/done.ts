import { numberIn, objectIn } from './read-member.ts';
import type { JsonObject } from '../json-value.ts';

/** When what happened, in milliseconds from the request on. */
export interface Timing {
  /** Until something began to work on it: held back, or between attempts. */
  readonly waitedMs: number;
  /** The first token; `undefined` where all came at once. */
  readonly firstTokenMs: number | undefined;
  readonly totalMs: number;
}

/** What stands at the end of an answer. Durations are nanoseconds. */
export function doneMembers(
  finishReason: string,
  usage: JsonObject,
  { waitedMs, firstTokenMs = waitedMs, totalMs }: Timing,
): JsonObject {
  return {
    done: true,
    // A call of a tool is no reason of its own in Ollama.
    done_reason: finishReason === 'tool_calls' ? 'stop' : finishReason,
    total_duration: nanoseconds(totalMs),
    load_duration: nanoseconds(waitedMs),
    prompt_eval_count: numberIn(usage, 'prompt_tokens') ?? 0,
    prompt_eval_duration: nanoseconds(firstTokenMs - waitedMs),
    eval_count: numberIn(usage, 'completion_tokens') ?? 0,
    eval_duration: nanoseconds(totalMs - firstTokenMs),
  };
}

/** The `usage` of an answer or of a stream's last event. */
export function usageIn(answer: JsonObject): JsonObject {
  return objectIn(answer, 'usage');
}

export function nanoseconds(ms: number): number {
  return Math.max(0, Math.round(ms * 1_000_000));
}
