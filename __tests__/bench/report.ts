import type { ColdStart } from './cold-start.ts';
import { ratios, spreadOf } from './figures.ts';
import type { Percentiles, Spread } from './figures.ts';
import type { Growth } from './growth-run.ts';
import type { Held, HeldRound } from './held-run.ts';
import type { LoadResult } from './load.ts';
import type { Measured, Round, WorkResult } from './measure-work.ts';
import type { SectionResult } from './sections.ts';
import { BASE, isVariant } from './subjects.ts';

/** A section that was measured. */
export interface Chapter {
  readonly title: string;
  readonly result: SectionResult;
}

/** The whole report, as Markdown. */
export function reportOf(chapters: readonly Chapter[], machine: readonly string[]): string {
  return [
    '# What it costs',
    '',
    '![Processor time beside Express with http-proxy-middleware](benchmark.svg)',
    '',
    'Written by `npm run bench`. Upstream, subject and load generator are processes of their own;',
    'the subjects take turns, round by round, each round in new processes and after a warm-up, and',
    'have proved before that they return the right bytes. Figures are medians (lowest…highest of the',
    'rounds); `×` is the ratio to Express 5 with http-proxy-middleware in the same round, `of ours`',
    'that to the bundled server with everything on; `+` is what',
    'comes on top of the same request without a subject, at a moderate fixed rate. Processor time is',
    'user and system time of the whole process, and of all its threads.',
    '',
    ...machine.map((line) => `- ${line}`),
    ...chapters.flatMap((chapter) => ['', `## ${chapter.title}`, '', tableOf(chapter)]),
    '',
  ].join('\n');
}

/** The table of a chapter, as Markdown. */
export function tableOf({ result }: Chapter): string {
  if (result.kind === 'work') return workTable(result.result);
  if (result.kind === 'held') return heldTable(result.held, result.what);
  if (result.kind === 'cold-start') return startTable(result.starts);
  return growthTable(result.growth);
}

/** A column: what it is called, and its cell for one subject. */
interface Column {
  readonly title: string;
  readonly cell: (measured: Measured, result: WorkResult) => string;
}

const WORK_COLUMNS: readonly Column[] = [
  { title: 'subject', cell: ({ subject, proof }) => `${subject.title}${note(proof.kind)}` },
  { title: 'CPU µs/request', cell: ({ rounds }) => shown(rounds.map(cpuOf)) },
  { title: '×', cell: (measured, result) => shownRatio(measured, result, cpuOf) },
  { title: 'of ours', cell: ofOurs },
  { title: 'requests/s', cell: ({ rounds }) => shown(rounds.map(perSecond)) },
  { title: '×', cell: (measured, result) => shownRatio(measured, result, perSecond) },
  { title: 'p99 ms, saturated', cell: ({ rounds }) => shown(rounds.map(saturatedP99)) },
  { title: '×', cell: (measured, result) => shownRatio(measured, result, saturatedP99) },
  { title: '+p50 ms', cell: added('latency', 'p50') },
  { title: '+p99 ms', cell: added('latency', 'p99') },
  { title: '+first byte p50 ms', cell: added('firstByte', 'p50') },
  { title: '+first byte p99 ms', cell: added('firstByte', 'p99') },
  { title: '+chunk p50 ms', cell: added('chunk', 'p50') },
  { title: '+chunk p99 ms', cell: added('chunk', 'p99') },
  { title: 'resident MB', cell: ({ rounds }) => shown(rounds.map(residentOf)) },
  { title: 'peak MB', cell: ({ rounds }) => number(Math.max(...rounds.map(peakOf))) },
];

function cpuOf(round: { readonly cpuUs: number }): number {
  return round.cpuUs;
}

function residentOf({ memory }: Round): number {
  return memory.resident / 1e6;
}

function peakOf({ memory }: Round): number {
  return memory.peak / 1e6;
}

/** What is left of the server's cost without one of its features. */
function ofOurs(measured: Measured, result: WorkResult): string {
  return isVariant(measured.subject) ? shownRatio(measured, result, cpuOf, 'ours') : '';
}

function perSecond({ saturated: { requests, elapsedMs } }: Round): number {
  return (1_000 * requests) / elapsedMs;
}

function saturatedP99(round: Round): number | undefined {
  return round.saturated.latency.p99;
}

function note(kind: Measured['proof']['kind']): string {
  if (kind === 'carried') return ' (only relays it)';
  return kind === 'respelt' ? ' (sends other bytes upstream, the same as JSON)' : '';
}

function workTable(result: WorkResult): string {
  const hasEvents = result.direct.some(({ chunk }) => chunk.count > 0);
  const hasVariants = result.measured.some(({ subject }) => isVariant(subject));
  const columns = WORK_COLUMNS.filter(
    ({ title }) =>
      (hasEvents || !title.startsWith('+chunk')) && (hasVariants || title !== 'of ours'),
  );
  const rows = result.measured.map((measured) => {
    const { proof, subject } = measured;
    if (proof.kind === 'cannot') return [subject.title, `– ${proof.reason}`];
    if (measured.rounds.length === 0) return [subject.title, '– only relays it'];
    return columns.map(({ cell }) => cell(measured, result));
  });
  return markdown(
    columns.map(({ title }) => title),
    rows,
  );
}

function usedEach({ usedEach: bytes }: HeldRound): number {
  return bytes / 1_000;
}

function heldTable(held: readonly Held[], what: 'streams' | 'crowd'): string {
  const isCrowd = what === 'crowd';
  const base = held.find(({ subject }) => subject.name === BASE)?.rounds ?? [];
  const rows = held.map(({ subject, rounds, residentEach, reason }) => {
    if (reason !== undefined) return [subject.title, `– ${reason}`];
    return [
      subject.title,
      shown(rounds.map(cpuOf)),
      ...(isCrowd ? [] : [ratioCell(rounds.map(cpuOf), base.map(cpuOf))]),
      shown(rounds.map(usedEach)),
      number(residentEach / 1_000),
      shown(rounds.map(({ timersEach }) => timersEach)),
      ...(isCrowd ? [shown(rounds.map(({ releasedWithinMs }) => releasedWithinMs))] : []),
    ];
  });
  const titles = [
    'subject',
    isCrowd ? 'CPU µs to let one go' : 'CPU µs/event',
    ...(isCrowd ? [] : ['×']),
    'kB in use for each',
    'kB resident for each',
    'timers for each',
    ...(isCrowd ? ['all released within ms'] : []),
  ];
  return markdown(titles, rows);
}

function growthTable({ points, title, lines }: Growth): string {
  const rows = lines.map(({ subject, costs }) => [
    subject.title,
    ...costs.map((cost) => `${show(cost, number)} µs`),
  ]);
  return markdown([title, ...points.map((point) => point.toLocaleString('en'))], rows);
}

function startTable(starts: readonly ColdStart[]): string {
  const base = starts[0]?.rounds ?? [];
  const rows = starts.map(({ title, rounds }) => [title, shown(rounds), ratioCell(rounds, base)]);
  return markdown(['program', 'ms', '×'], rows);
}

function markdown(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${titles.map((_, index) => cells[index] ?? '').join(' | ')} |`;
  return [line(titles), line(titles.map(() => '---')), ...rows.map(line)].join('\n');
}

type Values = readonly (number | undefined)[];

function shownRatio(
  { rounds }: Measured,
  { measured }: WorkResult,
  figure: (round: Round) => number | undefined,
  other = BASE,
): string {
  const base = measured.find(({ subject }) => subject.name === other)?.rounds ?? [];
  return ratioCell(rounds.map(figure), base.map(figure));
}

function ratioCell(values: Values, bases: Values): string {
  return show(spreadOf(ratios(values, bases)), (value) => value.toFixed(2));
}

/** Beyond the same request without a subject, in the same round. */
function added(which: 'latency' | 'firstByte' | 'chunk', share: 'p50' | 'p99'): Column['cell'] {
  return ({ rounds }, { direct }) =>
    show(
      spreadOf(
        rounds.map(({ paced }, round) => difference(paced[which], direct[round]?.[which], share)),
      ),
      (value) => value.toFixed(2),
    );
}

function difference(
  through: Percentiles,
  direct: LoadResult['latency'] | undefined,
  share: 'p50' | 'p99',
): number | undefined {
  const [value, base] = [through[share], direct?.[share]];
  return value === undefined || base === undefined ? undefined : value - base;
}

function shown(values: Values): string {
  return show(spreadOf(values), number);
}

function show(spread: Spread | undefined, form: (value: number) => string): string {
  if (spread === undefined) return '–';
  const { median, low, high } = spread;
  if (form(low) === form(high)) return form(median);
  return `${form(median)} (${form(low)}…${form(high)})`;
}

function number(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value.toFixed(value >= 10 ? 1 : 2);
}
