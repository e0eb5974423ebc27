import { HOLD_REASONS } from '../rate-gate/gate-store.ts';
import type { Ask, Reply, Report, ToldWindow } from '../rate-gate/gate-store.ts';

/** On the wire an outcome is its place in this list, a reason its place in `HOLD_REASONS`: from 0. */
export const OUTCOMES = [
  'served',
  'refused',
  'blocked',
  'failed',
  'gone',
  'unsent',
] as const satisfies readonly Report['outcome'][];

/**
 * The script's arguments: `want`, `budgetWindowMs`, `processId`, then for each report thirteen:
 *
 * | | nothing told |
 * |---|---|
 * | `seq`, `at`, place in `OUTCOMES` | |
 * | `attempt` | 0 |
 * | `backoffMs` | -1 |
 * | `budget` | 0 |
 * | `ageMs` | 0 |
 * | `limit`, `remaining`, `resetMs` of the requests | -1, -1, -1; without a reset alone: `''` |
 * | the same of the tokens | |
 *
 * All are whole numbers but `processId`; times are milliseconds, and `resetMs` may be negative.
 *
 * @param processId - names who asks, so that the script can count the peers
 */
export function encodeAsk(ask: Ask, processId: string): string[] {
  const { want, budgetWindowMs, reports } = ask;
  return [whole(want), whole(budgetWindowMs), processId, ...reports.flatMap(encodeReport)];
}

function encodeReport(report: Report): string[] {
  const { seq, at, outcome, attempt = 0, backoffMs = -1, budget = 0, ageMs = 0 } = report;
  return [
    whole(seq),
    whole(at),
    whole(OUTCOMES.indexOf(outcome)),
    whole(attempt),
    whole(backoffMs),
    whole(budget),
    whole(ageMs),
    ...encodeWindow(report.requests),
    ...encodeWindow(report.tokens),
  ];
}

function encodeWindow(told: ToldWindow | undefined): string[] {
  if (told === undefined) return ['-1', '-1', '-1'];
  const { limit, remaining, resetMs } = told;
  // An upstream may tell any number. None that is negative gets through, which would mean that
  // nothing was told, and none that Lua would read as infinite.
  return [count(limit), count(remaining), isSafe(resetMs) ? whole(resetMs) : ''];
}

function count(value: number): string {
  return isSafe(value) && value > 0 ? String(Math.floor(value)) : '0';
}

function isSafe(value: number | undefined): value is number {
  return value !== undefined && Math.abs(value) <= Number.MAX_SAFE_INTEGER;
}

/** `BigInt`, as a number from 1e21 on and -0 are written in ways of their own. */
function whole(value: number): string {
  return BigInt(Math.round(value)).toString();
}

const FIELDS = [
  'granted',
  'firstSeq',
  'at',
  'askAgainMs',
  'reason',
  'opensMs',
  'perWindow',
  'spanMs',
  'peers',
] as const;

/** The least that is possible, where that is not 0. */
const LEAST: Readonly<Partial<Record<Field, number>>> = { opensMs: -1, peers: 1 };

type Field = (typeof FIELDS)[number];

/**
 * Reads what the script returned: nine whole numbers in the order of `Reply`, `reason` as its place
 * in `HOLD_REASONS`, `opensMs` -1 where it is not known. Some clients hand numbers over as text.
 *
 * @throws Error when it is anything else: another program may own the keys
 */
export function decodeReply(reply: unknown, want: number): Reply {
  if (!Array.isArray(reply) || reply.length !== FIELDS.length) {
    const got = Array.isArray(reply) ? `an array of ${reply.length}` : typeof reply;
    throw new Error(`Expected ${FIELDS.length} numbers from the script in Redis, got ${got}`);
  }
  const values: readonly unknown[] = reply;
  const number = (field: Field, highest = Number.MAX_SAFE_INTEGER): number => {
    const value = values[FIELDS.indexOf(field)];
    const read = typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : value;
    const isFine = typeof read === 'number' && Number.isSafeInteger(read);
    if (isFine && read >= (LEAST[field] ?? 0) && read <= highest) return read;
    throw new Error(`Unexpected \`${field}\` from the script in Redis: ${String(value)}`);
  };
  const opensMs = number('opensMs');
  return {
    granted: number('granted', want),
    firstSeq: number('firstSeq'),
    at: number('at'),
    askAgainMs: number('askAgainMs'),
    reason: HOLD_REASONS[number('reason', HOLD_REASONS.length - 1)] ?? 'none',
    opensMs: opensMs === -1 ? undefined : opensMs,
    perWindow: number('perWindow'),
    spanMs: number('spanMs'),
    peers: number('peers'),
  };
}
