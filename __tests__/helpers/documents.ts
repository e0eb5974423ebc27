import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { ROOT } from './program.ts';

export interface Page {
  /** From the root of the package. */
  readonly file: string;
  readonly text: string;
}

/** A fenced block of a page. */
export interface Block {
  readonly file: string;
  readonly language: string;
  readonly text: string;
}

/** The README first, then what stands in `docs/`. */
export async function readPages(): Promise<Page[]> {
  const docs = await readdir(path.join(ROOT, 'docs'));
  const files = [
    'README.md',
    ...docs.filter((file) => file.endsWith('.md')).map((f) => `docs/${f}`),
  ];
  return Promise.all(
    files.map(async (file) => ({ file, text: await readFile(path.join(ROOT, file), 'utf8') })),
  );
}

export function blocksOf(pages: readonly Page[]): Block[] {
  return pages.flatMap(({ file, text }) =>
    [...text.matchAll(/^```(\w*)\n(.*?)^```/gms)].map(([, language = '', inside = '']) => ({
      file,
      language,
      text: inside,
    })),
  );
}

/** The cells of the table between two markers, without its head. */
export function tableOf(pages: readonly Page[], marker: string): string[][] {
  const whole = pages.map(({ text }) => text).join('\n');
  const [, table = ''] = whole.split(new RegExp(`<!-- /?${marker} -->`));
  const rows = table.split('\n').filter((line) => line.startsWith('|'));
  return rows.slice(2).map((row) =>
    row
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}
