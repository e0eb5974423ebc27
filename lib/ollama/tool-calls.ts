import { isObject, parseJson } from '../json-value.ts';
import { numberIn, objectIn, textIn } from './read-member.ts';
import type { JsonObject } from '../json-value.ts';

/** A call as it comes, in pieces where it comes in a stream. */
interface Call {
  id: string;
  name: string;
  text: string;
}

/** Collects the calls of tools in an answer; their arguments are objects for Ollama's clients. */
export class ToolCalls {
  readonly #calls = new Map<number, Call>();

  /** Takes calls, or the next pieces of them. */
  add(calls: readonly JsonObject[]): void {
    for (const [place, piece] of calls.entries()) {
      const index = numberIn(piece, 'index') ?? place;
      const called = objectIn(piece, 'function');
      const call = this.#calls.get(index) ?? { id: '', name: '', text: '' };
      if (call.id === '') call.id = textIn(piece, 'id');
      if (call.name === '') call.name = textIn(called, 'name');
      call.text += textIn(called, 'arguments');
      this.#calls.set(index, call);
    }
  }

  /**
   * Those that are whole. `undefined` when one is not: without its arguments, or with others, a
   * tool would do what nobody asked for.
   */
  read(): JsonObject[] | undefined {
    const read: JsonObject[] = [];
    for (const [index, { id, name, text }] of this.#calls) {
      const given = text.trim() === '' ? {} : parseJson(text);
      if (!isObject(given)) return undefined;
      const called = { index, name, arguments: given };
      read.push({ ...(id === '' ? {} : { id }), function: called });
    }
    return read;
  }
}
