// Writes the reference of what the package exports into `docs/api.md`:
//
//   node docs/api-page.ts
//
// It needs a Node that runs TypeScript (22.18 or later).
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { apiReference } from './api-reference.ts';

await writeFile(path.join(import.meta.dirname, 'api.md'), await apiReference());
