import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate } from 'node:zlib';
import { AttemptFailure } from './attempt.ts';
import { embeddingsToBase64 } from './convert-embeddings.ts';
import { ProxyError } from './errors.ts';
import type { UpstreamAnswer } from './upstream-answer.ts';

/** A compressed answer may be so long when it is decompressed. */
const DECODED_BYTES = 256 * 1024 * 1024;

const DECODERS: Readonly<
  Record<string, (bytes: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>>
> = {
  gzip: promisify(gunzip),
  'x-gzip': promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
};

/**
 * Gives a client that wanted base64 the floats of the upstream in that form. An OpenAI SDK that
 * gets floats where it asked for base64 may make zeros of them without a word: an answer that
 * cannot be converted is a failure.
 */
export async function convertAnswer(answer: UpstreamAnswer): Promise<UpstreamAnswer> {
  if (answer.status !== 200 || !answer.isJson) return answer;
  const decoded = answer.hasEnded ? await decode(answer) : undefined;
  const converted = decoded && embeddingsToBase64(decoded);
  if (converted === undefined) {
    answer.discard();
    throw new AttemptFailure(
      'lost',
      new ProxyError('upstream_invalid', 'The upstream sent embeddings that cannot be read.'),
    );
  }
  answer.replaceBody(converted);
  return answer;
}

async function decode(answer: UpstreamAnswer): Promise<Buffer | undefined> {
  const bytes = Buffer.concat(answer.collected);
  if (answer.isPlain) return bytes;
  const decoder = DECODERS[answer.headers['content-encoding']?.trim().toLowerCase() ?? ''];
  try {
    return await decoder?.(bytes, { maxOutputLength: DECODED_BYTES });
  } catch {
    return undefined;
  }
}
