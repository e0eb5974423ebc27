import os from 'node:os';
import type { Holdings } from './subject.ts';

/** What was held at some moment of the run. */
export interface Sample extends Holdings {
  readonly seconds: number;
  readonly requests: number;
}

export interface Result {
  readonly minutes: number;
  readonly requests: number;
  readonly endings: Readonly<Record<string, number>>;
  readonly troubles: Readonly<Record<string, number>>;
  readonly upstreamCalls: number;
  readonly warm: Holdings;
  readonly after: Holdings;
  readonly samples: readonly Sample[];
  readonly faults: readonly string[];
}

const mb = (bytes: number): string => (bytes / 1e6).toFixed(1);

function change(from: number, to: number): string {
  return `${((to / from - 1) * 100).toFixed(1)} %`;
}

function rows(record: Readonly<Record<string, number>>): string[] {
  return Object.entries(record).map(([name, count]) => `| ${name} | ${count} |`);
}

/** The page that tells of a run. */
export function page(result: Result): string {
  const { minutes, requests, endings, troubles, upstreamCalls, warm, after, samples } = result;
  const peak = Math.max(...samples.map(({ residentBytes }) => residentBytes));
  const [cpu] = os.cpus();
  return [
    '# Endurance',
    '',
    'Made by `npm run soak`: the bundled server in a process of its own, in front of the stand-in,',
    'with clients that leave, read slowly and ask many models with many keys, behind windows that',
    'are too small, while everything goes wrong that the table tells of.',
    '',
    `${new Date().toISOString().slice(0, 10)}, Node ${process.versions.node}, ${os.cpus().length} × ` +
      `${cpu?.model.trim() ?? 'unknown'}; ${minutes} minutes, ${requests} requests ` +
      `(${(requests / minutes / 60).toFixed(0)} a second), ` +
      `${upstreamCalls} upstream calls.`,
    '',
    '![memory and requests over time](soak.svg)',
    '',
    '| how requests ended, to their clients | count |',
    '| --- | --- |',
    ...rows(endings),
    '',
    '| what they met | count |',
    '| --- | --- |',
    ...rows(troubles),
    '',
    '| held by the server | after warm-up | at the end | change |',
    '| --- | --- | --- | --- |',
    `| heap at rest, after a collection of garbage, MB | ${mb(warm.heapBytes)} | ${mb(after.heapBytes)} | ${change(warm.heapBytes, after.heapBytes)} |`,
    `| resident under load, median of half a minute, MB (peak ${mb(peak)}) | ${mb(warm.residentBytes)} | ${mb(after.residentBytes)} | ${change(warm.residentBytes, after.residentBytes)} |`,
    `| sockets at rest, kept ones that nobody uses aside | ${warm.sockets} | ${after.sockets} | |`,
    `| timers at rest | ${warm.timers} | ${after.timers} | |`,
    '',
    result.faults.length === 0
      ? 'Every request is accounted for: none lost, none doubled, no answer given to somebody else; ' +
        'what is billed by the call was done once at most.'
      : result.faults.map((fault) => `- **${fault}**`).join('\n'),
    '',
  ].join('\n');
}

const WIDTH = 760;
const HEIGHT = 220;
const LEFT = 60;
const PLOT = { width: 640, height: 150, top: 24 };

/** The same over time, for light and dark. */
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
