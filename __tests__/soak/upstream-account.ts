import type { Fault, RecordedCall } from '../../examples/stand-in-venice.ts';
import { idsIn } from './requests.ts';
import { TROUBLES } from './troubles.ts';

/** Headers that go with each request, and with each call that is made of it. */
export const ID_HEADER = 'x-soak-id';
export const TROUBLE_HEADER = 'x-soak-trouble';

/** What the upstream has seen of one request. */
export interface Seen {
  calls: number;
  /** Of these, the ones that may have done what was asked for. */
  perhapsDone: number;
  /** Calls that are not over. */
  open: number;
  /** By what its calls differ from what was asked for: keys, paths, bodies of others. */
  readonly strange: string[];
}

/** Makes the calls meet their troubles, and keeps count of them. */
export class UpstreamAccount {
  readonly seen = new Map<string, Seen>();
  calls = 0;
  /** Answered with 429, by which limit; `scripted` is a trouble. */
  readonly refused = new Map<string, number>();
  readonly #basePath: string;
  readonly #expected: (id: string) => { readonly path: string; readonly key: string } | undefined;

  /** @param expected - what was asked for under an id */
  constructor(
    basePath: string,
    expected: (id: string) => { readonly path: string; readonly key: string } | undefined,
  ) {
    this.#basePath = basePath;
    this.#expected = expected;
  }

  readonly onCall = (call: RecordedCall): Fault | undefined => {
    const id = String(call.headers[ID_HEADER]);
    const seen = this.seen.get(id) ?? { calls: 0, perhapsDone: 0, open: 0, strange: [] };
    this.seen.set(id, seen);
    this.calls += 1;
    seen.calls += 1;
    seen.open += 1;
    void this.#note(id, call, seen);
    const trouble = TROUBLES.find(({ name }) => name === call.headers[TROUBLE_HEADER]);
    return trouble?.isLasting === true || seen.calls === 1 ? trouble?.fault : undefined;
  };

  async #note(id: string, call: RecordedCall, seen: Seen): Promise<void> {
    await call.over;
    seen.open -= 1;
    const { status, refusedBy = 'scripted' } = call;
    if (status === 429) this.refused.set(refusedBy, (this.refused.get(refusedBy) ?? 0) + 1);
    // A 400 has refused a field: nothing was done.
    if (status !== 429 && status !== 503 && status !== 400) seen.perhapsDone += 1;
    const expected = this.#expected(id);
    if (expected === undefined) {
      seen.strange.push('nobody asked for it');
      return;
    }
    if (call.url !== this.#basePath + expected.path) seen.strange.push(`to ${call.url}`);
    if (call.headers.authorization !== `Bearer ${expected.key}`) {
      seen.strange.push("with somebody else's key");
    }
    const strangers = idsIn(call.body.toString('latin1')).filter((each) => each !== id);
    if (strangers.length > 0) seen.strange.push(`with the body of ${strangers.join(', ')}`);
  }
}
