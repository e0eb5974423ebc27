import { Counter } from 'prom-client';
import type { Registry } from 'prom-client';
import { RETRY_REASONS } from '../backoff.ts';
import { PROXY_ERRORS } from '../errors.ts';
import type {
  AnswerEvent,
  AttemptEndEvent,
  Outcome,
  ProxyHooks,
  RequestInfo,
  UsageEvent,
} from '../hooks.ts';

import { Batch } from './batch.ts';
import { knownRoute } from '../known-routes.ts';
import { HOLD_REASONS } from '../rate-gate/gate-store.ts';
import { BoundedNames, NONE, OTHER, wordLabel } from './labels.ts';
import type { ModelLabels } from './labels.ts';
import { Table } from './table.ts';
import { TalliedCounter, TalliedHistogram } from './tallies.ts';
import type { MetricConfig } from './tallies.ts';

const MOST_PARAMETERS = 50;

/** Models think for seconds, streams go on for minutes. */
const SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];

const RETRY_WORDS: ReadonlySet<string> = new Set(RETRY_REASONS);
const HOLD_WORDS: ReadonlySet<string> = new Set(HOLD_REASONS);
const ERROR_CODES: ReadonlySet<string> = new Set(Object.keys(PROXY_ERRORS));

type MakeConfig = (name: string, help: string, ...labelNames: string[]) => MetricConfig;

/** Hooks that count what happens. */
export function countEvents(register: Registry, prefix: string, models: ModelLabels): ProxyHooks {
  const registers = [register];
  const config: MakeConfig = (name, help, ...labelNames) => ({
    name: prefix + name,
    help,
    labelNames,
    registers,
    collect: settle,
  });
  const attempts = new TalliedCounter(
    config('attempts_total', 'Upstream calls, by how they ended.', 'model', 'result'),
  );
  const retries = new Counter(
    config('retries_total', 'Attempts made again, by reason.', 'model', 'reason'),
  );
  const holds = new Counter(config('holds_total', 'Requests held in the gate.', 'model', 'reason'));
  const dropped = new TalliedCounter(
    config('dropped_parameters_total', 'Parameters that were cut out.', 'parameter'),
  );
  const drops = new Table((parameter: string) => dropped.series({ parameter }));
  const tokens = new TalliedCounter(
    config('tokens_total', 'Tokens, as answers tell them.', 'model', 'direction'),
  );
  const breaks = new Counter(
    config('stream_breaks_total', 'Answers that broke off.', 'model', 'code'),
  );
  const errors = new Counter(config('errors_total', "Errors of the proxy's own.", 'code'));
  const answers = answerTallies(config);
  const rows = new Table((model: string) => ({
    attempts: new Table((result: number | string) =>
      attempts.series({ model, result: String(result) }),
    ),
    input: tokens.series({ model, direction: 'input' }),
    output: tokens.series({ model, direction: 'output' }),
    answers: answers(model),
  }));
  const parameters = new BoundedNames(MOST_PARAMETERS);
  type Row = ReturnType<(typeof rows)['at']>;
  let last: { readonly model: string; readonly row: Row } | undefined;

  function rowOf(request: RequestInfo, isServed: boolean): Row {
    const { model } = request;
    // Most requests are for the model of the one before.
    if (last !== undefined && last.model === model) return last.row;
    if (isServed) models.learn(request);
    const label = models.of(model);
    const row = rows.at(label);
    if (model === label) last = { model, row };
    return row;
  }

  // By the first two models are learnt, under whose names the third counts.
  const attemptEnds = new Batch(({ request, status, failure }: AttemptEndEvent) => {
    const { attempts: results } = rowOf(request, status !== undefined && status < 400);
    results.at(status ?? failure ?? OTHER).add(1);
  }, settle);
  const usages = new Batch(({ request, inputTokens = 0, outputTokens = 0 }: UsageEvent) => {
    // A short answer is over before its attempt is.
    const { input, output } = rowOf(request, true);
    if (inputTokens > 0) input.add(inputTokens);
    if (outputTokens > 0) output.add(outputTokens);
  }, settle);
  const ended = new Batch((event: AnswerEvent) => {
    const { request, status, outcome, firstByteMs } = event;
    const { wait, routes } = rowOf(request, false).answers;
    const route = routes.at(knownRoute(request.path));
    route.outcomes.at(outcome).at(status).add(1);
    route.duration.add(event.totalMs / 1_000);
    wait.add(event.waitedMs / 1_000);
    if (firstByteMs !== undefined) route.firstByte.add(firstByteMs / 1_000);
    if (event.code === undefined) return;
    const model = models.of(request.model);
    const code = wordLabel(event.code, ERROR_CODES);
    if (outcome === 'broken') breaks.labels(model, code).inc();
    else errors.labels(code).inc();
  }, settle);

  function settle(): void {
    attemptEnds.settle();
    usages.settle();
    ended.settle();
  }

  return {
    attemptEnd: (event) => attemptEnds.add(event),
    retry({ request: { model }, reason }) {
      settle();
      retries.labels(models.of(model), wordLabel(reason, RETRY_WORDS)).inc();
    },
    hold({ request: { model }, reason }) {
      settle();
      holds.labels(models.of(model), wordLabel(reason, HOLD_WORDS)).inc();
    },
    drop({ params }) {
      for (const name of params) {
        parameters.add(name);
        drops.at(parameters.has(name) ? name : OTHER).add(1);
      }
    },
    usage: (event) => usages.add(event),
    answer: (event) => ended.add(event),
  };
}

/** What is counted with the answers of a model. */
function answerTallies(config: MakeConfig) {
  const histogram = (name: string, help: string, ...labelNames: string[]): TalliedHistogram =>
    new TalliedHistogram(config(name, help, ...labelNames), SECONDS);
  const requests = new TalliedCounter(
    config('requests_total', 'Requests that have ended.', 'route', 'model', 'status', 'outcome'),
  );
  const duration = histogram('duration_seconds', 'From a request to its end.', 'route', 'model');
  const firstByte = histogram(
    'first_byte_seconds',
    "From a request to the first byte of its answer's body.",
    'route',
    'model',
  );
  const wait = histogram('wait_seconds', 'Time that a request spent waiting.', 'model');

  return (model: string) => ({
    wait: wait.series({ model }),
    routes: new Table((route: string) => ({
      duration: duration.series({ route, model }),
      firstByte: firstByte.series({ route, model }),
      outcomes: new Table(
        (outcome: Outcome) =>
          new Table((status: number | undefined) =>
            requests.series({ route, model, status: String(status ?? NONE), outcome }),
          ),
      ),
    })),
  });
}
