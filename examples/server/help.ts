import { PROXY_VARIABLES, SERVER_VARIABLES } from './variables.ts';
import type { Variable } from './variables.ts';

const WIDTH = 80;
const NAME_WIDTH = 20;

const USAGE = `venice-proxy puts OpenAI-compatible clients in front of the Venice API: it
retries, waits for rate limits and drops parameters that Venice refuses.

Usage: venice-proxy [option]

  --demo        Show it at work in front of a stand-in of Venice's, without a
                key and without a network; then keep serving.
  --demo=auto   The same, but only while neither VENICE_API_KEY nor
                OPENAI_BASE_URL is set; serve as usual otherwise.
  --check       Say whether the server would start as the variables are set and
                its port is free, and whether the target answers and knows
                VENICE_API_KEY (and Redis, if REDIS_URL is set);
                exit code 0 or 1.
  -h, --help    Show this text.
  -v, --version Show the version.

Everything is set by environment variables. In brackets: what counts when one is
unset or empty. Durations are seconds, decimals allowed.`;

const ENTRY_KEYS = `With PROXY_API_KEYS, clients must send one of these keys: in Authorization, as
the API key of an OpenAI client, when VENICE_API_KEY is set; in X-Proxy-Api-Key
when it is not.

Beside the API there are GET /health (this process runs), GET /ready (the target
answers, too), GET /metrics for Prometheus, which also asks for one of the keys,
and the status page at /status, where STATUS_PAGE lets it be.`;

/** The text of `--help`. */
export function helpText(): string {
  return [
    USAGE,
    section('The proxy', PROXY_VARIABLES),
    section('The server', SERVER_VARIABLES),
    ENTRY_KEYS,
  ].join('\n\n');
}

function section(title: string, variables: Readonly<Record<string, Variable>>): string {
  const rows = Object.entries(variables).map(([name, { fallback, shown, help }]) => {
    const first = `  ${name.padEnd(NAME_WIDTH)}${help}`;
    const value = `[${shown ?? fallback}]`;
    const fits = first.length + 1 + value.length <= WIDTH;
    return fits ? `${first} ${value}` : `${first}\n${' '.repeat(NAME_WIDTH + 2)}${value}`;
  });
  return [`${title}:`, ...rows].join('\n');
}
