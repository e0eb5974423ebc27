import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from '@jest/globals';
import { apiReference } from '../docs/api-reference.ts';
import { OPTION_NAMES } from '../lib/options.ts';
import { ROOT } from './helpers/program.ts';

const page = await readFile(path.join(ROOT, 'docs/api.md'), 'utf8');

test('docs/api.md is what `npm run docs:api` makes of the types', async () => {
  expect(page).toBe(await apiReference());
});

test('the reference tells of every option, with its default', () => {
  const [, options = ''] = page.split(/^### VeniceProxyOptions$/m);
  const items = options.split(/^### /m)[0]?.split(/^- (?=\*\*)/m) ?? [];
  for (const name of Object.keys(OPTION_NAMES)) {
    const item = items.find((each) => each.startsWith(`**\`${name}\`**`));
    expect([name, item]).toEqual([name, expect.stringContaining('Default: ')]);
  }
});
