/** A member of a JSON object: its name, and its tokens as they were written, without white space. */
interface WrittenMember {
  readonly name: string;
  readonly tokens: readonly string[];
}

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/gs;

/**
 * The members of the object that a JSON text is, token by token; `undefined` for anything else. One
 * character a byte, so that bytes that are no UTF-8 stay what they are.
 */
export function membersOf(json: Buffer): readonly WrittenMember[] | undefined {
  const text = json.toString('latin1');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const tokens = text.match(TOKEN) ?? [];
  const members: WrittenMember[] = [];
  let depth = 0;
  let current: string[] = [];
  const finish = (): void => {
    if (current.length === 0) return;
    const name = Buffer.from(JSON.parse(current[0] ?? '""') as string, 'latin1').toString();
    members.push({ name, tokens: current });
    current = [];
  };
  for (const token of tokens) {
    if (token === '}' || token === ']') depth -= 1;
    if (depth === 0) finish();
    else if (depth === 1 && token === ',') finish();
    else current.push(token);
    if (token === '{' || token === '[') depth += 1;
  }
  return members;
}

/** What is to arrive of a JSON body: without the dropped members, everything else as it was. */
export function expectedMembers(
  members: readonly WrittenMember[],
  dropped: readonly string[],
): readonly WrittenMember[] {
  return members.filter(({ name }) => !dropped.includes(name));
}
