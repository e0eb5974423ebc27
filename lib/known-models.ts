import { distance } from 'fastest-levenshtein';
import { chainTransforms } from './answer-transform.ts';
import type { AnswerTransform } from './answer-transform.ts';
import { isObject, parseJson } from './json-value.ts';
import type { RequestContext } from './request-context.ts';

/** Names that may stand in a header, and that hold no prompt. */
const PLAIN_NAME = /^[\w.-]{1,64}$/;
/** More than anybody has. */
const MOST_NAMES = 2_000;
const MOST_NEAREST = 3;

/** The models that somebody has spoken of: the operator, and the lists that have passed by. */
export class KnownModels {
  readonly #names = new Set<string>();

  constructor(names: Iterable<string>) {
    for (const name of names) this.#add(name);
  }

  /** Those whose names are like this one, the nearest first. */
  nearest(model: string): readonly string[] {
    const [wanted = ''] = model.toLowerCase().slice(0, 200).split(':');
    const farthest = Math.max(2, Math.floor(wanted.length / 3));
    return [...this.#names]
      .map((name) => ({ name, far: distance(wanted, name.toLowerCase()) }))
      .filter(({ far }) => far <= farthest)
      .toSorted((a, b) => a.far - b.far)
      .slice(0, MOST_NEAREST)
      .map(({ name }) => name);
  }

  /** Reads the list of models that this request brings; its client gets it as it is. */
  listenTo(context: RequestContext): void {
    const { transform } = context;
    context.transform =
      transform === undefined ? this.#listener : chainTransforms(this.#listener, transform);
  }

  readonly #listener: AnswerTransform = {
    json: (body) => {
      const list = parseJson(body.toString());
      const models: unknown = isObject(list) ? list['data'] : undefined;
      for (const model of Array.isArray(models) ? models : []) {
        if (isObject(model) && typeof model['id'] === 'string') this.#add(model['id']);
      }
      return body;
    },
  };

  #add(name: string): void {
    if (PLAIN_NAME.test(name) && this.#names.size < MOST_NAMES) this.#names.add(name);
  }
}
