import { BETWEEN } from './phase-between.ts';
import { BODY } from './phase-body.ts';
import { CONNECTING } from './phase-connecting.ts';
import { FIRST } from './phase-first.ts';
import { SENDING } from './phase-sending.ts';
import { WAITING } from './phase-waiting.ts';
import type { Cell, Kind, Row } from './vocabulary.ts';
import { KINDS } from './vocabulary.ts';

/** What goes wrong, when, and what comes of it: the tests run it, the page in the docs shows it. */
export const MATRIX: readonly Row[] = [
  ...CONNECTING,
  ...SENDING,
  ...WAITING,
  ...FIRST,
  ...BODY,
  ...BETWEEN,
];

/** `Object.keys` knows no names; these are all. */
export const ALL_KINDS = Object.keys(KINDS) as Kind[];

/** The kinds that a row speaks of, in the order in which they are told. */
export function cellsOf(row: Row): readonly (readonly [Kind, Cell])[] {
  return ALL_KINDS.flatMap((kind) => {
    const cell = row.cells[kind];
    return cell === undefined ? [] : [[kind, cell] as const];
  });
}
