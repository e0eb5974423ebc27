/** A TSDoc comment in its parts, each in Markdown. */
export interface Comment {
  readonly text: string;
  readonly tags: readonly { readonly name: string; readonly text: string }[];
}

/** The comment that stands directly at the end of a text. */
export function commentBefore(text: string): Comment {
  const [, inside = ''] = /\/\*\*((?:(?!\*\/).)*)\*\/\s*(?:export\s+)?$/s.exec(text) ?? [];
  const lines = inside.split('\n').map((line) => line.replace(/^\s*\* ?/, '').trimEnd());
  const [first = '', ...parts] = lines
    .join('\n')
    .trim()
    .split(/^@(?=[a-zA-Z])/m);
  const tags = parts.map((part) => {
    const [, name = '', rest = ''] = /^(\w+)\s*(.*)$/s.exec(part) ?? [];
    return { name, text: links(rest.trim()) };
  });
  return { text: links(first.trim()), tags };
}

const links = (text: string): string =>
  text.replaceAll(/\{@link (\w+)\}/g, (_, name: string) => `[${name}](#${name.toLowerCase()})`);

/** How each tag is told; one that is not known here stops the generator. */
const TAGS: Readonly<Record<string, (text: string) => string>> = {
  defaultValue: (text) => `Default: ${text.replace(/^(?:[\d_]+|true|false)$/, '`$&`')}.`,
  example: (text) => text,
  param: (text) => `- ${text.replace(/^(\w+) - /, '`$1`: ')}`,
  remarks: (text) => text,
  returns: (text) => `Returns ${text}`,
  throws: (text) => `Throws ${text}`,
};

/** The comment as paragraphs, its parameters as a list. */
export function renderComment({ text, tags }: Comment): string {
  const parts = text === '' ? [] : [text];
  let wasParam = false;
  for (const { name, text: told } of tags) {
    const tell = TAGS[name];
    if (tell === undefined)
      throw new Error(`@${name} in a comment: say here how it is to be shown`);
    const part = tell(told);
    if (name === 'param' && wasParam) parts.push(`${parts.pop()}\n${part}`);
    else parts.push(part);
    wasParam = name === 'param';
  }
  return parts.join('\n\n');
}
