#!/usr/bin/env node
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { parseCommand } from './arguments.ts';
import { check } from './check.ts';
import { helpText } from './help.ts';
import { startServer } from './start-server.ts';
import type { RunningServer } from './start-server.ts';

// Whoever read along has gone (`| head`): no reason to go, too.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

const command = parseCommand(process.argv.slice(2), process.env);
try {
  if (command.kind === 'unknown') {
    complain(`unknown argument ${JSON.stringify(command.argument)}; --help shows those that exist`);
    process.exitCode = 2;
  } else if (command.kind === 'help') {
    process.stdout.write(`${helpText()}\n`);
  } else if (command.kind === 'version') {
    process.stdout.write(`${packageVersion()}\n`);
  } else if (command.kind === 'check') {
    process.stdout.write(`${await check(process.env)}\n`);
  } else if (command.kind === 'demo') {
    const { startDemo } = await import('./demo.ts');
    const demo = await startDemo();
    stopOnSignals(demo);
    await demo.show();
  } else if (command.kind === 'serve') {
    const { becauseOf } = command;
    if (becauseOf !== undefined)
      complain(`no demo, as ${becauseOf} is set; --demo shows it anyway`);
    stopOnSignals(await startServer());
  }
} catch (error) {
  complain(error instanceof Error ? error.message : String(error));
  process.exit(1);
}

/** Whatever is wrong is said in one line: a stack would bury it. */
function complain(message: string): void {
  process.stderr.write(`venice-proxy: ${message.replaceAll(/\s*\n\s*/g, ' ')}\n`);
}

/** The first signal lets open answers end; a second one, of either kind, does not wait for them. */
function stopOnSignals(running: RunningServer): void {
  let isStopping = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      // As a shell tells it of a process that the signal has killed.
      if (isStopping) process.exit(128 + constants.signals[signal]);
      isStopping = true;
      void running.close().then(() => process.exit(0));
    });
  }
}

function packageVersion(): string {
  const { version }: { version: string } = createRequire(import.meta.url)(
    'venice-proxy/package.json',
  );
  return version;
}
