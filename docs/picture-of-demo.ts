// Runs the demo in a terminal of its own and draws what is to be seen there:
//
//   npm run docs:demo
//
// It needs a Node that runs TypeScript (22.18 or later) and `script` of util-linux, as the demo
// has colours on a terminal only.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { ansiToSvg } from './ansi-to-svg.ts';

const COLUMNS = 100;
const COMMAND = 'npx venice-proxy --demo';
/** What comes then is for who has started it; the show is over. */
const LAST_PART = 'Now it is yours';
const CTRL_C = '\u0003';
const PATIENCE_MS = 60_000;

const root = path.resolve(import.meta.dirname, '..');

const shown = await runDemo();
const text = `\u001b[32m$\u001b[0m ${COMMAND}\n${shown.trimEnd()}`;
await writeFile(
  path.join(root, 'docs/demo.svg'),
  ansiToSvg({ title: 'venice-proxy --demo', text, columns: COLUMNS }),
);

/** The output of the demo, up to the part in which it waits for requests. */
async function runDemo(): Promise<string> {
  const program = `stty cols ${COLUMNS}; exec node dist/examples/server/main.js --demo`;
  const terminal = spawn('/usr/bin/script', ['-qefc', program, '/dev/null'], {
    cwd: root,
    env: { PATH: process.env['PATH'], TERM: 'xterm-256color' },
    stdio: ['pipe', 'pipe', 'inherit'],
    timeout: PATIENCE_MS,
  });
  let output = '';
  terminal.stdout.setEncoding('utf8').on('data', (piece: string) => {
    const before = output;
    output += piece;
    if (output.includes(LAST_PART) && !before.includes(LAST_PART)) terminal.stdin.write(CTRL_C);
  });
  const [code] = await once(terminal, 'close');
  const end = output.indexOf(LAST_PART);
  if (code !== 0 || end < 0) throw new Error(`The demo ended with ${code}:\n${output}`);
  return output.slice(0, end);
}
