import { AttemptFailure } from './attempt.ts';
import { embeddingsToBase64 } from './convert-embeddings.ts';
import { decodeBody } from './decode-body.ts';
import { ProxyError } from './errors.ts';
import type { UpstreamAnswer } from './upstream-answer.ts';

/**
 * Gives a client that wanted base64 the floats of the upstream in that form. An OpenAI SDK that
 * gets floats where it asked for base64 may make zeros of them without a word: an answer that
 * cannot be converted is a failure.
 */
export async function convertAnswer(answer: UpstreamAnswer): Promise<UpstreamAnswer> {
  if (answer.status !== 200 || !answer.isJson) return answer;
  const decoded = answer.hasEnded
    ? await decodeBody(Buffer.concat(answer.collected), answer.headers['content-encoding'])
    : undefined;
  const converted = decoded && embeddingsToBase64(decoded);
  if (converted === undefined) {
    answer.discard();
    throw new AttemptFailure(
      'lost',
      new ProxyError('upstream_invalid', 'The upstream sent embeddings that cannot be read.'),
    );
  }
  if (converted !== decoded) answer.replaceBody(converted);
  return answer;
}
