import { Counter, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';
import { RETRY_REASONS } from '../backoff.ts';
import { PROXY_ERRORS } from '../errors.ts';
import type { AnswerEvent, ProxyHooks } from '../hooks.ts';
import { knownRoute } from '../known-routes.ts';
import { HOLD_REASONS } from '../rate-gate/gate-store.ts';
import { BoundedNames, NONE, OTHER, wordLabel } from './labels.ts';
import type { ModelLabels } from './labels.ts';

const MOST_PARAMETERS = 50;

/** Models think for seconds, streams go on for minutes. */
const SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];

const RETRY_WORDS: ReadonlySet<string> = new Set(RETRY_REASONS);
const HOLD_WORDS: ReadonlySet<string> = new Set(HOLD_REASONS);
const ERROR_CODES: ReadonlySet<string> = new Set(Object.keys(PROXY_ERRORS));

/** What is counted with each answer of one kind. */
interface AnswerRow {
  readonly requests: Counter.Internal;
  readonly duration: Histogram.Internal<string>;
  readonly firstByte: Histogram.Internal<string>;
  readonly wait: Histogram.Internal<string>;
}

/** Hooks that count what happens. */
export function countEvents(register: Registry, prefix: string, models: ModelLabels): ProxyHooks {
  const registers = [register];
  const counter = (name: string, help: string, ...labelNames: string[]): Counter =>
    new Counter({ name: prefix + name, help, labelNames, registers });
  const histogram = (name: string, help: string, ...labelNames: string[]): Histogram =>
    new Histogram({ name: prefix + name, help, labelNames, buckets: SECONDS, registers });

  const attempts = counter(
    'attempts_total',
    'Upstream calls, by how they ended.',
    'model',
    'result',
  );
  const retries = counter('retries_total', 'Attempts made again, by reason.', 'model', 'reason');
  const holds = counter('holds_total', 'Requests held in the gate.', 'model', 'reason');
  const drops = counter('dropped_parameters_total', 'Parameters that were cut out.', 'parameter');
  const tokens = counter('tokens_total', 'Tokens, as answers tell them.', 'model', 'direction');
  const breaks = counter('stream_breaks_total', 'Answers that broke off.', 'model', 'code');
  const errors = counter('errors_total', "Errors of the proxy's own.", 'code');
  const attemptsOf = remembered((...labels) => attempts.labels(...labels));
  const tokensOf = remembered((...labels) => tokens.labels(...labels));
  const rowOf = answerRows(counter, histogram);
  const parameters = new BoundedNames(MOST_PARAMETERS);

  return {
    attemptEnd({ request, status, failure }) {
      if (status !== undefined && status < 400) models.learn(request);
      const result = status === undefined ? (failure ?? OTHER) : String(status);
      attemptsOf(models.of(request.model), result).inc();
    },
    retry({ request: { model }, reason }) {
      retries.labels(models.of(model), wordLabel(reason, RETRY_WORDS)).inc();
    },
    hold({ request: { model }, reason }) {
      holds.labels(models.of(model), wordLabel(reason, HOLD_WORDS)).inc();
    },
    drop({ params }) {
      for (const name of params) {
        parameters.add(name);
        drops.labels(parameters.has(name) ? name : OTHER).inc();
      }
    },
    usage({ request, inputTokens = 0, outputTokens = 0 }) {
      // A short answer is over before its attempt is.
      models.learn(request);
      const model = models.of(request.model);
      if (inputTokens > 0) tokensOf(model, 'input').inc(inputTokens);
      if (outputTokens > 0) tokensOf(model, 'output').inc(outputTokens);
    },
    answer(event) {
      const model = models.of(event.request.model);
      const { requests, duration, firstByte, wait } = rowOf(event, model);
      requests.inc();
      duration.observe(event.totalMs / 1_000);
      wait.observe(event.waitedMs / 1_000);
      if (event.firstByteMs !== undefined) firstByte.observe(event.firstByteMs / 1_000);
      if (event.code === undefined) return;
      const code = wordLabel(event.code, ERROR_CODES);
      if (event.outcome === 'broken') breaks.labels(model, code).inc();
      else errors.labels(code).inc();
    },
  };
}

/** Looking for a series by its labels costs more than counting. */
function remembered<Series>(
  find: (first: string, second: string) => Series,
): (first: string, second: string) => Series {
  const known = new Map<string, Map<string, Series>>();
  return (first, second) => {
    let row = known.get(first);
    if (row === undefined) known.set(first, (row = new Map()));
    let series = row.get(second);
    if (series === undefined) row.set(second, (series = find(first, second)));
    return series;
  };
}

function answerRows(
  counter: (name: string, help: string, ...labelNames: string[]) => Counter,
  histogram: (name: string, help: string, ...labelNames: string[]) => Histogram,
): (event: AnswerEvent, model: string) => AnswerRow {
  const requests = counter(
    'requests_total',
    'Requests that have ended.',
    'route',
    'model',
    'status',
    'outcome',
  );
  const duration = histogram('duration_seconds', 'From a request to its end.', 'route', 'model');
  const firstByte = histogram(
    'first_byte_seconds',
    "From a request to the first byte of its answer's body.",
    'route',
    'model',
  );
  const wait = histogram('wait_seconds', 'Time that a request spent waiting.', 'model');
  const rows = new Map<string, AnswerRow>();

  return function rowOf({ request, status, outcome }, model): AnswerRow {
    const route = knownRoute(request.path);
    const name = `${route} ${model} ${status} ${outcome}`;
    let row = rows.get(name);
    if (row === undefined) {
      row = {
        requests: requests.labels(
          route,
          model,
          status === undefined ? NONE : String(status),
          outcome,
        ),
        duration: duration.labels(route, model),
        firstByte: firstByte.labels(route, model),
        wait: wait.labels(model),
      };
      rows.set(name, row);
    }
    return row;
  };
}
