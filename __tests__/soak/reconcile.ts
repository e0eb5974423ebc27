import type { Told } from './client.ts';
import { isUnread } from './requests.ts';
import type { SoakRequest } from './requests.ts';
import type { Logged } from './subject.ts';
import { BROKEN_CODING } from './troubles.ts';
import type { Seen } from './upstream-account.ts';

/** What the three sides say of one request. */
export interface Accounts {
  readonly request: Pick<SoakRequest, 'kind' | 'trouble'>;
  readonly told: Told;
  /** Its lines in the proxy's log: what the `answer` hook hears, too. */
  readonly logged: readonly Logged[];
  readonly seen: Seen | undefined;
}

/** What contradicts each other, or what the proxy promises; nothing where all is well. */
export function* contradictions(accounts: Accounts): Generator<string> {
  const { request, told, logged, seen } = accounts;
  const { ending, why } = told;
  if (ending === 'lost' || ending === 'wrong' || ending === "somebody else's") {
    yield `the client's answer is ${ending}${why === undefined ? '' : ` (${why})`}`;
  }
  for (const each of seen?.strange ?? []) yield `an upstream call ${each}`;
  if (seen !== undefined && seen.open > 0 && !isUnread(request))
    yield 'an upstream call is not over';
  const [line] = logged;
  if (logged.length > 1) yield `it ended ${logged.length} times`;
  if (line === undefined) {
    // Who leaves while its head is on its way was never there.
    if (ending !== 'left') yield `${ending}, and not in the log`;
    if (seen !== undefined) yield 'an upstream call, and no request in the log';
    return;
  }
  yield* sides(accounts, line);
  yield* calls(accounts, line);
}

/** The client's side and the proxy's. */
function* sides({ request, told }: Accounts, line: Logged): Generator<string> {
  const { ending, status, code } = told;
  const said = `${line.outcome} ${line.status ?? '-'} ${line.code ?? '-'}`;
  const differs = `the client: ${ending} ${status ?? '-'} ${code ?? '-'}, the proxy: ${said}`;
  switch (ending) {
    case 'answered':
      if (line.outcome !== 'answered' || line.status !== status) yield differs;
      break;
    case 'undecodable':
      if (request.trouble?.name !== BROKEN_CODING || line.outcome !== 'answered') yield differs;
      break;
    case 'refused': {
      const isOwn = line.outcome === 'refused' && line.code === code;
      const isUpstreams = line.outcome === 'answered';
      if ((!isOwn && !isUpstreams) || line.status !== status) yield differs;
      break;
    }
    case 'broken': {
      // Whose connection was given up has left, as far as the proxy can tell.
      const wasGivenUp = request.trouble?.client === 'stops reading';
      const isBroken = line.outcome === 'broken' && (code === undefined || code === line.code);
      if (!isBroken && !(wasGivenUp && line.outcome === 'client_left')) yield differs;
      break;
    }
    default:
  }
}

/** The proxy's side and the upstream's. */
function* calls({ request, told, seen }: Accounts, line: Logged): Generator<string> {
  const { replay } = request.kind;
  const count = seen?.calls ?? 0;
  const perhapsDone = seen?.perhapsDone ?? 0;
  // A stale connection that was replaced is no attempt of its own.
  const most = line.attempts + (replay === 'always' ? 1 : 0);
  if (count > most) yield `${count} upstream calls in ${line.attempts} attempts`;
  if (told.ending === 'answered' && count === 0) yield 'answered by nobody';
  if (replay !== 'always' && perhapsDone > 1) yield `done ${perhapsDone} times`;
  if (replay === 'never' && count > 1) yield `sent ${count} times`;
}
