// Plays hours of requests against a simulated Venice, prints what became of them and draws it:
//
//   npm run simulate
//   npm run simulate -- --minutes=600 --seed=7 --out=/tmp/simulation.svg
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { drawPlays } from './simulation-svg.ts';
import { playAll, tableOf } from './simulation.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '180' },
    seed: { type: 'string', default: '1' },
    out: { type: 'string', default: 'docs/simulation.svg' },
  },
});

const startedAt = performance.now();
const plays = playAll(Number(values.minutes), Number(values.seed));
const hours = ((plays.length * Number(values.minutes)) / 60).toFixed(1);
const tookS = ((performance.now() - startedAt) / 1_000).toFixed(1);
console.log(tableOf(plays));
console.log(`\n${hours} hours in ${tookS} s, drawn in ${values.out}`);
await writeFile(values.out, drawPlays(plays));
