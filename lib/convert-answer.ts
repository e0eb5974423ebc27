import { AttemptFailure } from './attempt.ts';
import { embeddingsToBase64 } from './convert-embeddings.ts';
import { decodeBody, isKnownCoding } from './decode-body.ts';
import { ProxyError } from './errors.ts';
import type { UpstreamAnswer } from './upstream-answer.ts';

/**
 * Gives a client that wanted base64 the floats of the upstream in that form. An OpenAI SDK that
 * gets floats where it asked for base64 may make zeros of them without a word: an answer that
 * cannot be converted is a failure.
 */
export async function convertAnswer(answer: UpstreamAnswer): Promise<UpstreamAnswer> {
  if (answer.status !== 200 || !answer.isJson) return answer;
  const coding = answer.headers['content-encoding'];
  // Too long, or in a coding that we do not know: it would be so the next time, and cost the same.
  if (!answer.hasEnded || !isKnownCoding(coding)) throw unreadable(answer, 'final');
  const decoded = await decodeBody(answer.joined, coding);
  if (decoded === 'too long') throw unreadable(answer, 'final');
  const converted = decoded && embeddingsToBase64(decoded);
  if (converted === undefined) throw unreadable(answer, 'lost');
  if (converted !== decoded) answer.replaceBody(converted);
  return answer;
}

function unreadable(answer: UpstreamAnswer, kind: 'final' | 'lost'): AttemptFailure {
  answer.discard();
  const message = 'The upstream sent embeddings that cannot be read.';
  return new AttemptFailure(kind, new ProxyError('upstream_invalid', message));
}
