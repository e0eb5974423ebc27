import type { Transform } from 'node:stream';
import { promisify } from 'node:util';
import {
  brotliDecompress,
  brotliDecompressSync,
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  gunzip,
  gunzipSync,
  inflate,
  inflateSync,
} from 'node:zlib';

import { isError } from './errors.ts';

/** So long a body may be when it is decoded. */
const DECODED_BYTES = 256 * 1024 * 1024;
/** The same for the beginning of an error's body, which is decoded at once. */
const DECODED_ERROR_BYTES = 1024 * 1024;

interface Decoder {
  readonly whole: (bytes: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>;
  readonly beginning: (bytes: Buffer) => Buffer;
  readonly stream: () => Transform;
}

const partial = { maxOutputLength: DECODED_ERROR_BYTES, finishFlush: constants.Z_SYNC_FLUSH };
const partialBrotli = {
  maxOutputLength: DECODED_ERROR_BYTES,
  finishFlush: constants.BROTLI_OPERATION_FLUSH,
};
const GZIP: Decoder = {
  whole: promisify(gunzip),
  beginning: (bytes) => gunzipSync(bytes, partial),
  stream: () => createGunzip(),
};

const DECODERS: ReadonlyMap<string, Decoder> = new Map<string, Decoder>([
  ['gzip', GZIP],
  ['x-gzip', GZIP],
  [
    'deflate',
    {
      whole: promisify(inflate),
      beginning: (bytes) => inflateSync(bytes, partial),
      stream: () => createInflate(),
    },
  ],
  [
    'br',
    {
      whole: promisify(brotliDecompress),
      beginning: (bytes) => brotliDecompressSync(bytes, partialBrotli),
      stream: () => createBrotliDecompress(),
    },
  ],
]);

/** Whether bytes are what they seem, by their `Content-Encoding`. */
export function isPlain(contentEncoding: string | undefined): boolean {
  return contentEncoding === undefined || nameOf(contentEncoding) === 'identity';
}

/** Whether a body in this `Content-Encoding` can be decoded. */
export function isKnownCoding(contentEncoding: string | undefined): boolean {
  return isPlain(contentEncoding) || DECODERS.has(nameOf(contentEncoding));
}

/** A whole body without its `Content-Encoding`; `undefined` when it is none. */
export async function decodeBody(
  bytes: Buffer,
  contentEncoding: string | undefined,
): Promise<Buffer | 'too long' | undefined> {
  if (isPlain(contentEncoding)) return bytes;
  try {
    const options = { maxOutputLength: DECODED_BYTES };
    return await DECODERS.get(nameOf(contentEncoding))?.whole(bytes, options);
  } catch (error) {
    const isTooLong = isError(error) && error.code === 'ERR_BUFFER_TOO_LARGE';
    return isTooLong ? 'too long' : undefined;
  }
}

/** What can be read of a body of which only the beginning may be there. */
export function decodeBeginning(bytes: Buffer, contentEncoding: string | undefined): string {
  if (isPlain(contentEncoding)) return bytes.toString();
  try {
    return DECODERS.get(nameOf(contentEncoding))?.beginning(bytes).toString() ?? '';
  } catch {
    return '';
  }
}

/** Undoes a coding as the bytes come; `undefined` for one that nobody here knows. */
export function createDecoder(contentEncoding: string | undefined): Transform | undefined {
  return DECODERS.get(nameOf(contentEncoding))?.stream();
}

function nameOf(contentEncoding: string | undefined): string {
  return contentEncoding?.trim().toLowerCase() ?? 'identity';
}
