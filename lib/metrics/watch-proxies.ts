import { Gauge } from 'prom-client';
import type { Registry } from 'prom-client';
import type { Phase, VeniceProxy } from '../proxy-state.ts';
import type { BucketState } from '../rate-gate/gate-state.ts';
import { BoundedNames, NONE, OTHER } from './labels.ts';
import type { ModelLabels } from './labels.ts';

/** More windows than this are not told: those with the longest queues come first. */
const MOST_BUCKETS = 200;
const MOST_KEYS = 200;

const PHASES: Readonly<Record<Phase, true>> = {
  receiving: true,
  held: true,
  attempt: true,
  backoff: true,
  relaying: true,
};

/** Gauges that are read when somebody asks for the metrics, and cost nothing until then. */
export function watchProxies(
  register: Registry,
  prefix: string,
  models: ModelLabels,
): (proxy: VeniceProxy) => void {
  const proxies = new Set<VeniceProxy>();
  const keys = new BoundedNames(MOST_KEYS);
  const labelled = (bucket: BucketState): BucketState & { readonly model: string } => {
    const model = models.of(bucket.model);
    // Clients can make up keys, too: of one that is no key no window is known.
    const isKey = model !== OTHER && model !== NONE && (bucket.requests ?? bucket.tokens);
    if (isKey) keys.add(bucket.key);
    return { ...bucket, model, key: keys.has(bucket.key) ? bucket.key : OTHER };
  };
  const buckets = onceATick(() => fullestOf([...proxies]).map(labelled));
  const gauge = (
    name: string,
    help: string,
    labelNames: readonly string[],
    fill: (told: Gauge) => void,
  ): Gauge =>
    new Gauge({
      name: prefix + name,
      help,
      labelNames: [...labelNames],
      registers: [register],
      collect() {
        this.reset();
        fill(this);
      },
    });

  gauge('requests_in_flight', 'Requests that have not ended, by phase.', ['phase'], (told) => {
    for (const phase of Object.keys(PHASES)) told.set({ phase }, 0);
    for (const proxy of proxies) for (const { phase } of proxy.requests()) told.inc({ phase });
  });
  gauge('queue_length', 'Requests that are held.', ['model', 'key'], (told) => {
    for (const { model, key, waiting } of buckets()) told.inc({ model, key }, waiting);
  });
  gauge(
    'queue_oldest_seconds',
    'For how long the oldest has been held.',
    ['model', 'key'],
    (told) => {
      // Of several that are told as one, the last counts.
      const byAge = buckets().toSorted(
        ({ oldestWaitMs: one = 0 }, { oldestWaitMs: other = 0 }) => one - other,
      );
      for (const { model, key, oldestWaitMs = 0 } of byAge) {
        told.set({ model, key }, oldestWaitMs / 1_000);
      }
    },
  );
  for (const [name, help, read] of WINDOW_GAUGES) {
    gauge(name, help, ['model', 'key', 'unit'], (told) => {
      for (const { model, key, requests, tokens } of buckets()) {
        if (model === OTHER || key === OTHER) continue;
        for (const [unit, window] of Object.entries({ requests, tokens })) {
          const value = window && read(window);
          if (value !== undefined) told.set({ model, key, unit }, value);
        }
      }
    });
  }
  return (proxy) => void proxies.add(proxy);
}

type WindowState = NonNullable<BucketState['requests']>;

const WINDOW_GAUGES: readonly (readonly [
  name: string,
  help: string,
  read: (window: WindowState) => number | undefined,
])[] = [
  ['window_limit', 'What a window of a key (a hash) holds.', ({ limit }) => limit],
  ['window_remaining', 'What is left of it.', ({ remaining }) => remaining],
];

/** The gauges are all read in one tick: what they share is made once. */
function onceATick<Value>(make: () => Value): () => Value {
  let made: { readonly value: Value } | undefined;
  return () => {
    if (made === undefined) {
      made = { value: make() };
      queueMicrotask(() => {
        made = undefined;
      });
    }
    return made.value;
  };
}

function fullestOf(proxies: readonly VeniceProxy[]): readonly BucketState[] {
  const all = proxies.flatMap((proxy) => proxy.buckets());
  if (all.length <= MOST_BUCKETS) return all;
  return all.toSorted((one, other) => weight(other) - weight(one)).slice(0, MOST_BUCKETS);
}

/** A queue counts most, then a window that is known. */
function weight({ waiting, requests, tokens }: BucketState): number {
  return waiting + (requests || tokens ? 0.5 : 0);
}
