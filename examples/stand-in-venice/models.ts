import { invalidRequest } from './refusals.ts';
import { json } from './reply.ts';
import type { Reply } from './reply.ts';

const TYPES = 'asr embedding image music text tts upscale inpaint video all code'.split(' ');

const OWNED = { object: 'model', created: 1_767_225_600, owned_by: 'venice.ai' };

const text = (id: string, name: string, tokens: number, able: readonly string[]) => ({
  id,
  type: 'text',
  ...OWNED,
  context_length: tokens,
  model_spec: {
    name,
    availableContextTokens: tokens,
    maxCompletionTokens: tokens / 4,
    privacy: 'private',
    capabilities: {
      optimizedForCode: able.includes('code'),
      quantization: 'fp8',
      supportsFunctionCalling: able.includes('tools'),
      supportsAudioInput: false,
      supportsReasoning: able.includes('reasoning'),
      supportsReasoningEffort: able.includes('reasoning'),
      supportsResponseSchema: able.includes('tools'),
      supportsMultipleImages: able.includes('vision'),
      supportsVision: able.includes('vision'),
      supportsVideoInput: false,
      supportsWebSearch: true,
      supportsLogProbs: able.includes('logprobs'),
      supportsTeeAttestation: false,
      supportsE2EE: false,
      supportsXSearch: false,
    },
    constraints: { temperature: { default: 0.7 }, top_p: { default: 0.9 } },
  },
});

const other = (id: string, type: string, name: string) => ({
  id,
  type,
  ...OWNED,
  model_spec: { name, privacy: 'private' },
});

const MODELS = [
  text('llama-3.3-70b', 'Llama 3.3 70B', 131_072, ['tools', 'logprobs']),
  text('qwen3-235b', 'Venice Large', 131_072, ['tools', 'reasoning', 'code']),
  text('mistral-31-24b', 'Venice Medium', 131_072, ['tools', 'vision']),
  text('venice-uncensored', 'Venice Uncensored', 32_768, []),
  other('text-embedding-bge-m3', 'embedding', 'BGE-M3'),
  other('venice-sd35', 'image', 'Venice SD35'),
  other('tts-kokoro', 'tts', 'Kokoro Text to Speech'),
  other('openai/whisper-large-v3', 'asr', 'Whisper Large V3'),
  other('wan-2.5-preview-text-to-video', 'video', 'Wan 2.5 Preview'),
  other('elevenlabs-music', 'music', 'ElevenLabs Music'),
];

/** `GET /models`: text models, or those of `?type=`; `all` lists every one. */
export function listModels(query: URLSearchParams): Reply {
  const type = query.get('type') ?? 'text';
  if (!TYPES.includes(type))
    return invalidRequest(`Invalid enum value, received '${type}'`, 'type');
  const data = MODELS.filter((model) => type === 'all' || model.type === type);
  return json({ object: 'list', type, data });
}

/** `GET /api_keys/rate_limits`: what each model allows a minute. */
export function rateLimitsOf(perModel: { amount: number; type: string }[]): Reply {
  const rateLimits = MODELS.map(({ id }) => ({ apiModelId: id, rateLimits: perModel }));
  return json({
    data: {
      accessPermitted: true,
      apiTier: { id: 'paid', isCharged: true },
      balances: { USD: 50.23, DIEM: 100.023 },
      keyExpiration: null,
      nextEpochBegins: '2030-01-01T00:00:00.000Z',
      rateLimits,
    },
  });
}
