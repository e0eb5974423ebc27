/** The parameters that are dropped where nobody says otherwise. */
export const DROPPED: readonly string[] = ['prompt_cache_key', 'logprobs', 'top_logprobs'];
