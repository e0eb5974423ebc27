import type { HeldBytes } from './held-bytes.ts';
import { cutMembers, findMembers, isNull, replaceValues, scalarValue } from './json-members.ts';
import type { JsonMember } from './json-members.ts';
import { isPlainName } from './learnable-members.ts';
import type { Refusal, Refusals } from './learned-params.ts';

/** What a JSON body says about the request, and what becomes of the body. */
export interface RewrittenBody {
  readonly bytes: HeldBytes;
  readonly dropped: readonly string[];
  readonly model: string | undefined;
  readonly stream: boolean;
  /** base64 was wanted and floats are asked for in its place. */
  readonly wantsBase64: boolean;
  /** What is left that may go, should the upstream refuse it; `undefined`: nothing. */
  readonly refusable: Refusals | undefined;
}

/** Whoever sends more of them is no client that must be spared a refusal. */
const MOST_REFUSABLE = 30;

/** The routes whose bodies are changed: their parameters are known. */
export const DROPPING_ROUTES: ReadonlySet<string> = new Set(['/chat/completions', '/responses']);
const EMBEDDINGS_ROUTE = '/embeddings';
const READ_MEMBERS: ReadonlySet<string> = new Set(['model', 'stream', 'encoding_format']);

/** What is looked for in a body, by whether the route is one on which parameters are dropped. */
interface Rules {
  readonly dropped: ReadonlySet<string>;
  readonly wanted: ReadonlySet<string>;
}

/** Reads a body and makes of it what goes upstream. */
export type Rewriter = (route: string, body: HeldBytes) => RewrittenBody;

const NOTHING: ReadonlySet<string> = new Set();
const NONE: readonly string[] = [];

/**
 * Pure: bytes that need no change are returned as they are; so is what is no JSON object.
 *
 * @param learnable - members that may go whatever their value is; `undefined`: nothing may be learnt
 */
export function createRewriter(
  dropParams: ReadonlySet<string>,
  learnable?: ReadonlySet<string>,
): Rewriter {
  const read = [...READ_MEMBERS, ...(learnable ?? [])];
  const plain: Rules = { dropped: NOTHING, wanted: new Set(read) };
  const dropping: Rules = { dropped: dropParams, wanted: new Set([...read, ...dropParams]) };

  return function rewriteBytes(route, body) {
    const { dropped, wanted } = DROPPING_ROUTES.has(route) ? dropping : plain;
    return body.look((json) => {
      const members = findMembers(json, wanted, learnable !== undefined);
      if (members === undefined) {
        const nothing = { dropped: NONE, wantsBase64: false, refusable: undefined };
        return { bytes: body, model: undefined, stream: false, ...nothing };
      }
      const model = valueOf(json, members, 'model');
      const wantsBase64 =
        route === EMBEDDINGS_ROUTE && valueOf(json, members, 'encoding_format') === 'base64';
      return {
        bytes: body.edited(wantsBase64 ? askForFloats(json, members) : cut(json, members, dropped)),
        dropped: namesOf(members, dropped),
        model: typeof model === 'string' ? model : undefined,
        stream: valueOf(json, members, 'stream') === true,
        wantsBase64,
        refusable: refusableOf(json, members, dropped, learnable),
      };
    });
  };
}

/** Of a member that is there twice the last one counts, as for JSON.parse. */
function valueOf(bytes: Buffer, members: readonly JsonMember[], name: string): unknown {
  for (let i = members.length - 1; i >= 0; i -= 1) {
    const member = members[i];
    if (member?.name === name) return scalarValue(bytes, member);
  }
  return undefined;
}

function askForFloats(bytes: Buffer, members: readonly JsonMember[]) {
  return replaceValues(bytes.length, members, (member) =>
    member.name === 'encoding_format' && scalarValue(bytes, member) === 'base64'
      ? '"float"'
      : undefined,
  );
}

function cut({ length }: Buffer, members: readonly JsonMember[], names: ReadonlySet<string>) {
  return cutMembers(length, members, ({ name }) => names.has(name));
}

/** Those of the names that are there, in their own order. */
function namesOf(members: readonly JsonMember[], names: ReadonlySet<string>): readonly string[] {
  if (!members.some(({ name }) => names.has(name))) return NONE;
  return [...names].filter((name) => members.some((member) => member.name === name));
}

function refusableOf(
  bytes: Buffer,
  members: readonly JsonMember[],
  dropped: ReadonlySet<string>,
  learnable: ReadonlySet<string> | undefined,
): Refusals | undefined {
  if (learnable === undefined) return undefined;
  let found: Map<string, Refusal> | undefined;
  for (const member of members) {
    const { name } = member;
    if (dropped.has(name)) continue;
    const hasNull = isNull(bytes, member);
    // Of a member that is there twice the last one counts.
    if (learnable.has(name)) (found ??= new Map()).set(name, hasNull ? 'null' : 'any');
    else if (hasNull && isPlainName(name)) (found ??= new Map()).set(name, 'null');
    else found?.delete(name);
  }
  return found !== undefined && found.size <= MOST_REFUSABLE ? found : undefined;
}
