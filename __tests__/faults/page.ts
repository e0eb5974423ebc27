import { MEANINGLESS } from './combinations.ts';
import { ALL_KINDS, MATRIX, cellsOf } from './matrix.ts';
import { FAULTS, KINDS, PHASES } from './vocabulary.ts';
import type { Cell, FaultName, Gets, Kind, Phase, Row } from './vocabulary.ts';

const INTRODUCTION = `# What goes wrong, and what comes of it

Every phase of a request, every fault that can strike in it, every kind of request. The tables are
made from the data that the tests run (\`__tests__/faults\`), over real sockets, with one retry
(\`retries: 1\`); the fault strikes every attempt. Where that makes two attempts, the tests also let
it strike the first one only: then the second one brings the whole answer, and the log has nothing
but \`trying again\` (but for embeddings whose answer has a rest that comes late: it strikes the
second attempt, too).

After each cell nothing is left: no request in flight, no socket but kept ones that nobody uses, no
timer, no listener; the next request of the same proxy is answered. Keys and prompts stand in no line
of the log, no header, no error and no event of a hook.

- **Requests**: chat, also streamed; embeddings whose floats become base64; an upload (multipart,
  streamed through, of which a part is gone once it was sent); a POST that is billed by the call
  (\`/image/generate\`; like uploads it goes out on connections of its own); GET. Those with the same
  outcome share a row.
- **The client gets**: the upstream's answer, _whole_; or _as it came_, where HTTP counts it as
  whole; an error of the proxy's own, by status and code; or a part of the answer that shows by
  itself that it is none: _unfinished_, without its last byte or chunk, or, of events, with the error
  event as its last one, and the connection destroyed.
- **Attempts**: how many were made, and how many of them arrived upstream as requests, where these
  are not the same.
- **Log**: messages with their reason or code, in \`venice-proxy:forward\` and \`venice-proxy:relay\`.
  A line of \`venice-proxy:request-log\` tells each outcome.
`;

/** The matrix as Markdown, formatted as all files are. */
export function faultPage(): string {
  const phases = Object.keys(PHASES) as Phase[];
  return [INTRODUCTION, ...phases.map(sectionOf)].join('\n');
}

function sectionOf(phase: Phase): string {
  const rows = MATRIX.filter((row) => row.phase === phase).flatMap(linesOfRow);
  const header = ['fault', 'request', 'the client gets', 'attempts', 'log'];
  const title = PHASES[phase].replace(/^./, (first) => first.toUpperCase());
  return `## ${title}\n\n${table([header, ...rows])}\n\n${withoutMeaning(phase)}\n`;
}

/** One line for all kinds that have the same outcome. */
function linesOfRow(row: Row): string[][] {
  const groups = new Map<string, { readonly cell: Cell; readonly kinds: Kind[] }>();
  for (const [kind, cell] of cellsOf(row)) {
    const outcome = JSON.stringify([cell.gets, cell.attempts, cell.arrived, cell.log]);
    const group = groups.get(outcome) ?? { cell, kinds: [] };
    group.kinds.push(kind);
    groups.set(outcome, group);
  }
  const name = FAULTS[row.fault] + (row.how === '' ? '' : `: ${row.how}`);
  return [...groups.values()].map(({ cell, kinds }, place) => [
    place === 0 ? name : '',
    namesOf(kinds),
    shownGets(cell.gets),
    shownAttempts(cell),
    cell.log.join('; '),
  ]);
}

function namesOf(kinds: readonly Kind[]): string {
  if (kinds.length === ALL_KINDS.length) return 'all';
  return kinds.map((kind) => SHORT_NAMES[kind]).join(', ');
}

const SHORT_NAMES: Readonly<Record<Kind, string>> = {
  ...KINDS,
  stream: 'streamed chat',
  embeddings: 'embeddings',
};

function shownGets(gets: Gets): string {
  if ('error' in gets) return `${gets.status} \`${gets.error}\``;
  if ('answer' in gets) return `${gets.status}, ${gets.answer}`;
  return gets.broken === 'unfinished'
    ? '200, unfinished'
    : `200, then the error event \`${gets.code}\``;
}

function shownAttempts({ attempts, arrived }: Cell): string {
  return arrived === undefined ? String(attempts) : `${attempts} (${arrived} arrived)`;
}

function withoutMeaning(phase: Phase): string {
  const byReason = new Map<string, string[]>();
  for (const [fault, reason] of Object.entries(MEANINGLESS[phase])) {
    const names = byReason.get(reason) ?? [];
    names.push(FAULTS[fault as FaultName]);
    byReason.set(reason, names);
  }
  const parts = [...byReason].map(([reason, names]) => `${names.join(', ')} (${reason})`);
  return wrapped(`Without a meaning here: ${parts.join('; ')}.`);
}

/** Columns as wide as their widest cell. */
function table([header = [], ...rows]: readonly string[][]): string {
  const widths = header.map((name, column) =>
    Math.max(3, name.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  return [line(header), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join(
    '\n',
  );
}

function wrapped(text: string): string {
  let width = 0;
  return text
    .split(' ')
    .map((word, place) => {
      const goesOn = width + 1 + word.length <= 98;
      width = place === 0 || !goesOn ? word.length : width + 1 + word.length;
      if (place === 0) return word;
      return goesOn ? ` ${word}` : `\n${word}`;
    })
    .join('');
}
