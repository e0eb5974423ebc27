import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parse } from '@swc/core';
import type { Declaration, Expression, ModuleItem, Span } from '@swc/core';
import type { TsFnParameter, TsTypeElement } from '@swc/core';
import { format } from 'oxfmt';
import { commentBefore, renderComment } from './tsdoc.ts';
import type { Comment } from './tsdoc.ts';

const ROOT = path.resolve(import.meta.dirname, '..');

/** The page of all that the package exports, from its sources and their comments. */
export async function apiReference(): Promise<string> {
  const { exports }: { exports: Record<string, string | { types: string }> } = JSON.parse(
    await readFile(path.join(ROOT, 'package.json'), 'utf8'),
  );
  const parts: string[] = [INTRODUCTION];
  for (const [subpath, target] of Object.entries(exports)) {
    if (typeof target === 'string') continue;
    const file = target.types.replace(/^\.\/dist\//, '').replace(/\.d\.ts$/, '.ts');
    parts.push(`## ${path.posix.join('venice-proxy', subpath)}`);
    // oxlint-disable-next-line no-await-in-loop -- in order
    for (const each of await exportsOf(file)) parts.push(renderExport(each));
  }
  const page = `${parts.join('\n\n').replaceAll(/\n{3,}/g, '\n\n')}\n`;
  return (await format('api.md', page, { printWidth: 100, singleQuote: true })).code;
}

const INTRODUCTION = `# API reference

All that the package exports. Made from the types and their comments by \`npm run docs:api\`; a test
says when it is stale. The README's [table of options](../README.md#options) is the short form.`;

/** One exported declaration, with the text that it stands in. */
interface Exported {
  readonly name: string;
  readonly declaration: Declaration;
  readonly source: Source;
  readonly comment: Comment;
}

/** A module's text, whose spans count bytes, from a number that the parser chooses. */
class Source {
  readonly items: readonly ModuleItem[];
  readonly #bytes: Buffer;
  readonly #base: number;

  private constructor(text: string, items: readonly ModuleItem[]) {
    this.#bytes = Buffer.from(text);
    this.#base = items[0]?.span.start ?? 0;
    this.items = items.slice(1);
  }

  static async read(file: string): Promise<Source> {
    // The first statement tells where counting begins.
    const text = `;${await readFile(path.join(ROOT, file), 'utf8')}`;
    const { body } = await parse(text, { syntax: 'typescript', target: 'es2022' });
    return new Source(text, body);
  }

  text({ start, end }: Span): string {
    return this.#bytes.toString('utf8', start - this.#base, end - this.#base);
  }

  before({ start }: Span): string {
    return this.#bytes.toString('utf8', 0, start - this.#base);
  }
}

/** What a module exports, in its order, wherever it is declared. */
async function exportsOf(file: string): Promise<Exported[]> {
  const source = await Source.read(file);
  const found: Exported[] = [];
  for (const item of source.items) {
    if (item.type === 'ExportDeclaration') {
      const comment = commentBefore(source.before(item.span));
      found.push({
        name: nameOf(item.declaration),
        declaration: item.declaration,
        source,
        comment,
      });
    } else if (item.type === 'ExportNamedDeclaration' && item.source) {
      const names = item.specifiers.map((each) => source.text(each.span));
      // oxlint-disable-next-line no-await-in-loop -- in order
      const there = await exportsOf(path.join(path.dirname(file), item.source.value));
      for (const name of names) {
        const exported = there.find((each) => each.name === name);
        if (exported === undefined) throw new Error(`${file} exports ${name}, which is not found`);
        found.push(exported);
      }
    }
  }
  return found;
}

function nameOf(declaration: Declaration): string {
  if (declaration.type === 'FunctionDeclaration') return declaration.identifier.value;
  if (declaration.type === 'ClassDeclaration') return declaration.identifier.value;
  if (declaration.type === 'VariableDeclaration') {
    const [first] = declaration.declarations;
    return first?.id.type === 'Identifier' ? first.id.value : '';
  }
  return declaration.id.type === 'Identifier' ? declaration.id.value : '';
}

function renderExport({ name, declaration, source, comment }: Exported): string {
  const parts = [`### ${name}`];
  if (declaration.type === 'FunctionDeclaration') {
    const { body, span } = declaration;
    const end = body?.span.start ?? span.end;
    parts.push(codeBlock(source.text({ ...span, end }).trim()), renderComment(comment));
  } else if (declaration.type === 'TsInterfaceDeclaration') {
    const bases = declaration.extends.map((each) => `\`${source.text(each.span)}\``);
    if (bases.length > 0) parts.push(`Extends ${bases.join(', ')}.`);
    parts.push(renderComment(comment));
    parts.push(declaration.body.body.map((each) => renderMember(each, source)).join('\n'));
  } else if (declaration.type === 'TsTypeAliasDeclaration') {
    parts.push(renderComment(comment), codeBlock(source.text(declaration.span)));
  } else {
    throw new Error(`A ${declaration.type} is exported (${name}): say here how it is to be shown`);
  }
  return parts.filter((part) => part !== '').join('\n\n');
}

/** A member of an interface, as an item of a list. */
function renderMember(member: TsTypeElement, source: Source): string {
  const comment = commentBefore(source.before(member.span));
  const text = renderComment(comment).replaceAll('\n', '\n  ').replaceAll(/ +$/gm, '');
  const head = `- ${headOf(member, source)}`;
  return text === '' ? head : `${head}\n\n  ${text}\n`;
}

/** Names only: what else a key may be, no interface here has. */
function keyOf(key: Expression): string {
  if (key.type !== 'Identifier') throw new Error(`A member is named by a ${key.type}`);
  return key.value;
}

function paramOf(param: TsFnParameter, source: Source): string {
  const text = source.text(param.span);
  const isOptional = param.type === 'Identifier' && param.optional;
  return isOptional && !text.includes('?') ? text.replace(/^\w+/, '$&?') : text;
}

function headOf(member: TsTypeElement, source: Source): string {
  if (member.type === 'TsPropertySignature') {
    const { typeAnnotation, optional } = member;
    const type =
      typeAnnotation === undefined ? '' : source.text(typeAnnotation.typeAnnotation.span);
    const told = optional ? withoutUndefined(type) : oneLine(type);
    return `**\`${keyOf(member.key)}\`**${optional ? ' (optional)' : ''}: \`${told}\``;
  }
  if (member.type === 'TsMethodSignature') {
    const name = keyOf(member.key);
    const type =
      member.typeAnn === undefined ? 'void' : source.text(member.typeAnn.typeAnnotation.span);
    const params = member.params.map((each) => paramOf(each, source)).join(', ');
    return `**\`${name}(${params})\`**: \`${type}\``;
  }
  return `\`${source.text(member.span).replace(/;$/, '')}\``;
}

/** Without the comments of its parts. */
const oneLine = (type: string): string =>
  type
    .replaceAll(/\/\*\*.*?\*\//gs, '')
    .replaceAll(/\s+/g, ' ')
    .replace(/^\| /, '');

/** `(optional)` says it already. */
function withoutUndefined(type: string): string {
  const plain = oneLine(type).replace(/ \| undefined$/, '');
  return /^\((?!.*\).*\().*\)$/.test(plain) ? plain.slice(1, -1) : plain;
}

const codeBlock = (code: string): string => `\`\`\`ts\n${code}\n\`\`\``;
