/** Pieces that are shorter are copied together, once there are many. */
const SMALL_BYTES = 1024;
const MANY = 64;
const BLOCK_BYTES = 16 * 1024;

/**
 * Holds a body that comes in pieces. Each piece is a buffer with memory of its own around it: a
 * million of one byte would take hundreds of times what they hold.
 */
export class Pieces {
  #held: Buffer[] = [];
  #bytes = 0;
  #block: Buffer | undefined;
  #used = 0;

  /** All of them together. */
  get bytes(): number {
    return this.#bytes;
  }

  /** In their order; small ones may have become one. */
  get list(): readonly Buffer[] {
    this.#seal();
    return this.#held;
  }

  push(piece: Buffer): void {
    this.#bytes += piece.length;
    if (this.#held.length < MANY || piece.length >= SMALL_BYTES) {
      this.#seal();
      // Most bodies are one piece, and an array that has grown has room for sixteen more.
      if (this.#held.length === 0) this.#held = [piece];
      else this.#held.push(piece);
      return;
    }
    if (this.#block !== undefined && this.#used + piece.length > BLOCK_BYTES) this.#seal();
    this.#block ??= Buffer.allocUnsafe(BLOCK_BYTES);
    this.#used += piece.copy(this.#block, this.#used);
  }

  /** In one. */
  join(): Buffer {
    const { list } = this;
    const [first] = list;
    return list.length === 1 && first !== undefined ? first : Buffer.concat(list, this.#bytes);
  }

  /** Takes them out. */
  take(): readonly Buffer[] {
    const { list } = this;
    this.#held = [];
    this.#bytes = 0;
    return list;
  }

  #seal(): void {
    if (this.#block === undefined || this.#used === 0) return;
    const part = this.#block.subarray(0, this.#used);
    this.#used = 0;
    if (part.length < BLOCK_BYTES / 2) {
      // The block is used again: a new one for each that stands between long ones is too much.
      this.#held.push(Buffer.from(part));
      return;
    }
    this.#held.push(part);
    this.#block = undefined;
  }
}
