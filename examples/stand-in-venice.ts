import { parseArgs } from 'node:util';
import { createStandInVenice } from './stand-in-venice/server.ts';

export { createStandInVenice } from './stand-in-venice/server.ts';
export type { Fault } from './stand-in-venice/fault.ts';
export type { RecordedCall, StandInOptions, StandInVenice } from './stand-in-venice/types.ts';

// Also a program: `node dist/examples/stand-in-venice.js --port 9100`. A module that is run by
// jest knows no file name of its own.
if (process.argv[1] !== undefined && process.argv[1] === import.meta.filename) {
  const { values } = parseArgs({ options: { port: { type: 'string' }, host: { type: 'string' } } });
  const venice = createStandInVenice({ keptCalls: 0 });
  console.log(await venice.listen(Number(values.port ?? 9100), values.host));
}
