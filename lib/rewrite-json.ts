import { cutMembers, findMembers, isNull, replaceValues, scalarValue } from './json-members.ts';
import type { JsonMember } from './json-members.ts';
import { isPlainName } from './learnable-members.ts';
import type { Refusal, Refusals } from './learned-params.ts';

/** What a JSON body says about the request, and what becomes of the body. */
export interface RewrittenBody {
  readonly bytes: Buffer;
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

const DROPPING_ROUTES: ReadonlySet<string> = new Set(['/chat/completions', '/responses']);
const EMBEDDINGS_ROUTE = '/embeddings';
const READ_MEMBERS: ReadonlySet<string> = new Set(['model', 'stream', 'encoding_format']);

/**
 * Pure: bytes that need no change are returned as they are; so is what is no JSON object.
 *
 * @param learnable - members that may go whatever their value is; `undefined`: nothing may be learnt
 */
export function rewriteJson(
  route: string,
  bytes: Buffer,
  dropParams: ReadonlySet<string>,
  learnable?: ReadonlySet<string>,
): RewrittenBody {
  const drops = DROPPING_ROUTES.has(route);
  const members = findMembers(
    bytes,
    new Set([...READ_MEMBERS, ...(drops ? dropParams : []), ...(learnable ?? [])]),
    learnable !== undefined,
  );
  if (members === undefined) {
    const nothing = { dropped: [], wantsBase64: false, refusable: undefined };
    return { bytes, model: undefined, stream: false, ...nothing };
  }
  // Of a member that is there twice the last one counts, as for JSON.parse.
  const valueOf = (name: string): unknown => {
    const member = members.findLast((each) => each.name === name);
    return member === undefined ? undefined : scalarValue(bytes, member);
  };
  const model = valueOf('model');
  const said = {
    model: typeof model === 'string' ? model : undefined,
    stream: valueOf('stream') === true,
    refusable: refusableOf(bytes, members, drops ? dropParams : undefined, learnable),
  };
  if (route === EMBEDDINGS_ROUTE && valueOf('encoding_format') === 'base64') {
    const asked = replaceValues(bytes, members, (member) =>
      member.name === 'encoding_format' && scalarValue(bytes, member) === 'base64'
        ? '"float"'
        : undefined,
    );
    return { ...said, bytes: asked, dropped: [], wantsBase64: true };
  }
  const names = new Set(members.map(({ name }) => name));
  const dropped = drops ? [...dropParams].filter((name) => names.has(name)) : [];
  return {
    ...said,
    bytes:
      dropped.length === 0
        ? bytes
        : cutMembers(bytes, members, (member) => dropParams.has(member.name)),
    dropped,
    wantsBase64: false,
  };
}

function refusableOf(
  bytes: Buffer,
  members: readonly JsonMember[],
  dropped: ReadonlySet<string> | undefined,
  learnable: ReadonlySet<string> | undefined,
): Refusals | undefined {
  if (learnable === undefined) return undefined;
  let found: Map<string, Refusal> | undefined;
  for (const member of members) {
    const { name } = member;
    if (dropped?.has(name) === true) continue;
    const hasNull = isNull(bytes, member);
    // Of a member that is there twice the last one counts.
    if (learnable.has(name)) (found ??= new Map()).set(name, hasNull ? 'null' : 'any');
    else if (hasNull && isPlainName(name)) (found ??= new Map()).set(name, 'null');
    else found?.delete(name);
  }
  return found !== undefined && found.size <= MOST_REFUSABLE ? found : undefined;
}
