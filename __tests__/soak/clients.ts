import http from 'node:http';
import { play } from './client.ts';
import type { Ending, Told } from './client.ts';
import { KINDS, isUnread, markerOf } from './requests.ts';
import type { SoakRequest } from './requests.ts';
import { TROUBLES } from './troubles.ts';
import type { Trouble } from './troubles.ts';

const CLIENTS = 40;
const KEYS = 25;
const MODELS = ['llama-3.3-70b', 'qwen3-235b', 'venice-uncensored', 'mistral-31-24b'];
/** So much of the load goes to one model of one key, whose window is too small for it. */
const CROWDED = 0.2;

/** How often requests of one kind, or with one trouble, ended in which way. */
export type EndingCounts = Readonly<Record<string, Readonly<Partial<Record<Ending, number>>>>>;

/** A request that has ended, as its client saw it. */
export interface Ended {
  readonly request: SoakRequest;
  readonly told: Told;
}

/** The clients of a run, and what they have seen. */
export class Clients {
  requests = 0;
  /** Those whose upload nobody has read. */
  unread = 0;
  readonly ended = new Map<string, Ended>();
  readonly #baseUrl: string;
  readonly #random: () => number;
  readonly #begun = new Map<string, SoakRequest>();
  #agent = new http.Agent({ keepAlive: true });

  /** @param random - decides what is asked for: the same numbers, the same requests */
  constructor(baseUrl: string, random: () => number) {
    this.#baseUrl = baseUrl;
    this.#random = random;
  }

  /** What its upstream calls must look like. */
  expected(id: string): { readonly path: string; readonly key: string } | undefined {
    const request = this.#begun.get(id) ?? this.ended.get(id)?.request;
    if (request === undefined) return undefined;
    const { key, kind } = request;
    return { path: kind.path(markerOf(id)), key };
  }

  /** Each client asks for one thing after the other, for so long; until each thing has ended. */
  async load(forMs: number): Promise<void> {
    const until = performance.now() + forMs;
    const client = async (): Promise<void> => {
      while (performance.now() < until) {
        const request = this.#next();
        this.#begun.set(request.id, request);
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        const told = await play(this.#baseUrl, this.#agent, request);
        this.#begun.delete(request.id);
        this.ended.set(request.id, { request, told });
        if (isUnread(request)) this.unread += 1;
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, client));
  }

  closeConnections(): void {
    this.#agent.destroy();
    this.#agent = new http.Agent({ keepAlive: true });
  }

  /** By kind, or by trouble, in the order of their lists. */
  counts(by: 'kind' | 'trouble'): EndingCounts {
    const names = by === 'kind' ? KINDS : [...TROUBLES, { name: NO_TROUBLE }];
    const counts: Record<string, Partial<Record<Ending, number>>> = Object.fromEntries(
      names.map(({ name }) => [name, {}]),
    );
    for (const { request, told } of this.ended.values()) {
      const of = counts[request[by]?.name ?? NO_TROUBLE];
      if (of !== undefined) of[told.ending] = (of[told.ending] ?? 0) + 1;
    }
    return counts;
  }

  #next(): SoakRequest {
    this.requests += 1;
    const isCrowded = this.#random() < CROWDED;
    const kind = chosen(KINDS, this.#random()) ?? KINDS[0];
    if (kind === undefined) throw new RangeError('nothing to ask for');
    const trouble = this.#trouble(kind.name);
    const key = Math.floor(this.#random() * KEYS);
    const model = MODELS[Math.floor(this.#random() * MODELS.length)] ?? '';
    return {
      id: this.requests.toString(36),
      key: `soak-key-${isCrowded ? 0 : key}`,
      model: isCrowded ? (MODELS[0] ?? '') : model,
      kind,
      trouble,
    };
  }

  #trouble(kind: string): Trouble | undefined {
    const possible = TROUBLES.filter(({ only }) => only === undefined || only.test(kind));
    return chosen(possible, this.#random());
  }
}

export const NO_TROUBLE = 'nothing of all this';

/** One of the list, each as often as it says; none for the rest of the hundred. */
function chosen<T extends { readonly percent: number }>(
  list: readonly T[],
  random: number,
): T | undefined {
  let rest = random * 100;
  for (const each of list) {
    rest -= each.percent;
    if (rest < 0) return each;
  }
  return undefined;
}
