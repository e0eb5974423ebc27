import type { Cell, Gets, Kind } from './vocabulary.ts';

/** One expectation for every kind. */
export function all(cell: Cell): Record<Kind, Cell> {
  return { chat: cell, stream: cell, embeddings: cell, upload: cell, billed: cell, get: cell };
}

/** Without the kinds that do not have the phase. */
export function but(
  cells: Partial<Record<Kind, Cell>>,
  ...without: Kind[]
): Partial<Record<Kind, Cell>> {
  const rest = { ...cells };
  for (const kind of without) delete rest[kind];
  return rest;
}

const WHOLE: Gets = { answer: 'whole', status: 200 };
const AGAIN = 'trying again: no answer';

export const ANSWERED: Cell = { gets: WHOLE, attempts: 1, log: [] };

/** The second attempt met no fault. */
export const ANSWERED_AGAIN: Cell = { gets: WHOLE, attempts: 2, log: [AGAIN] };

export const AS_IT_CAME: Cell = { ...ANSWERED, gets: { answer: 'as it came', status: 200 } };

/** The first connection was stale, and that cost neither a wait nor a retry. */
export const REPLACED: Cell = {
  gets: WHOLE,
  attempts: 1,
  arrived: 2,
  log: ['a kept connection was stale, a fresh one takes its place'],
};

/** Nothing has left: everything may be tried again. */
export const UNREACHABLE: Cell = {
  gets: { error: 'upstream_unreachable', status: 502 },
  attempts: 2,
  arrived: 0,
  log: [AGAIN, 'gave up: no retries left'],
};

/** Silence: the upstream may still be at work, nothing is sent again. */
export const TIMED_OUT: Cell = {
  gets: { error: 'upstream_timeout', status: 504 },
  attempts: 1,
  log: ['gave up: the upstream may still be at work on it'],
};

function gone(code: string, log: string): Cell {
  return { gets: { error: code, status: 502 }, attempts: 1, log: [log] };
}

/** No answer, or none that can be read: what may be sent again is. */
export function lost(code: string): Record<Kind, Cell> {
  const again: Cell = {
    gets: { error: code, status: 502 },
    attempts: 2,
    log: [AGAIN, 'gave up: no retries left'],
  };
  return {
    ...all(again),
    upload: gone(code, 'gave up: its body streamed through and is gone'),
    billed: gone(code, 'gave up: it is billed by the call and may have been done'),
  };
}

/** A part has reached the client: it must see that it is one. */
export function broken(code: string): Record<Kind, Cell> {
  const log = [`the answer broke: ${code}`];
  return {
    ...all({ gets: { broken: 'unfinished', code }, attempts: 1, log }),
    stream: { gets: { broken: 'error event', code }, attempts: 1, log },
    // Held whole to be converted: nothing of it has reached the client.
    embeddings: lost(code).embeddings,
  };
}
