import { parseArgs } from 'node:util';
import type { Env } from './variables.ts';

/** What the command line asks for. */
export type Command =
  | { readonly kind: 'check' | 'demo' | 'help' | 'version' }
  | {
      readonly kind: 'serve';
      /** The variable because of which `--demo=auto` is no demo. */
      readonly becauseOf?: string;
    }
  /** Something that is not known: told as it stands. */
  | { readonly kind: 'unknown'; readonly argument: string };

/**
 * @param argv - the arguments, without the program
 * @param env - decides `--demo=auto`
 */
export function parseCommand(argv: readonly string[], env: Env): Command {
  const { tokens } = parseArgs({
    args: [...argv],
    // Not strict: its complaints are several sentences long. What is unknown is found below.
    strict: false,
    allowPositionals: true,
    tokens: true,
    options: {
      help: { type: 'boolean', short: 'h' },
      version: { type: 'boolean', short: 'v' },
      // A boolean, so that it may stand without a value; with one it is told in the token.
      demo: { type: 'boolean' },
      check: { type: 'boolean' },
    },
  });
  let command: Command = { kind: 'serve' };
  for (const token of tokens) {
    const asked = token.kind === 'option' ? commandOf(token.name, token.value, env) : undefined;
    if (asked === undefined) {
      const argument = token.kind === 'positional' ? token.value : argv[token.index];
      return { kind: 'unknown', argument: argument ?? '' };
    }
    // Who asks for help wants help, whatever else stands there.
    if (command.kind !== 'help') command = asked;
  }
  return command;
}

function commandOf(name: string, value: string | undefined, env: Env): Command | undefined {
  if (name === 'demo' && value === 'auto') {
    const becauseOf = configuredBy(env);
    return becauseOf === undefined ? { kind: 'demo' } : { kind: 'serve', becauseOf };
  }
  if (value !== undefined) return undefined;
  const kinds = ['check', 'demo', 'help', 'version'] as const;
  const kind = kinds.find((each) => each === name);
  return kind && { kind };
}

function configuredBy(env: Env): string | undefined {
  return ['VENICE_API_KEY', 'OPENAI_BASE_URL'].find((name) => (env[name]?.trim() ?? '') !== '');
}
