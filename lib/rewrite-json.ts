import { cutMembers, findMembers, replaceValues, scalarValue } from './json-members.ts';

/** What a JSON body says about the request, and what becomes of the body. */
export interface RewrittenBody {
  readonly bytes: Buffer;
  readonly dropped: readonly string[];
  readonly model: string | undefined;
  readonly stream: boolean;
  /** base64 was wanted and floats are asked for in its place. */
  readonly wantsBase64: boolean;
}

const DROPPING_ROUTES: ReadonlySet<string> = new Set(['/chat/completions', '/responses']);
const EMBEDDINGS_ROUTE = '/embeddings';
const READ_MEMBERS: ReadonlySet<string> = new Set(['model', 'stream', 'encoding_format']);

/** Pure: bytes that need no change are returned as they are; so is what is no JSON object. */
export function rewriteJson(
  route: string,
  bytes: Buffer,
  dropParams: ReadonlySet<string>,
): RewrittenBody {
  const drops = DROPPING_ROUTES.has(route);
  const members = findMembers(
    bytes,
    drops ? new Set([...READ_MEMBERS, ...dropParams]) : READ_MEMBERS,
  );
  if (members === undefined) {
    return { bytes, dropped: [], model: undefined, stream: false, wantsBase64: false };
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
