import type { BucketName } from './bucket-name.ts';
import type { Report } from './gate-store.ts';
import type { AnswerReport } from './read-answer.ts';

/** Leave to send one request. What became of it must be told, once. */
export class Grant {
  readonly #name: BucketName;
  readonly #seq: number;
  readonly #at: number;
  #onSettled: ((name: BucketName, report: Report) => void) | undefined;

  /**
   * @param seq - its number in the store
   * @param at - when it was granted, by the store's clock
   */
  constructor(
    name: BucketName,
    seq: number,
    at: number,
    onSettled: (name: BucketName, report: Report) => void,
  ) {
    this.#name = name;
    this.#seq = seq;
    this.#at = at;
    this.#onSettled = onSettled;
  }

  /** Only the first call counts. */
  settle(report: AnswerReport): void {
    const tell = this.#onSettled;
    this.#onSettled = undefined;
    tell?.(this.#name, { seq: this.#seq, at: this.#at, ...report });
  }
}
