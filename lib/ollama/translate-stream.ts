import { isObject, parseJson } from '../json-value.ts';
import { readUpstreamError } from '../upstream-error.ts';
import { doneMembers, usageIn } from './done.ts';
import type { Timing } from './done.ts';
import { objectIn, objectsIn, textIn } from './read-member.ts';
import type { JsonObject } from '../json-value.ts';
import { ToolCalls } from './tool-calls.ts';
import { contentIn, pieceOf } from './translate-answer.ts';
import type { Asked, Piece } from './translate-answer.ts';

/** The status for an error whose event does not tell its own. */
const ERROR_STATUS = 500;

/** One line of an answer in lines. */
export function lineOf(value: JsonObject): string {
  return `${JSON.stringify(value)}\n`;
}

/**
 * Makes the lines that Ollama's client reads of the events of Venice's stream. The last one, with
 * `done: true`, is there only when the stream has told that it is complete.
 */
export class StreamTranslation {
  readonly #asked: Asked;
  readonly #timing: () => Timing;
  readonly #calls = new ToolCalls();
  #finishReason = '';
  #usage: JsonObject = {};
  #isDone = false;

  /**
   * @param timing - tells how long things have taken
   */
  constructor(asked: Asked, timing: () => Timing) {
    this.#asked = asked;
    this.#timing = timing;
  }

  /**
   * Takes the data of one event and gives the lines that it makes.
   *
   * @throws SyntaxError when it is none of such a stream, or calls a tool in an unreadable way
   */
  push(data: string): string {
    if (this.#isDone) return '';
    if (data === '[DONE]') return this.#last();
    const event = parseJson(data);
    if (!isObject(event)) throw new SyntaxError('an event that is no JSON object');
    if (Boolean(event['error']) || event['type'] === 'error') return this.#fail(data);
    const usage = usageIn(event);
    if (Object.keys(usage).length > 0) this.#usage = usage;
    const [choice] = objectsIn(event, 'choices');
    if (choice === undefined) return '';
    this.#finishReason = textIn(choice, 'finish_reason') || this.#finishReason;
    const delta = objectIn(choice, 'delta');
    this.#calls.add(objectsIn(delta, 'tool_calls'));
    const text = contentIn(delta);
    const thinking = this.#asked.hidesThinking ? '' : textIn(delta, 'reasoning_content');
    if (text === '' && thinking === '') return '';
    return this.#line({ text, thinking, toolCalls: [] }, { done: false });
  }

  /**
   * The body has ended: gives the last line, where `[DONE]` was missing; `undefined` when the
   * answer is not complete.
   */
  end(): string | undefined {
    if (this.#isDone) return '';
    return this.#finishReason === '' ? undefined : this.#last();
  }

  #last(): string {
    this.#isDone = true;
    const isCut = this.#finishReason === 'length';
    const toolCalls = this.#calls.read() ?? (isCut ? [] : undefined);
    if (toolCalls === undefined) throw new SyntaxError('a tool call without readable arguments');
    const called =
      toolCalls.length === 0
        ? ''
        : this.#line({ text: '', thinking: '', toolCalls }, { done: false });
    const end = doneMembers(this.#finishReason || 'stop', this.#usage, this.#timing());
    return called + this.#line({ text: '', thinking: '', toolCalls: [] }, end);
  }

  #fail(data: string): string {
    this.#isDone = true;
    const { message } = readUpstreamError(ERROR_STATUS, 'application/json', data);
    return lineOf({ error: message });
  }

  #line(piece: Piece, members: JsonObject): string {
    const created_at = new Date().toISOString();
    return lineOf({
      model: this.#asked.model,
      created_at,
      ...pieceOf(this.#asked, piece),
      ...members,
    });
  }
}
