import { setTimeout as sleep } from 'node:timers/promises';
import { createDemoVenice } from './demo-venice.ts';
import { member } from './error-reason.ts';
import { startServer } from './start-server.ts';
import type { RunningServer } from './start-server.ts';
import { PROXY_VARIABLES, SERVER_VARIABLES } from './variables.ts';
import type { Env } from './variables.ts';

/** The server in front of a stand-in of Venice's. */
export interface Demo extends RunningServer {
  /** Sends three requests through the proxy and prints what becomes of them. */
  show(): Promise<void>;
}

const MODEL = 'llama-3.3-70b';
/** Between the parts, so that there is time to read. */
const PAUSE_MS = 400;
const WORD_MS = 110;

/** Settings of the user's that count; all others would change what there is to see. */
const KEPT = ['HOST', 'PORT', 'PROXY_PATH_PREFIX', 'CORS_ORIGIN', 'STATUS_PAGE', 'SHUTDOWN_GRACE'];

/**
 * Starts a stand-in on a loopback port and the server in front of it, at `HOST` and `PORT`.
 *
 * @param env - the environment
 * @param print - where the transcript goes; log lines go to stderr
 */
export async function startDemo(
  env: Env = process.env,
  print: (text: string) => void = (text) => void process.stdout.write(text),
): Promise<Demo> {
  const standIn = createDemoVenice(WORD_MS);
  const target = await standIn.listen();
  let running: RunningServer;
  try {
    running = await startServer({
      ...Object.fromEntries(KEPT.map((name) => [name, env[name]])),
      // There is nothing to hide in a demo. An empty variable counts as unset.
      STATUS_PAGE: env['STATUS_PAGE'] || '1',
      OPENAI_BASE_URL: target,
      BASE_RETRY_DELAY: '0.4',
      LOG_FORMAT: 'pretty',
      // The retries and the requests are the show.
      DEBUG: `${env['DEBUG'] ?? ''},-venice-proxy:server`,
    });
  } catch (error) {
    await standIn.close();
    throw error;
  }

  const { url, statusUrl, proxy } = running;

  const unused = Object.keys({ ...PROXY_VARIABLES, ...SERVER_VARIABLES }).filter(
    (name) => (env[name]?.trim() ?? '') !== '' && ![...KEPT, 'DEBUG'].includes(name),
  );

  async function show(): Promise<void> {
    print(introduction(url));
    if (unused.length > 0) {
      print(`\n  Set, but not used in the demo:\n    ${unused.join('\n    ')}\n`);
    }
    standIn.expect('limited');
    await ask(RATE_LIMIT, 'What happens at a rate limit?');
    standIn.expect('busy', 'lost');
    await ask(FAILURES, 'And when something breaks?');
    await ask(STREAM, 'Please say this slowly, word by word.', true);
    print(instructions(url, statusUrl));
  }

  async function ask(explanation: string, question: string, stream = false): Promise<void> {
    print(`${explanation}\n    > ${question}\n`);
    const askedAt = performance.now();
    const response = await fetch(`${url}/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer any-key' },
      body: JSON.stringify({
        model: MODEL,
        messages: [{ role: 'user', content: question }],
        stream,
      }),
    });
    print('    < ');
    if (stream) for await (const word of wordsOf(response)) print(word);
    else print(`${dig(await response.json(), 'choices', '0', 'message', 'content')}\n`);
    const attempts = response.headers.get('x-venice-proxy-attempts');
    const seconds = ((performance.now() - askedAt) / 1_000).toFixed(1);
    print(`      status ${response.status} on attempt ${attempts}, after ${seconds} s\n`);
    await sleep(PAUSE_MS);
  }

  return {
    ...running,
    async show(): Promise<void> {
      try {
        await show();
      } catch (error) {
        // Who stops the demo in the middle of its show has seen enough.
        if (!proxy.draining) throw error;
      }
    },
    async close(): Promise<void> {
      await running.close();
      await standIn.close();
    },
  };
}

function introduction(url: string): string {
  return `
  venice-proxy, in front of a stand-in for Venice on this machine, which needs
  no network and takes any key. Clients find it at

    ${url}

  Below: > is what a client asks, < is what it gets, and the lines that begin
  with the time are the log of the proxy, which tells what happened in between.
`;
}

const RATE_LIMIT = `
  1. Venice says 429, too many requests, and when its limit ends.
     The proxy waits until then and asks again. The client just gets its answer.
`;

const FAILURES = `
  2. The model is at capacity (503); asked again, the connection breaks.
     The proxy tries again, each time after a short wait.
`;

const STREAM = `
  3. A streamed answer: each word is passed on as it comes.
`;

function instructions(url: string, statusUrl: string | undefined): string {
  const watch = statusUrl === undefined ? '' : `\n  Watch it in a browser at\n\n    ${statusUrl}\n`;
  const body = { model: MODEL, messages: [{ role: 'user', content: 'Hi' }] };
  return `
  Now it is yours; any key and any model will do. Ctrl+C stops it.

    curl ${url}/chat/completions \\
      -H 'Authorization: Bearer any-key' -H 'Content-Type: application/json' \\
      -d '${JSON.stringify(body)}'

  Or set up an OpenAI client with

    base URL  ${url}
    API key   any-key
${watch}
  For the real Venice: venice-proxy alone (or npm start with OPENAI_BASE_URL or
  VENICE_API_KEY set). venice-proxy --help shows all settings.

`;
}

/** The words of a streamed chat answer, as they come; at their end a line end. */
async function* wordsOf({ body }: Response): AsyncGenerator<string> {
  if (body === null) return;
  let text = '';
  for await (const piece of body.pipeThrough(new TextDecoderStream())) {
    text += piece;
    const events = text.split('\n\n');
    text = events.pop() ?? '';
    for (const event of events) {
      const data = event.replace(/^data: /, '');
      const json: unknown = data === '[DONE]' ? undefined : JSON.parse(data);
      yield dig(json, 'choices', '0', 'delta', 'content');
      // Not at `[DONE]`: by then the proxy has logged that the request is over.
      if (dig(json, 'choices', '0', 'finish_reason') !== '') yield '\n';
    }
  }
}

/** The text at a place in some JSON; empty where there is none. */
function dig(json: unknown, ...path: readonly string[]): string {
  const value = path.reduce(member, json);
  return typeof value === 'string' ? value : '';
}
