/** What a terminal was written, and how the picture of it is to look. */
export interface Screen {
  readonly title: string;
  /** Text with line ends and SGR escape codes (ECMA-48 §8.3.117); others are not understood. */
  readonly text: string;
  /** Longer lines are broken here, as a terminal breaks them. */
  readonly columns: number;
}

interface Style {
  readonly bold: boolean;
  readonly dim: boolean;
  /** `undefined`: that of the terminal. */
  readonly color: string | undefined;
}

/** Characters of one style that stand together in a row. */
interface Run {
  readonly column: number;
  readonly text: string;
  readonly style: Style;
}

const PLAIN: Style = { bold: false, dim: false, color: undefined };

const FONT_SIZE = 13;
/** As wide as a character is in most monospaced fonts; each run is fitted to it. */
const CHARACTER_WIDTH = 7.8;
const ROW_HEIGHT = 18;
const PADDING = 16;
const BAR_HEIGHT = 34;

/** The sixteen named colours; the others of 256 are computed. */
const NAMED = (
  '#484f58 #ff7b72 #3fb950 #d29922 #58a6ff #bc8cff #39c5cf #b1bac4 ' +
  '#6e7681 #ffa198 #56d364 #e3b341 #79c0ff #d2a8ff #56d4dd #ffffff'
).split(' ');

/**
 * Draws a terminal. The window brings its own background, so that it can be read on a light page
 * and on a dark one.
 */
export function ansiToSvg({ title, text, columns }: Screen): string {
  const rows = rowsOf(text, columns);
  const width = Math.ceil(columns * CHARACTER_WIDTH + 2 * PADDING);
  const height = BAR_HEIGHT + rows.length * ROW_HEIGHT + PADDING;
  const lights = ['#ff5f57', '#febc2e', '#28c840'].map(
    (color, place) => `<circle cx="${20 + 20 * place}" cy="17" r="6" fill="${color}"/>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `<title>${escape(title)}</title>`,
    '<style>',
    `text { font: ${FONT_SIZE}px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; white-space: pre; fill: #e6edf3 }`,
    '.bold { font-weight: 700 } .dim { fill: #8b949e } .title { fill: #8b949e; text-anchor: middle }',
    '</style>',
    `<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="9" fill="#0d1117" stroke="#30363d"/>`,
    ...lights,
    `<text class="title" x="${width / 2}" y="22">${escape(title)}</text>`,
    ...rows.flatMap((runs, row) => runs.map((run) => drawn(run, row))),
    '</svg>',
    '',
  ].join('\n');
}

function drawn({ column, text, style }: Run, row: number): string {
  const x = round(PADDING + column * CHARACTER_WIDTH);
  const y = BAR_HEIGHT + row * ROW_HEIGHT + FONT_SIZE;
  const classes = [style.bold ? 'bold' : '', style.dim ? 'dim' : ''].filter(Boolean).join(' ');
  const attributes = [
    `x="${x}"`,
    `y="${y}"`,
    // Whatever font there is: what stands in one column here stands in one column there.
    `textLength="${round(text.length * CHARACTER_WIDTH)}"`,
    ...(classes === '' ? [] : [`class="${classes}"`]),
    ...(style.color === undefined ? [] : [`style="fill: ${style.color}"`]),
  ];
  return `<text ${attributes.join(' ')}>${escape(text)}</text>`;
}

function rowsOf(text: string, columns: number): readonly (readonly Run[])[] {
  let style = PLAIN;
  const rows: Run[][] = [[]];
  let column = 0;
  // oxlint-disable-next-line no-control-regex -- the escape character is what it is about
  for (const [token] of text.matchAll(/\u001b\[[\d;]*m|\r?\n|[^\u001b\r\n]/g)) {
    const runs = rows.at(-1) ?? [];
    if (token.startsWith('\u001b')) {
      style = styleAfter(style, token.slice(2, -1).split(';').map(Number));
    } else if (token.endsWith('\n')) {
      rows.push([]);
      column = 0;
    } else if (column === columns) {
      rows.push([{ column: 0, text: token, style }]);
      column = 1;
    } else {
      runs.push({ column, text: token, style });
      column += 1;
    }
  }
  return rows.map(joined);
}

/** One run for all neighbours of one style; white space at its ends is not drawn. */
function joined(characters: readonly Run[]): readonly Run[] {
  const runs: Run[] = [];
  for (const next of characters) {
    const last = runs.at(-1);
    if (last !== undefined && last.style === next.style) {
      runs[runs.length - 1] = { ...last, text: last.text + next.text };
    } else {
      runs.push(next);
    }
  }
  return runs.flatMap(({ column, text, style }) => {
    const indent = text.length - text.trimStart().length;
    return text.trim() === '' ? [] : [{ column: column + indent, text: text.trim(), style }];
  });
}

/** Select graphic rendition: what programs use of it. */
function styleAfter(before: Style, codes: readonly number[]): Style {
  const [code = 0, ...rest] = codes;
  let style = before;
  let left = rest;
  if (code === 0) style = PLAIN;
  else if (code === 1) style = { ...before, bold: true };
  else if (code === 2) style = { ...before, dim: true };
  else if (code === 22) style = { ...before, bold: false, dim: false };
  else if (code === 39) style = { ...before, color: undefined };
  else if (code >= 30 && code <= 37) style = { ...before, color: NAMED[code - 30] };
  else if (code >= 90 && code <= 97) style = { ...before, color: NAMED[code - 90 + 8] };
  else if (code === 38 && rest[0] === 5) {
    style = { ...before, color: indexed(rest[1] ?? 0) };
    left = rest.slice(2);
  }
  return left.length === 0 ? style : styleAfter(style, left);
}

/** One of xterm's 256 colours: 16 named ones, a cube of 6 × 6 × 6, 24 greys. */
function indexed(index: number): string {
  const named = NAMED[index];
  if (named !== undefined) return named;
  if (index >= 232) return hex(Array.from({ length: 3 }, () => 8 + 10 * (index - 232)));
  const place = index - 16;
  const steps = [Math.floor(place / 36), Math.floor(place / 6) % 6, place % 6];
  return hex(steps.map((step) => (step === 0 ? 0 : 55 + 40 * step)));
}

function hex(channels: readonly number[]): string {
  return `#${channels.map((channel) => channel.toString(16).padStart(2, '0')).join('')}`;
}

function round(length: number): number {
  return Math.round(length * 10) / 10;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
