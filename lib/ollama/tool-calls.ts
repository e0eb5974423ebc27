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
  readonly #calls: Call[] = [];
  /** The call to which the next piece of an index belongs. */
  readonly #open = new Map<number, Call>();

  /** Takes calls, or the next pieces of them. */
  add(calls: readonly JsonObject[]): void {
    for (const [place, piece] of calls.entries()) {
      const index = numberIn(piece, 'index') ?? place;
      const called = objectIn(piece, 'function');
      const id = textIn(piece, 'id');
      const name = textIn(called, 'name');
      let call = this.#open.get(index);
      // Some servers give all calls one index, or none.
      if (call === undefined || (name !== '' && id !== '' && call.id !== '' && id !== call.id)) {
        call = { id, name, text: '' };
        this.#calls.push(call);
        this.#open.set(index, call);
      }
      call.id ||= id;
      call.name ||= name;
      // Some send what the text would say.
      const given = called['arguments'] ?? '';
      call.text += typeof given === 'string' ? given : JSON.stringify(given);
    }
  }

  /**
   * Those that are whole. `undefined` when one is not: without its arguments, or with others, a
   * tool would do what nobody asked for.
   */
  read(): JsonObject[] | undefined {
    const read: JsonObject[] = [];
    for (const [index, { id, name, text }] of this.#calls.entries()) {
      const given = text.trim() === '' ? {} : parseJson(text);
      if (!isObject(given)) return undefined;
      const called = { index, name, arguments: given };
      read.push({ ...(id === '' ? {} : { id }), function: called });
    }
    return read;
  }
}
