import { setTimeout as sleep } from 'node:timers/promises';
import { runInThisContext } from 'node:vm';
import createDebug from 'debug';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { send } from '../helpers/serve.ts';
import { startFront } from '../helpers/scene.ts';
import { until } from '../helpers/until.ts';
import { wholeAnswer } from './answers.ts';
import { expectAnswer, outcomeOf } from './expect-answer.ts';
import { FaultyUpstream } from './faulty-upstream.ts';
import {
  agentsSeen,
  busyConnections,
  idleConnections,
  listenersOf,
  newResources,
  settled,
  watchAgents,
} from './leftovers.ts';
import { MATRIX, cellsOf } from './matrix.ts';
import { ask, setStage } from './run-cell.ts';
import type { Secrets, Stage } from './run-cell.ts';
import { Told, linesOf, troublesIn } from './told.ts';
import { FAULTS, KINDS, PHASES } from './vocabulary.ts';
import type { Cell, Kind, Row } from './vocabulary.ts';

const told = new Told();
const secrets: Secrets[] = [];
/** What the process says when something was forgotten. */
const alarms: string[] = [];
// The one that the tests see is a copy, on which nothing happens.
const realProcess = runInThisContext('process') as NodeJS.Process;
const onAlarm = (alarm: unknown): void => {
  const text = String(alarm);
  // Of the runner's own modules.
  if (!text.startsWith('ExperimentalWarning')) alarms.push(text);
};
const ALARMS = ['warning', 'unhandledRejection', 'uncaughtExceptionMonitor'];
let stopWatching = (): void => {};

beforeAll(() => {
  told.record();
  stopWatching = watchAgents();
  for (const name of ALARMS) realProcess.on(name, onAlarm);
});

afterAll(() => {
  for (const name of ALARMS) realProcess.off(name, onAlarm);
  stopWatching();
  told.stop();
});

function nextSecrets(): Secrets {
  const number = secrets.length + 1;
  const next = { key: `fault-key-${number}-of-me`, prompt: `fault-prompt-${number}-of-me` };
  secrets.push(next);
  return next;
}

const CELLS = MATRIX.flatMap((row) =>
  cellsOf(row).map(([kind, cell]) => {
    const fault = FAULTS[row.fault] + (row.how === '' ? '' : `, ${row.how}`);
    return { phase: PHASES[row.phase], fault, request: KINDS[kind], row, kind, cell };
  }),
);

test.each(CELLS)('$phase: $fault: $request', async ({ row, kind, cell }) => {
  const processBefore = listenersOf(realProcess);
  agentsSeen();
  newResources();
  const stage = await setStage(row, kind);
  const { front, upstream } = stage;
  const serverBefore = listenersOf(front.server);

  await meetFault(stage, row, kind, cell, Infinity);
  if (cell.attempts > 1 && cell.lingers !== true && 'error' in cell.gets) {
    // Where there is another attempt, one that meets no fault has the answer.
    const healed: Cell = {
      gets: { answer: 'whole', status: 200 },
      attempts: 2,
      ...(cell.arrived === 0 ? { arrived: 1 } : {}),
      log: ['trying again: no answer'],
    };
    await meetFault(stage, row, kind, healed, 1);
  }

  stage.arm(0);
  const plain = await ask(front, 'get', nextSecrets());
  told.note(plain);
  expect([plain.status, plain.text]).toEqual([200, wholeAnswer('get', 200)]);

  upstream.readAgain();
  const agents = agentsSeen();
  const left = () => ({
    inFlight: front.proxy.inFlight,
    busy: busyConnections(agents),
    unaccounted: upstream.openSockets - idleConnections(agents),
    timers: newResources()['Timeout'] ?? 0,
  });
  const nothing = { inFlight: 0, busy: 0, unaccounted: 0, timers: 0 };
  expect(await settled(left, nothing)).toEqual(nothing);
  expect(idleConnections(agents)).toBeLessThanOrEqual(1);
  const listeners = { ...listenersOf(front.server) };
  expect(listeners).toEqual(serverBefore);
  expect(listenersOf(realProcess)).toEqual(processBefore);
  for (const agent of agents) {
    for (const count of Object.values(listenersOf(agent))) expect(count).toBe(1);
  }
  await Promise.all([front.close(), upstream.close()]);
  expect(await settled(newResources, {})).toEqual({});
  for (const event of front.recorder.seen) told.others.push(JSON.stringify(event));
});

/** One request that meets the row's fault so many times, and what comes of it. */
async function meetFault(
  stage: Stage,
  row: Row,
  kind: Kind,
  cell: Cell,
  times: number,
): Promise<void> {
  const { front, upstream } = stage;
  stage.arm(row.strikesBefore === true ? times : 0);
  if (row.phase === 'between') {
    told.note(await ask(front, 'get', nextSecrets()));
    if (row.idle !== undefined) await upstream.whileIdle(row.idle);
    // Until the proxy has noticed.
    await sleep(15);
  }
  stage.arm(row.strikesBefore === true ? 0 : times);
  const callsBefore = upstream.calls;
  const linesBefore = told.lines.length;
  const endedBefore = front.recorder.answers.length;

  const reply = await ask(front, kind, nextSecrets(), row.bodyBytes);

  const event = await front.recorder.ended(endedBefore + 1);
  told.note(reply);
  expectAnswer(reply, cell.gets, kind, row);
  expect(event).toMatchObject({ attempts: cell.attempts, ...outcomeOf(cell.gets) });
  await until(() => upstream.calls >= callsBefore + (cell.arrived ?? cell.attempts)).catch(
    () => {},
  );
  expect(upstream.calls - callsBefore).toBe(cell.arrived ?? cell.attempts);

  const lines = told.lines.slice(linesBefore);
  expect(troublesIn(lines)).toEqual(cell.log);
  const { outcome, status, code } = outcomeOf(cell.gets);
  const [line, ...others] = linesOf(lines, 'request-log');
  expect(others).toEqual([]);
  expect(line).toContain(` status=${status} outcome=${outcome} `);
  expect(line?.includes(' code=')).toBe(code !== undefined);
  const errors = linesOf(lines, 'answer-error');
  expect(errors).toHaveLength('error' in cell.gets ? 1 : 0);
}

describe('the whole run', () => {
  test('left the process without a warning, a rejection or an exception', async () => {
    expect(alarms).toEqual([]);
  });

  test('told nobody a key or a prompt', () => {
    expect(secrets.length).toBeGreaterThan(CELLS.length);
    for (const name of ['forward', 'relay', 'answer-error', 'request-log']) {
      expect([name, linesOf(told.lines, name).length > 0]).toEqual([name, true]);
    }
    expect(told.others.length).toBeGreaterThan(2 * CELLS.length);
    expect(told.leaksOf(secrets.flatMap(({ key, prompt }) => [key, prompt]))).toEqual([]);
  });
});

test('a key or a prompt that is told anywhere is found', async () => {
  const upstream = new FaultyUpstream();
  const front = await startFront({ target: `http://127.0.0.1:${await upstream.listen()}/up` });
  const bytes = 'HTTP/1.1 200 OK\r\nX-Echo: a-key\r\nContent-Length: 8\r\n\r\na-prompt';
  upstream.plan = { steps: [{ send: [{ bytes }] }], framing: 'usual', onlyKept: false, times: 1 };
  const other = new Told();
  other.record();
  other.note(await send(`${front.baseUrl}/models`));
  expect(other.leaksOf(['a-key', 'a-prompt', 'a-word'])).toEqual(['a-key', 'a-prompt']);
  createDebug('venice-proxy:forward')('%s%F', 'said', { cause: 'a-word' });
  expect(other.leaksOf(['a-word', 'a-name'])).toEqual(['a-word']);
  other.stop();
});
