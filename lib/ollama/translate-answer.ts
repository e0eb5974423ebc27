import { doneMembers, nanoseconds, usageIn } from './done.ts';
import type { Timing } from './done.ts';
import { numberIn, objectIn, objectsIn, textIn } from './read-member.ts';
import type { JsonObject } from '../json-value.ts';
import { ToolCalls } from './tool-calls.ts';
import type { AnswerForm } from './translate-request.ts';

/** What of a request its answer depends on. */
export interface Asked {
  readonly form: AnswerForm;
  /** The model's name as the client wrote it. */
  readonly model: string;
  /** In lines, as it comes. */
  readonly isStream: boolean;
  /** The client wants no thoughts; some models have them all the same. */
  readonly hidesThinking: boolean;
}

/**
 * A whole answer of Venice's as Ollama's client reads it; `undefined` when it is none.
 *
 * @param now - when it is complete
 */
export function translateAnswer(
  asked: Asked,
  answer: JsonObject,
  timing: Timing,
  now: Date,
): JsonObject | undefined {
  const { form } = asked;
  if (form === 'embed' || form === 'embeddings') return embeddings(asked, answer, timing);
  const [choice] = objectsIn(answer, 'choices');
  if (choice === undefined) return undefined;
  const said = objectIn(choice, 'message');
  const calls = new ToolCalls();
  calls.add(objectsIn(said, 'tool_calls'));
  const finishReason = textIn(choice, 'finish_reason') || 'stop';
  const toolCalls = calls.read() ?? (finishReason === 'length' ? [] : undefined);
  if (toolCalls === undefined) return undefined;
  return {
    model: asked.model,
    created_at: now.toISOString(),
    ...pieceOf(asked, {
      text: contentIn(said),
      thinking: textIn(said, 'reasoning_content'),
      toolCalls,
    }),
    ...doneMembers(finishReason, usageIn(answer), timing),
  };
}

/** A text, or parts of one: Venice knows both. */
export function contentIn(said: JsonObject): string {
  const text = textIn(said, 'content');
  if (text !== '') return text;
  return objectsIn(said, 'content')
    .map((part) => textIn(part, 'text'))
    .join('');
}

/** What a model says, or a piece of it. */
export interface Piece {
  readonly text: string;
  readonly thinking: string;
  readonly toolCalls: readonly JsonObject[];
}

/** The member in which the client looks for what was said. */
export function pieceOf({ form, hidesThinking }: Asked, piece: Piece): JsonObject {
  const thinking = hidesThinking || piece.thinking === '' ? {} : { thinking: piece.thinking };
  if (form === 'generate') return { response: piece.text, ...thinking };
  const calls = piece.toolCalls.length === 0 ? {} : { tool_calls: piece.toolCalls };
  return { message: { role: 'assistant', content: piece.text, ...thinking, ...calls } };
}

function embeddings(
  { form, model }: Asked,
  answer: JsonObject,
  { waitedMs, totalMs }: Timing,
): JsonObject | undefined {
  const found = objectsIn(answer, 'data').toSorted(
    (one, other) => (numberIn(one, 'index') ?? 0) - (numberIn(other, 'index') ?? 0),
  );
  const vectors = found.map(({ embedding }) => embedding).filter(Array.isArray);
  if (vectors.length === 0 || vectors.length < found.length) return undefined;
  if (form === 'embeddings') return { embedding: vectors[0] };
  return {
    model,
    embeddings: vectors,
    total_duration: nanoseconds(totalMs),
    load_duration: nanoseconds(waitedMs),
    prompt_eval_count: numberIn(usageIn(answer), 'prompt_tokens') ?? 0,
  };
}
