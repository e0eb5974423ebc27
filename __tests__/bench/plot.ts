import { ratios, spreadOf } from './figures.ts';
import type { Growth } from './growth-run.ts';
import type { WorkResult } from './measure-work.ts';
import type { Chapter } from './report.ts';
import { BASE } from './subjects.ts';

const WIDTH = 860;
const BAR = { left: 330, width: 400, height: 12, row: 18 };
/** Bars end here, and tell how long they would be. */
const HIGHEST_RATIO = 3;
const CHART = { width: 216, height: 110, gap: 54, left: 50 };

/** Draws what the report says: cost beside the base, and how it grows; for light and dark. */
export function drawReport(chapters: readonly Chapter[]): string {
  const works: WorkResult[] = [];
  const growths: Growth[] = [];
  for (const { result } of chapters) {
    if (result.kind === 'work') works.push(result.result);
    if (result.kind === 'growth') growths.push(result.growth);
  }
  const lines: string[] = [];
  let top = 32;
  lines.push(
    text(16, top, 'head', 'Processor time for a request, Express + http-proxy-middleware = 1'),
  );
  top += 14;
  for (const work of works) {
    const bars = barsOf(work);
    if (bars.length === 0) continue;
    top += 18;
    lines.push(text(16, top, '', work.work.title));
    for (const bar of bars) {
      top += BAR.row;
      lines.push(...drawBar(bar, top));
    }
  }
  if (growths.length > 0) {
    top += 48;
    lines.push(
      text(
        16,
        top,
        'head',
        'µs a request, as it grows (green: the bundled server, grey: Express + http-proxy-middleware)',
      ),
    );
    top += 18;
    lines.push(...growths.flatMap((growth, index) => drawGrowth(growth, index, top)));
    top += CHART.height + 40;
  }
  const height = top + 20;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img">`,
    '<title>What the proxy costs beside others, and how that grows</title>',
    STYLE,
    `<rect class="page" width="${WIDTH}" height="${height}" rx="8"/>`,
    ...lines,
    '</svg>',
    '',
  ].join('\n');
}

const STYLE = `<style>
.page { fill: #ffffff } text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.head { font-size: 14px; font-weight: 600 } .dim { fill: #59636e; font-size: 11px }
.axis { stroke: #d1d9e0; fill: none } .one { stroke: #59636e; stroke-dasharray: 3 3 }
.other { fill: #8c959f } .ours { fill: #2da44e } .spread { stroke: #1f2328 }
.line { fill: none; stroke-width: 2 } .line.ours { stroke: #2da44e; fill: none }
.line.other { stroke: #8c959f; fill: none }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117 } text { fill: #f0f6fc } .dim { fill: #9198a1 } .axis { stroke: #3d444d }
.one { stroke: #9198a1 } .spread { stroke: #f0f6fc }
}
</style>`;

interface Bar {
  readonly label: string;
  readonly isOurs: boolean;
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

function barsOf({ measured }: WorkResult): Bar[] {
  const base = measured.find(({ subject }) => subject.name === BASE)?.rounds ?? [];
  return measured.flatMap(({ subject, rounds }) => {
    const spread = spreadOf(
      ratios(
        rounds.map(({ cpuUs }) => cpuUs),
        base.map(({ cpuUs }) => cpuUs),
      ),
    );
    if (spread === undefined) return [];
    // Markdown means nothing here.
    const label = subject.title.replaceAll(/[`*]/g, '');
    return [{ label, isOurs: subject.name.startsWith('ours'), ...spread }];
  });
}

function drawBar({ label, isOurs, median, low, high }: Bar, top: number): string[] {
  const y = top - BAR.height + 2;
  const middle = y + BAR.height / 2;
  return [
    `<text class="dim" x="${BAR.left - 8}" y="${top}" text-anchor="end">${escape(label)}</text>`,
    `<rect class="${isOurs ? 'ours' : 'other'}" x="${BAR.left}" y="${y}" width="${barLength(median)}" height="${BAR.height}"/>`,
    `<path class="spread" d="M${BAR.left + barLength(low)} ${middle}H${BAR.left + barLength(high)}"/>`,
    `<path class="one" d="M${BAR.left + barLength(1)} ${y - 2}v${BAR.height + 4}"/>`,
    text(BAR.left + BAR.width + 10, top, 'dim', median.toFixed(2)),
  ];
}

function barLength(ratio: number): number {
  return round((BAR.width * Math.min(ratio, HIGHEST_RATIO)) / HIGHEST_RATIO);
}

function drawGrowth({ title, points, lines }: Growth, index: number, top: number): string[] {
  const left = CHART.left + index * (CHART.width + CHART.gap);
  const most = Math.max(1, ...lines.flatMap(({ costs }) => costs.map(({ high }) => high)));
  const first = Math.log10(points[0] ?? 1);
  const decades = Math.max(1e-9, Math.log10(points.at(-1) ?? 1) - first);
  const x = (point: number): number =>
    round(left + (CHART.width * (Math.log10(point) - first)) / decades);
  const y = (cost: number): number => round(top + CHART.height * (1 - cost / most));
  const bottom = top + CHART.height;
  return [
    `<path class="axis" d="M${left} ${top}V${bottom}h${CHART.width}"/>`,
    text(left, bottom + 30, '', title),
    text(left, bottom + 14, 'dim', (points[0] ?? 0).toLocaleString('en')),
    `<text class="dim" x="${left + CHART.width}" y="${bottom + 14}" text-anchor="end">${(points.at(-1) ?? 0).toLocaleString('en')}</text>`,
    `<text class="dim" x="${left - 6}" y="${top + 9}" text-anchor="end">${most.toFixed(0)}</text>`,
    `<text class="dim" x="${left - 6}" y="${bottom}" text-anchor="end">0</text>`,
    ...lines.map(({ subject, costs }) => {
      const path = costs
        .map(({ median }, at) => `${at === 0 ? 'M' : 'L'}${x(points[at] ?? 1)} ${y(median)}`)
        .join('');
      const kind = subject.name.startsWith('ours') ? 'ours' : 'other';
      return `<path class="line ${kind}" d="${path}"><title>${escape(subject.title.replaceAll(/[`*]/g, ''))}</title></path>`;
    }),
  ];
}

function round(value: number): number {
  return Math.round(100 * value) / 100;
}

function escape(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

function text(x: number, y: number, name: string, content: string): string {
  const attribute = name === '' ? '' : ` class="${name}"`;
  return `<text x="${x}" y="${y}"${attribute}>${escape(content)}</text>`;
}
