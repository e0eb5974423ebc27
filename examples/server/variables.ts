/** An environment: `process.env`, or a part of one. */
export type Env = Readonly<Record<string, string | undefined>>;

/** What is to be known of an environment variable beside how it is read. */
export interface Variable {
  /** What counts when it is unset or empty; `''` where that is nothing. */
  readonly fallback: string;
  /** How the fallback is told, where it does not speak for itself. */
  readonly shown?: string;
  /** Holds keys, separated by commas: its value is never shown. */
  readonly secret?: true;
  /** One line for `--help`. */
  readonly help: string;
}

const table = <Name extends string>(
  rows: Record<Name, Variable>,
): Readonly<Record<Name, Variable>> => rows;

/** Variables that are options of the library; it reads them itself, through `optionsFromEnv`. */
export const PROXY_VARIABLES = table({
  OPENAI_BASE_URL: {
    fallback: 'https://api.venice.ai/api/v1',
    help: 'Where requests go.',
  },
  VENICE_API_KEY: {
    fallback: '',
    shown: "the client's own key",
    secret: true,
    help: 'The key that goes upstream for every client.',
  },
  TIMEOUT: {
    fallback: '300',
    help: 'Patience for the first byte, and between two chunks.',
  },
  MAX_RETRIES: {
    fallback: '5',
    help: 'Attempts beyond the first; 0 turns retries off.',
  },
  BASE_RETRY_DELAY: {
    fallback: '1.0',
    help: 'Base of the exponential backoff.',
  },
  RATE_LIMIT_WAIT: {
    fallback: '30',
    help: 'Wait after "Too many failed attempts".',
  },
  MAX_WAIT: {
    fallback: '300',
    help: 'Longest that one request waits in all, also for its turn.',
  },
  RATE_LIMIT: {
    fallback: '1',
    help: '0 sends requests although the rate limit is used up.',
  },
  MAX_QUEUE: {
    fallback: '1000',
    help: 'Requests of one key and model that may wait at once.',
  },
  HEARTBEAT: {
    fallback: '15',
    help: 'Silence until a waiting stream gets a comment; 0: never.',
  },
  STORE_TIMEOUT: {
    fallback: '0.1',
    help: 'Patience with Redis before a process decides alone.',
  },
  LEARN_PARAMS: {
    fallback: '1',
    help: '0 keeps parameters that Venice has refused.',
  },
  LEARNABLE_PARAMS: {
    fallback: 'none',
    help: 'More parameters to drop when Venice refuses them.',
  },
  MODELS: {
    fallback: 'none',
    help: 'Other names for models: gpt-4o=llama-3.3-70b,…',
  },
  DEFAULTS: {
    fallback: '{}',
    help: 'JSON: parameters that chats lack, by model.',
  },
  FALLBACKS: {
    fallback: 'none',
    help: 'Models to ask where one is busy: model-a=model-b|model-c,…',
  },
  NORMALIZE_ERRORS: {
    fallback: '0',
    help: "1 puts Venice's errors into OpenAI's shape.",
  },
  OLLAMA: {
    fallback: '1',
    help: "0 turns Ollama's API off (/api/tags, /api/chat, …).",
  },
  FORWARD_ADDRESS: {
    fallback: '0',
    help: '1 sends X-Forwarded-For, -Proto and -Host upstream.',
  },
  BODY_LIMIT: {
    fallback: '50mb',
    help: 'Longest JSON body; other bodies have no limit.',
  },
  DROP_PARAMS: {
    fallback: 'prompt_cache_key,logprobs,top_logprobs',
    help: 'Members cut out of chat and responses; "none" keeps all.',
  },
});

/** Variables of the server's own. */
export const SERVER_VARIABLES = table({
  HOST: {
    fallback: '0.0.0.0',
    help: 'Address to listen on.',
  },
  PORT: {
    fallback: '9000',
    help: 'Port to listen on; 0 takes a free one.',
  },
  PROXY_PATH_PREFIX: {
    fallback: '/api/v1',
    help: 'Path under which clients find the API.',
  },
  PROXY_API_KEYS: {
    fallback: '',
    shown: 'everyone may enter',
    secret: true,
    help: 'Keys that may enter, separated by commas.',
  },
  ALLOW_OPEN_KEY: {
    fallback: '0',
    help: '1 lends VENICE_API_KEY to whoever reaches the address.',
  },
  CORS_ORIGIN: {
    fallback: '',
    shown: 'none',
    help: 'Origins whose pages may use it, separated by commas, or *.',
  },
  STATUS_PAGE: {
    fallback: '',
    shown: 'on loopback, or with an entry key',
    help: 'Status page at /status: 1 on every address, 0 nowhere.',
  },
  METRICS: {
    fallback: '1',
    help: '0: no GET /metrics; it needs npm install prom-client.',
  },
  LOG_FORMAT: {
    fallback: '',
    shown: 'pretty on a terminal, else json',
    help: 'How log lines look: pretty or json.',
  },
  DEBUG: {
    fallback: '',
    shown: 'the useful ones',
    help: 'More log namespaces (venice-proxy:*); -NAME hides one.',
  },
  SHUTDOWN_GRACE: {
    fallback: '30',
    help: 'How long open answers may go on after SIGTERM or SIGINT.',
  },
  MAX_CONNECTIONS: {
    fallback: '10000',
    help: 'Connections at once; beyond, idle ones make room.',
  },
  HEADERS_TIMEOUT: {
    fallback: '60',
    help: 'How long the head of a request may take.',
  },
  REQUEST_TIMEOUT: {
    fallback: '1800',
    help: 'How long a whole request may take, its body included.',
  },
  REDIS_URL: {
    fallback: '',
    shown: 'each process has its own view',
    help: 'Redis or Valkey where processes share the rate limits.',
  },
});
