import type { JsonObject } from '../json-value.ts';

/** So long a list of models holds: new ones come about once a week. */
const FRESH_MS = 5 * 60_000;

/** The models that the upstream has, as it told last. */
export class ModelCatalog {
  #models: readonly JsonObject[] | undefined;
  #toldAt = 0;

  /** @param now - by `performance.now()` */
  tell(models: readonly JsonObject[], now: number): void {
    this.#models = models;
    this.#toldAt = now;
  }

  /** `undefined` when nobody has told, or too long ago. */
  at(now: number): readonly JsonObject[] | undefined {
    return now - this.#toldAt < FRESH_MS ? this.#models : undefined;
  }
}
