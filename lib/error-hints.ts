import { redact } from './errors.ts';
import type { ProxyErrorCode } from './errors.ts';
import type { UpstreamError } from './upstream-error.ts';

/** What a hint may depend on, of the request. */
export interface HintedRequest {
  /** The path behind the API's base. */
  readonly route: string;
  /** Whether the client asked `stream: true`. */
  readonly stream: boolean;
}

/** What it may depend on where the upstream has answered. */
export interface HintedAnswer extends HintedRequest {
  readonly status: number;
  /** Whose credentials went upstream. */
  readonly credentials: 'proxy' | 'client' | 'wallet' | 'none';
  readonly error: UpstreamError;
  /** Whether its body came, and is empty; not so where there could be none, as for HEAD. */
  readonly isEmpty: boolean;
  /** Whether its headers say that a window has nothing left. */
  readonly isWindow: boolean;
  /** Its `CF-RAY`. */
  readonly ray: string | undefined;
  /** Names that are like that of its model; `undefined` where none are known. */
  readonly nearestModels?: (() => readonly string[]) | undefined;
}

interface HintRow {
  readonly statuses: readonly number[];
  /** Sought in what the upstream says: its code and its message. */
  readonly says?: RegExp;
  readonly when?: (failed: HintedAnswer) => boolean;
  /** ASCII, one line; never what the upstream or the client wrote, but for a field's plain name. */
  readonly hint: string | ((failed: HintedAnswer) => string | undefined);
}

const MODELS = 'GET /models?type=all lists the ids of the models.';
const ASK_FOR_STREAM = 'Ask with stream: true: an answer that is silent for too long is cut off.';

/** So much of what the upstream says is looked at. */
const SAID_LENGTH = 500;

/** First match counts. What the statuses mean: docs.venice.ai, error codes. */
const HINTS: readonly HintRow[] = [
  { statuses: [400], when: isField('unknown'), hint: unknownField },
  { statuses: [400], when: isField('null'), hint: nullField },
  {
    statuses: [400, 404],
    says: /INVALID_MODEL|MODEL_NOT_FOUND|\bmodel\b.*not found/i,
    hint: unknownModel,
  },
  { statuses: [400], says: /Invalid model|model .*does not exist/i, hint: unknownModel },
  {
    statuses: [400],
    says: /context_length_exceeded|TOO_MANY_TOKENS|maximum context/i,
    hint: 'GET /models tells how much each model takes: availableContextTokens.',
  },
  {
    statuses: [400],
    when: ({ isEmpty }) => isEmpty,
    hint: 'A parameter that Venice does not know may be why (store is one): leave it out, or add it to dropParams (DROP_PARAMS).',
  },
  {
    statuses: [401],
    says: /inactive/i,
    hint: 'The account of this API key has no active subscription.',
  },
  { statuses: [401], says: /PRO_ONLY|\bPro users\b/i, hint: 'This model wants a Pro account.' },
  {
    statuses: [401, 402, 403],
    when: ({ credentials }) => credentials === 'none',
    hint: 'The request had no key: send Authorization: Bearer <Venice API key>, or set apiKey (VENICE_API_KEY) in the proxy.',
  },
  {
    statuses: [401, 403],
    when: ({ credentials }) => credentials === 'wallet',
    hint: 'The wallet sign-in was refused: sign a new one, for the wallet that is asked about.',
  },
  {
    statuses: [401, 403],
    when: ({ route }) => /^\/(api_keys|billing)(\/|$)/.test(route),
    hint: 'This route wants an admin key; Venice has two kinds, and inference keys do not manage keys.',
  },
  {
    statuses: [401],
    when: ({ credentials }) => credentials === 'proxy',
    hint: 'The key is the one set in the proxy (apiKey, VENICE_API_KEY): is it whole, and still there at venice.ai/settings/api?',
  },
  {
    statuses: [401],
    hint: "The key is the client's own: is it a Venice key (inference or admin), whole, and still there at venice.ai/settings/api?",
  },
  {
    statuses: [402],
    says: /spend(ing)?[ _]limit/i,
    hint: "The key has reached its own spend limit, whatever the account's balance; a fresh key may have a limit of zero. Raise it at venice.ai/settings/api.",
  },
  {
    statuses: [402],
    says: /x402|Payment[ _]required/i,
    hint: 'The wallet must be topped up (x402): POST /x402/top-up; the PAYMENT-REQUIRED header has the terms.',
  },
  {
    statuses: [402],
    hint: "No balance (DIEM or credits) is left, or the key's own spend limit is reached: a fresh key may have a limit of zero. See venice.ai/settings/api.",
  },
  {
    statuses: [403],
    says: /API_ACCESS_DISABLED|has been disabled/i,
    hint: "Venice has shut this account's access to the API: support@venice.ai knows why.",
  },
  { statuses: [403], hint: 'The key is known, but may not do this.' },
  {
    statuses: [404],
    when: ({ route }) => /^\/(completions|moderations|files|batches|realtime)(\/|$)/.test(route),
    hint: 'Venice has no such route, unlike OpenAI.',
  },
  {
    statuses: [404],
    says: /MEDIA_NOT_FOUND|Media could not be found/i,
    hint: 'Media is kept for a while only: its id is wrong, or it has expired.',
  },
  {
    statuses: [404],
    says: /route not found/i,
    hint: 'Venice has no such route: does target (OPENAI_BASE_URL) end with /api/v1, and the path not begin with it once more?',
  },
  {
    statuses: [413],
    hint: "The limit is Venice's, not the proxy's: send less, or smaller files.",
  },
  {
    statuses: [415],
    hint: 'JSON goes as content-type: application/json, a file as multipart/form-data with its boundary.',
  },
  {
    statuses: [429],
    says: /Too many failed attempts.*feature/is,
    hint: 'The key is blocked for 30 s: it asked too often for what the model does not support. Leave those parameters out.',
  },
  {
    statuses: [429],
    says: /Too many failed attempts/i,
    hint: 'The key is blocked for failed requests until 30 s have passed without one; every failure in between counts again.',
  },
  {
    statuses: [429],
    says: /overloaded/i,
    hint: 'The model is overloaded, the rate limit is not the reason: try later, or another model.',
  },
  {
    statuses: [429],
    when: ({ isWindow }) => isWindow,
    hint: 'The rate limit of this key and model is used up until x-ratelimit-reset-*; the proxy waits for it as long as maxWait (MAX_WAIT) allows.',
  },
  {
    statuses: [429],
    hint: 'Too many requests, or too much work for the model: GET /api_keys/rate_limits tells the limits.',
  },
  {
    statuses: [503],
    says: /MODEL_OFFLINE|offline/i,
    hint: 'The model is offline: try later, or another model.',
  },
  {
    statuses: [503],
    hint: 'The model is at capacity, or Venice is: try later, or another model.',
  },
  { statuses: [504, 524], when: couldStream, hint: ASK_FOR_STREAM },
  {
    statuses: [504, 524],
    hint: 'It took Venice too long: ask for less at once, or later.',
  },
  {
    statuses: [520, 521, 522, 523, 525, 526, 530],
    hint: 'Cloudflare, in front of Venice, got no answer from it: try later.',
  },
  {
    statuses: [500, 502],
    when: ({ ray }) => ray !== undefined,
    hint: 'Venice failed; its support asks for the id in brackets.',
  },
];

/**
 * What helps with an error of the upstream, beside what the upstream says of it: one line of
 * ASCII, or `undefined`. It holds nothing of the request or the answer but the plain name of a
 * field, and the id that Venice's support asks for; and names of models that are known.
 */
export function hintFor(failed: HintedAnswer): string | undefined {
  const said = `${failed.error.code ?? ''} ${failed.error.message}`.slice(0, SAID_LENGTH);
  const row = HINTS.find(
    ({ statuses, says, when }) =>
      statuses.includes(failed.status) &&
      (says === undefined || says.test(said)) &&
      (when === undefined || when(failed)),
  );
  const hint = typeof row?.hint === 'function' ? row.hint(failed) : row?.hint;
  if (hint === undefined || failed.ray === undefined) return hint;
  return /^[\w-]{1,64}$/.test(failed.ray) ? `${hint} (CF-RAY ${failed.ray})` : hint;
}

/** What helps with an error of the proxy's own; most of them say it themselves. */
export function hintForOwn(code: ProxyErrorCode, request: HintedRequest): string | undefined {
  if (code === 'upstream_timeout') {
    return couldStream(request)
      ? 'Ask with stream: true, or raise timeout (TIMEOUT).'
      : 'Ask for less at once, or raise timeout (TIMEOUT).';
  }
  return OWN_HINTS[code];
}

const OWN_HINTS: Readonly<Partial<Record<ProxyErrorCode, string>>> = {
  body_too_large: 'The limit is bodyLimit (BODY_LIMIT) of the proxy.',
  rate_limit_exceeded: 'Come back after Retry-After, or raise maxWait (MAX_WAIT) of the proxy.',
  queue_full: 'Too many wait for this model: come back later, or raise maxQueue (MAX_QUEUE).',
  body_consumed: 'Mount the proxy in front of body parsers.',
  upstream_unreachable:
    "The proxy's log has the cause: DNS, a firewall, TLS, or target (OPENAI_BASE_URL).",
  loop_detected: 'Look at target (OPENAI_BASE_URL): it must not be the proxy itself.',
};

/** Whether `stream: true` would have been another way to ask. */
function couldStream({ route, stream }: HintedRequest): boolean {
  return !stream && /^\/(chat\/completions|responses)$/.test(route);
}

function isField(problem: 'unknown' | 'null'): (failed: HintedAnswer) => boolean {
  return ({ error }) => error.field?.problem === problem;
}

function unknownModel({ nearestModels }: HintedAnswer): string {
  const names = nearestModels?.() ?? [];
  return names.length === 0 ? MODELS : `Did you mean ${names.join(', ')}? ${MODELS}`;
}

function unknownField({ error }: HintedAnswer): string {
  const name = plainName(error);
  const isTopLevel = error.field?.isTopLevel === true;
  const what = `The upstream does not know ${name ?? 'a field of the request'}: leave it out`;
  return isTopLevel && name !== undefined
    ? `${what}, or name it in dropParams (DROP_PARAMS) or learnableParams (LEARNABLE_PARAMS).`
    : `${what}.`;
}

function nullField({ error }: HintedAnswer): string {
  return `${plainName(error) ?? 'A field of the request'} must not be null: leave it out, or give it a value.`;
}

/** A name that holds no prompt, and that does not look like a key. */
function plainName({ field }: UpstreamError): string | undefined {
  if (field === undefined || !/^[\w.-]{1,64}$/.test(field.name)) return undefined;
  return redact(field.name) === field.name ? field.name : undefined;
}
