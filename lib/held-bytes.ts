import type { JsonPart } from './json-members.ts';

/** A longer body is put together anew for each look: nobody keeps so much memory for later. */
const LONGEST_DESK_BYTES = 4 * 1024 * 1024;

/** Where bodies in pieces are laid out to be read; grows with them, and is used again. */
let desk = Buffer.alloc(0);
let isDeskTaken = false;

/**
 * A body that is held whole, in the pieces in which it came: as one, a megabyte would cost new
 * memory, which the system has to clear and the garbage collector to take back.
 */
export class HeldBytes {
  readonly pieces: readonly Buffer[];
  readonly length: number;

  constructor(pieces: readonly Buffer[]) {
    this.pieces = pieces;
    this.length = pieces.reduce((sum, { length }) => sum + length, 0);
  }

  /** In one. */
  joined(): Buffer {
    const [first] = this.pieces;
    return this.pieces.length === 1 && first !== undefined ? first : Buffer.concat(this.pieces);
  }

  /**
   * Shows them in one.
   *
   * @param see - must keep nothing of the buffer: the next look writes over it
   */
  look<Seen>(see: (bytes: Buffer) => Seen): Seen {
    const needsDesk = this.pieces.length > 1 && this.length <= LONGEST_DESK_BYTES;
    if (!needsDesk || isDeskTaken) return see(this.joined());
    // Twice as much each time: the next body is a little longer than this one.
    if (desk.length < this.length) desk = Buffer.allocUnsafeSlow(2 * this.length);
    isDeskTaken = true;
    try {
      let at = 0;
      for (const piece of this.pieces) at += piece.copy(desk, at);
      return see(desk.subarray(0, at));
    } finally {
      isDeskTaken = false;
    }
  }

  /**
   * What an edit makes of them; the very same where it changes nothing.
   *
   * @param parts - what stays is in its old order
   */
  edited(parts: readonly JsonPart[] | undefined): HeldBytes {
    if (parts === undefined) return this;
    const found: Buffer[] = [];
    // Once through the pieces, not once for each part: there may be thousands of both.
    let place = 0;
    let at = 0;
    for (const part of parts) {
      if (Buffer.isBuffer(part)) {
        found.push(part);
        continue;
      }
      const [start, end] = part;
      for (let piece = this.pieces[place]; piece !== undefined; piece = this.pieces[place]) {
        const from = Math.max(0, start - at);
        const to = Math.min(piece.length, end - at);
        if (from < to) found.push(piece.subarray(from, to));
        if (at + piece.length >= end) break;
        at += piece.length;
        place += 1;
      }
    }
    return new HeldBytes(found);
  }
}
