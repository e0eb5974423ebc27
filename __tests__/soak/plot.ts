import type { Result, Sample } from './report.ts';

const mb = (bytes: number): string => (bytes / 1e6).toFixed(0);

const WIDTH = 760;
const HEIGHT = 220;
const LEFT = 60;
const PLOT = { width: 640, height: 150, top: 24 };

/** Memory and requests over time, as SVG for light and dark. */
export function plot({ samples }: Result): string {
  const end = Math.max(1, samples.at(-1)?.seconds ?? 1);
  const most = Math.max(...samples.map(({ residentBytes }) => residentBytes)) * 1.1;
  const busiest = Math.max(1, ...ratesOf(samples)) * 1.1;
  const x = (seconds: number): string => (LEFT + (seconds / end) * PLOT.width).toFixed(1);
  const y = (share: number): string => (PLOT.top + PLOT.height * (1 - share)).toFixed(1);
  const line = (kind: string, shares: readonly number[]): string =>
    `<polyline class="${kind}" points="${samples
      .map(({ seconds }, i) => `${x(seconds)},${y(shares[i] ?? 0)}`)
      .join(' ')}"/>`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img">`,
    '<title>Memory of the server and requests a second, over the run</title>',
    STYLE,
    `<rect class="page" width="${WIDTH}" height="${HEIGHT}" rx="8"/>`,
    `<path class="axis" d="M${LEFT} ${PLOT.top}v${PLOT.height}h${PLOT.width}"/>`,
    line(
      'resident',
      samples.map(({ residentBytes }) => residentBytes / most),
    ),
    line(
      'heap',
      samples.map(({ heapBytes }) => heapBytes / most),
    ),
    line(
      'rate',
      ratesOf(samples).map((rate) => rate / busiest),
    ),
    `<text x="8" y="${PLOT.top + 8}">${mb(most)}</text>`,
    `<text x="8" y="${PLOT.top + PLOT.height}">0 MB</text>`,
    `<text x="${LEFT}" y="${HEIGHT - 22}">0 to ${(end / 60).toFixed(1)} min</text>`,
    `<text class="resident" x="${LEFT + 130}" y="${HEIGHT - 22}">resident</text>`,
    `<text class="heap" x="${LEFT + 210}" y="${HEIGHT - 22}">heap</text>`,
    `<text class="rate" x="${LEFT + 270}" y="${HEIGHT - 22}">requests a second (at most ${(busiest / 1.1).toFixed(0)})</text>`,
    '</svg>',
    '',
  ].join('\n');
}

function ratesOf(samples: readonly Sample[]): number[] {
  return samples.map(({ seconds, requests }, i) => {
    const before = samples[i - 1];
    if (before === undefined) return 0;
    return (requests - before.requests) / Math.max(0.1, seconds - before.seconds);
  });
}

const STYLE = `<style>
.page { fill: #ffffff } text { font: 12px system-ui, sans-serif; fill: #59636e }
.axis { stroke: #d1d9e0; fill: none } polyline { fill: none; stroke-width: 1.5 }
polyline.resident { stroke: #1a7f37 } text.resident { fill: #1a7f37 }
polyline.heap { stroke: #0969da } text.heap { fill: #0969da }
polyline.rate { stroke: #9a6700; stroke-opacity: .6 } text.rate { fill: #9a6700 }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117 } text { fill: #9198a1 } .axis { stroke: #3d444d }
polyline.resident { stroke: #3fb950 } text.resident { fill: #3fb950 }
polyline.heap { stroke: #58a6ff } text.heap { fill: #58a6ff }
polyline.rate { stroke: #d29922 } text.rate { fill: #d29922 }
}
</style>`;
