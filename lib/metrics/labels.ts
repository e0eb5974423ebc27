import type { RequestInfo } from '../hooks.ts';
import { OTHER_ROUTE, asksModel } from '../known-routes.ts';

// Whatever a client can write must not make new series without an end: each is kept for ever.

export const OTHER = OTHER_ROUTE;
export const NONE = 'none';

const MOST_MODELS = 200;
const LONGEST_NAME = 100;

/** Names of which the first so many are told, the others are `other`. */
export class BoundedNames {
  readonly #most: number;
  readonly #known = new Set<string>();

  constructor(most: number) {
    this.#most = most;
  }

  add(name: string): void {
    if (this.#known.size < this.#most && name.length <= LONGEST_NAME) this.#known.add(name);
  }

  has(name: string): boolean {
    return this.#known.has(name);
  }
}

/** Only models that have answered are told by name: a client can ask for any. */
export class ModelLabels {
  readonly #names = new BoundedNames(MOST_MODELS);

  /** A request has been served. */
  learn({ model, method, path }: RequestInfo): void {
    if (model === undefined) return;
    const name = withoutFeatures(model);
    if (!this.#names.has(name) && asksModel(method, path)) this.#names.add(name);
  }

  of(model: string | undefined): string {
    if (model === undefined) return NONE;
    const name = withoutFeatures(model);
    return this.#names.has(name) ? name : OTHER;
  }
}

/** `llama-3.3-70b:enable_web_search=on` is the model in front of the colon. */
function withoutFeatures(model: string): string {
  const colon = model.indexOf(':');
  return colon === -1 ? model : model.slice(0, colon);
}

/** A word of a known list, or a status with what stands in front of it; else `other`. */
export function wordLabel(word: string, known: ReadonlySet<string>): string {
  return known.has(word) || /^([a-z]+[ _])?[1-5]\d\d$/.test(word)
    ? word.replaceAll(/[ -]/g, '_')
    : OTHER;
}
