/** Which values of a member are refused: `any`, where the member itself is not known. */
export type Refusal = 'any' | 'null';

/** By the member's name. */
export type Refusals = ReadonlyMap<string, Refusal>;

const REMEMBERED_MS = 3_600_000;
/** More than anybody has: beyond these, what was refused longest ago is forgotten. */
const MOST_PLACES = 1_000;
const MOST_MEMBERS = 50;
/** A name that is longer is no model's. */
const LONGEST_PLACE = 500;

interface Learned {
  readonly refusal: Refusal;
  readonly until: number;
}

interface Place {
  /** In the order of the last refusal, which is that of the ends, too. */
  readonly members: Map<string, Learned>;
  /** The same as it is handed out: replaced, never changed. */
  refusals: Refusals;
}

/**
 * Where refusals are the same: a route and a model's id without its features. Not the API key: what
 * a model takes is the same for all of them. `undefined` where it is too long to be kept.
 */
export function placeOf(route: string, model = ''): string | undefined {
  if (route.length + model.length > LONGEST_PLACE) return undefined;
  return `${route} ${model.split(':', 1)[0] ?? ''}`;
}

/** Remembers what was refused, for an hour from the last time. */
export class LearnedParams {
  readonly #now: () => number;
  readonly #places = new Map<string, Place>();

  /** @param now - milliseconds, by a clock that is never set back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** `undefined` where nothing is known; the same object as long as nothing has changed. */
  of(place: string): Refusals | undefined {
    const known = this.#places.get(place);
    if (known === undefined) return undefined;
    const before = known.members.size;
    for (const [name, { until }] of known.members) {
      if (until > this.#now()) break;
      known.members.delete(name);
    }
    if (known.members.size < before) this.#update(place, known);
    return known.members.size === 0 ? undefined : known.refusals;
  }

  learn(place: string, name: string, refusal: Refusal): void {
    const known = this.#places.get(place) ?? { members: new Map(), refusals: new Map() };
    const { members } = known;
    const widest = members.get(name)?.refusal === 'any' ? 'any' : refusal;
    members.delete(name);
    if (members.size >= MOST_MEMBERS) deleteFirst(members);
    members.set(name, { refusal: widest, until: this.#now() + REMEMBERED_MS });
    this.#places.delete(place);
    if (this.#places.size >= MOST_PLACES) deleteFirst(this.#places);
    this.#update(place, known);
  }

  /** It was not so. */
  forget(place: string, name: string): void {
    const known = this.#places.get(place);
    if (known?.members.delete(name) === true) this.#update(place, known);
  }

  #update(place: string, known: Place): void {
    known.refusals = new Map([...known.members].map(([name, { refusal }]) => [name, refusal]));
    if (known.members.size === 0) this.#places.delete(place);
    else this.#places.set(place, known);
  }
}

function deleteFirst(map: Map<string, unknown>): void {
  for (const first of map.keys()) {
    map.delete(first);
    return;
  }
}
