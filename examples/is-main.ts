import { realpathSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

/** Whether a module was started by itself: `node dist/examples/….js`, also through a link. */
export function isMain(moduleUrl: string): boolean {
  const started = process.argv[1];
  return started !== undefined && pathToFileURL(realpathSync(started)).href === moduleUrl;
}
