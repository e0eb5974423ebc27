import type { Fault } from '../../examples/stand-in-venice.ts';
import type { VeniceProxyOptions } from '../../lib/index.ts';
import { startScene } from '../helpers/scene.ts';
import type { Scene } from '../helpers/scene.ts';

const LIMITED: Fault = { kind: 'rate-limited', resetMs: 100 };

export const AT_CAPACITY: Fault = {
  kind: 'answer',
  status: 503,
  body: { error: 'The model is at capacity.', code: 'MODEL_AT_CAPACITY' },
  // On a kept connection the reset that follows would be taken for its belated end.
  headers: { connection: 'close' },
};

export const LOST: Fault = { kind: 'reset', after: 'body' };

/** What a call meets that costs tokens at most: it may be sent again whatever happens to it. */
const FREE_ROW: readonly Fault[] = [LIMITED, AT_CAPACITY, LOST];

/** What a call meets that is billed each time: after these, nothing was done. */
const BILLED_ROW: readonly Fault[] = [LIMITED, AT_CAPACITY];

type Options = Omit<VeniceProxyOptions, 'target' | 'on'>;

/** A recorded proxy in front of a stand-in whose windows end when their headers say so. */
export function startClientScene(options: Options = {}): Promise<Scene> {
  return startScene(options, { resetFormat: 'milliseconds' });
}

/** One kind of call that a client makes; resolves with what its user would look at. */
export interface Kind<Client> {
  readonly ask: (client: Client) => Promise<unknown>;
  readonly billed?: true;
  /** Its body is gone once it was sent, so that only the client can send it again. */
  readonly upload?: true;
}

/** What a call gave, and what it took. */
export interface Outcome {
  /** Whether its user sees what they see without faults. */
  readonly same: boolean;
  /** Statuses of the upstream's answers; `lost`: a connection that broke. */
  readonly upstream: readonly (number | 'lost')[];
  /** How many requests the client made. */
  readonly requests: number;
}

/**
 * Asks undisturbed, then with the row of faults in the way.
 *
 * @param options - of the proxy; only with `ollama` has the stand-in no such API of its own
 */
export async function throughFaults<Client>(
  kind: Kind<Client>,
  connect: (baseUrl: string) => Client,
  options: Options = {},
): Promise<Outcome> {
  const { baseUrl, target, venice, recorder } = await startClientScene(options);
  const undisturbed = await kind.ask(connect(options.ollama === true ? baseUrl : target));
  const callsBefore = venice.calls.length;
  const answersBefore = recorder.answers.length;
  venice.script(...(kind.billed ? BILLED_ROW : FREE_ROW));
  const got = await kind.ask(connect(baseUrl));
  await recorder.ended(answersBefore + 1);
  return {
    same: undisturbed !== undefined && JSON.stringify(got) === JSON.stringify(undisturbed),
    upstream: venice.calls.slice(callsBefore).map(({ status }) => status ?? 'lost'),
    requests: recorder.answers.length - answersBefore,
  };
}

/** What must come out of `throughFaults`. */
export function unseen<Client>({ billed, upload }: Kind<Client>): Outcome {
  const upstream = billed ? ([429, 503, 200] as const) : ([429, 503, 'lost', 200] as const);
  return { same: true, upstream, requests: upload ? upstream.length : 1 };
}

/** Does something for each row of a table, all at once, as it mostly waits. */
export async function forEachName<Value, Result>(
  table: Readonly<Record<string, Value>>,
  use: (value: Value) => Result | Promise<Result>,
): Promise<Record<string, Result>> {
  const rows = Object.entries(table).map(
    async ([name, value]) => [name, await use(value)] as const,
  );
  return Object.fromEntries(await Promise.all(rows));
}

/** What a call is rejected with. */
export async function errorOf(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    (value) => ({ value }),
    (error: unknown) => error,
  );
}

/** How all has ended when a client leaves in the middle of its only request. */
export const ALL_ENDED = {
  upstreamAborted: [true],
  answers: [{ outcome: 'client_left', attempts: 1 }],
  inFlight: 0,
};

/** Waits for the upstream call and the proxy's part of it to be over. */
export async function endingOf({ venice, recorder, proxy }: Scene): Promise<typeof ALL_ENDED> {
  await venice.calls[0]?.over;
  await recorder.ended();
  return {
    upstreamAborted: venice.calls.map(({ aborted }) => aborted),
    answers: recorder.answers.map(({ outcome, attempts }) => ({ outcome, attempts })),
    inFlight: proxy.inFlight,
  };
}
