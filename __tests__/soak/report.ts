import os from 'node:os';
import type { Ending } from './client.ts';
import type { EndingCounts } from './clients.ts';
import type { Holdings } from './subject.ts';

/** What was held at some moment of the run. */
export interface Sample extends Holdings {
  readonly seconds: number;
  readonly requests: number;
}

/** What was held when nobody asked for anything, after a collection of garbage. */
export interface AtRest extends Holdings {
  /** Of the resources, what was not there before the first request. */
  readonly left: Readonly<Record<string, number>>;
  /** Connections to the upstream that were kept for the next request. */
  readonly kept: number;
  /** In the half minute of load before. */
  readonly residentUnderLoadBytes: number;
}

export interface Result {
  readonly minutes: number;
  readonly requests: number;
  readonly upstreamCalls: number;
  /** 429 of the upstream, by the limit. */
  readonly refused: Readonly<Record<string, number>>;
  /** How often a request was held in the gate, as its window was used up. */
  readonly held: number;
  /** Of the requests that ended with an error or broke, by its code or status. */
  readonly reasons: Readonly<Record<string, number>>;
  readonly byKind: EndingCounts;
  readonly byTrouble: EndingCounts;
  readonly warm: AtRest;
  readonly after: AtRest;
  readonly samples: readonly Sample[];
  /** Whatever contradicts what the proxy promises. */
  readonly faults: readonly string[];
}

const MOST_FAULTS = 50;

const ENDINGS = ['answered', 'refused', 'broken', 'undecodable', 'left'] as const;

/** How requests ended, of all kinds. */
export function totals({ byKind }: Pick<Result, 'byKind'>): Partial<Record<Ending, number>> {
  const all: Partial<Record<Ending, number>> = {};
  for (const counts of Object.values(byKind)) {
    for (const ending of ENDINGS) all[ending] = (all[ending] ?? 0) + (counts[ending] ?? 0);
  }
  return all;
}

const mb = (bytes: number): string => (bytes / 1e6).toFixed(1);

const change = (from: number, to: number): string => `${((to / from - 1) * 100).toFixed(1)} %`;

function row(...cells: readonly (string | number)[]): string {
  return `| ${cells.join(' | ')} |`;
}

function endings(head: string, byName: EndingCounts, last?: Partial<Record<Ending, number>>) {
  const rows = Object.entries(last === undefined ? byName : { ...byName, all: last });
  return [
    row(head, ...ENDINGS),
    row('---', ...ENDINGS.map(() => '---:')),
    ...rows.map(([name, counts]) => row(name, ...ENDINGS.map((each) => counts[each] ?? 0))),
  ];
}

/** The page that tells of a run. */
export function page(result: Result): string {
  const { minutes, requests, upstreamCalls, refused, held } = result;
  const [cpu] = os.cpus();
  const rate = (requests / (60 * minutes)).toFixed(0);
  return [
    '# Endurance',
    '',
    'Made by `npm run soak`: the bundled server in a process of its own, in front of the stand-in,',
    'with clients that leave, stop, dawdle and ask many models with many keys, behind windows that',
    'are too small, while everything goes wrong that the tables tell of. What each client saw, what',
    'the server logged and what the upstream heard is compared request by request.',
    '',
    `${new Date().toISOString().slice(0, 10)}, Node ${process.versions.node}, ${os.cpus().length} × ` +
      `${cpu?.model.trim() ?? 'unknown'}. ${minutes} minutes, ${requests} requests (${rate} a second), ` +
      `${upstreamCalls} upstream calls, of which ${refused['requests'] ?? 0} were refused by a window ` +
      `and ${refused['abuse'] ?? 0} for too many failures; ${held} times one was held for a window.`,
    '',
    '![memory and requests over time](soak.svg)',
    '',
    verdict(result),
    '',
    'How requests ended, to their clients (`broken`: visibly; `undecodable`: cut within its coding,',
    'which a proxy that does not decode passes on):',
    '',
    ...endings('', result.byKind, totals(result)),
    '',
    'The same by what they met:',
    '',
    ...endings('', result.byTrouble),
    '',
    'Why they were refused, or broke (a number: what the upstream answered):',
    '',
    ...reasons(result),
    '',
    'What the server held when nobody asked for anything, after a collection of garbage:',
    '',
    ...holdings(result),
    '',
  ].join('\n');
}

function reasons(result: Result): string[] {
  const sorted = Object.entries(result.reasons).toSorted(([, one], [, other]) => other - one);
  return [row('', 'requests'), row('---', '---:'), ...sorted.map((each) => row(...each))];
}

function told({ left }: AtRest): string {
  const kinds = Object.entries(left).map(([kind, count]) => `${count} ${kind}`);
  return kinds.length === 0 ? 'none' : kinds.join(', ');
}

function holdings({ warm, after, samples }: Result): string[] {
  const peak = (what: 'heapBytes' | 'residentBytes'): string =>
    mb(Math.max(...samples.map((sample) => sample[what])));
  const memory = (name: string, what: 'heapBytes' | 'residentBytes'): string => {
    const [from, to] = [warm[what], after[what]];
    return row(name, mb(from), mb(to), change(from, to), peak(what));
  };
  return [
    row('', 'after warm-up', 'at the end', 'change', 'peak under load'),
    row('---', '---:', '---:', '---:', '---:'),
    memory('heap and what belongs to it, MB', 'heapBytes'),
    memory('resident, MB', 'residentBytes'),
    row(
      'resident under load, median of the half minute before, MB',
      mb(warm.residentUnderLoadBytes),
      mb(after.residentUnderLoadBytes),
      change(warm.residentUnderLoadBytes, after.residentUnderLoadBytes),
      '',
    ),
    row('kept connections to the upstream', warm.kept, after.kept, '', ''),
    row('sockets and timers beside those', told(warm), told(after), '', ''),
  ];
}

function verdict({ faults }: Result): string {
  if (faults.length === 0) {
    return (
      'Every request is accounted for: none lost, none doubled, no answer given to somebody else; ' +
      'what is billed by the call was done once at most.'
    );
  }
  const shown = faults.slice(0, MOST_FAULTS).map((fault) => `- **${fault}**`);
  return [`${faults.length} contradictions:`, '', ...shown].join('\n');
}
