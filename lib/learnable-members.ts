import type { Config } from './options.ts';

/** Members without which a request means the same. */
const HARMLESS: readonly string[] = [
  'thinking',
  'enable_thinking',
  'user',
  'safety_identifier',
  'prompt_cache_key',
  'prompt_cache_retention',
  'service_tier',
  'logprobs',
  'top_logprobs',
  'metadata',
  'prediction',
];

/** The members that may go, whatever their value is, when the upstream refuses them. */
export function learnableMembers({
  learnableParams,
}: Pick<Config, 'learnableParams'>): ReadonlySet<string> {
  return new Set([...HARMLESS, ...learnableParams]);
}

/** Any other member may go when it is `null`, and its name can be told in a header and the log. */
export function isPlainName(name: string): boolean {
  return /^[\w.$-]{1,64}$/.test(name);
}
