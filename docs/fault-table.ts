// Writes what comes of each fault, from the data that the tests run, into `docs/faults.md`:
//
//   node docs/fault-table.ts
//
// It needs a Node that runs TypeScript (22.18 or later).
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { faultPage } from '../__tests__/faults/page.ts';

await writeFile(path.join(import.meta.dirname, 'faults.md'), faultPage());
