import { percent, seconds } from './simulation.ts';
import type { Play } from './simulation.ts';

const WIDTH = 860;
const ROW = 104;
const TOP = 44;
const LEFT = 268;
const CHART = { width: 276, height: 62 };
const GAP = 22;
/** Of the limit: a slot may hold the beginnings of one window more. */
const HIGHEST_SHARE = 1.2;

/** Draws how much of each limit was used over time, and how many waited: for light and dark. */
export function drawPlays(plays: readonly Play[]): string {
  const height = TOP + plays.length * ROW + 8;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img">`,
    '<title>What the gate makes of a limit, simulated</title>',
    STYLE,
    `<rect class="page" width="${WIDTH}" height="${height}" rx="8"/>`,
    text(LEFT, 28, 'dim', 'of the limit used'),
    text(LEFT + CHART.width + GAP, 28, 'dim', 'requests that wait'),
    ...plays.flatMap((each, index) => row(each, TOP + index * ROW)),
    '</svg>',
    '',
  ].join('\n');
}

const STYLE = `<style>
.page { fill: #ffffff } text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.dim { fill: #59636e; font-size: 11px } .axis { stroke: #d1d9e0 }
.limit { stroke: #59636e; stroke-dasharray: 3 3 }
.used { fill: #2da44e; fill-opacity: .35; stroke: #1a7f37 }
.waiting { fill: #bf8700; fill-opacity: .25; stroke: #9a6700 }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117 } text { fill: #f0f6fc }
.dim { fill: #9198a1 } .axis { stroke: #3d444d } .limit { stroke: #9198a1 }
.used { fill: #3fb950; stroke: #3fb950 } .waiting { fill: #d29922; stroke: #d29922 }
}
</style>`;

function row(play: Play, top: number): string[] {
  const { usedAt, waitingAt } = play;
  const most = Math.max(1, ...waitingAt);
  const right = LEFT + CHART.width + GAP;
  const limitY = round(top + CHART.height * (1 - 1 / HIGHEST_SHARE));
  return [
    text(16, top + 14, '', play.name),
    text(16, top + 32, 'dim', `${play.answered} of ${play.requests} requests answered`),
    text(16, top + 47, 'dim', `${percent(play.used)} of the limit, ${play.refused} refused`),
    text(16, top + 62, 'dim', `waits: ${seconds(play.waitP50)}, 1 of 100 ${seconds(play.waitP99)}`),
    area('used', usedAt, HIGHEST_SHARE, LEFT, top),
    `<path class="limit" d="M${LEFT} ${limitY}h${CHART.width}"/>`,
    area('waiting', waitingAt, most, right, top),
    axis(LEFT, top),
    axis(right, top),
    text(LEFT, top + CHART.height + 14, 'dim', `0 to ${play.minutes} min`),
    text(right, top + CHART.height + 14, 'dim', `at most ${Math.max(0, ...waitingAt)}`),
  ];
}

function axis(left: number, top: number): string {
  return `<path class="axis" d="M${left} ${top + CHART.height}h${CHART.width}"/>`;
}

/** Steps: each value holds for its slot. */
function area(
  name: string,
  values: readonly number[],
  highest: number,
  left: number,
  top: number,
): string {
  const bottom = top + CHART.height;
  const width = CHART.width / values.length;
  const steps = values.map((value) => {
    const y = bottom - CHART.height * Math.min(1, value / highest);
    return `V${round(y)}h${round(width)}`;
  });
  return `<path class="${name}" d="M${left} ${bottom}${steps.join('')}V${bottom}z"/>`;
}

function round(value: number): number {
  return Math.round(100 * value) / 100;
}

function text(x: number, y: number, name: string, content: string): string {
  const attribute = name === '' ? '' : ` class="${name}"`;
  return `<text x="${x}" y="${y}"${attribute}>${content}</text>`;
}
