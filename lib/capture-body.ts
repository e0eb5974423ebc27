import type { Request } from 'express';
import { isPlain } from './decode-body.ts';
import { ProxyError, bodyStalled } from './errors.ts';
import { hasBody, isJsonType } from './headers.ts';
import { HeldBytes } from './held-bytes.ts';
import type { Config } from './options.ts';
import { Pieces } from './pieces.ts';
import type { Step } from './pipeline.ts';
import type { CapturedBody, RequestContext } from './request-context.ts';

const PASSTHROUGH: CapturedBody = { kind: 'passthrough' };

/** Holds JSON up to `bodyLimit`; leaves every other body in its stream. */
export function captureBody(config: Config): Step {
  return function captureBodyOf(context) {
    const { req } = context;
    if (!hasBody(req.headers)) return undefined;
    // Some of it gone is as bad as all of it: the rest would pass for the whole.
    if (req.readableEnded || req.readableDidRead) {
      context.body = bodyFromParser(req, config.bodyLimitBytes);
      return undefined;
    }
    if (isJsonType(req.headers['content-type']) || context.ollama !== undefined) {
      return hold(context, config);
    }
    context.body = PASSTHROUGH;
    return undefined;
  };
}

/** A body parser of the app was here first (`express.json()`, say): what it made is what we have. */
function bodyFromParser(req: Request, limitBytes: number): CapturedBody {
  const parsed: unknown = req.body;
  let bytes: Buffer | undefined;
  if (Buffer.isBuffer(parsed)) bytes = parsed;
  else if (typeof parsed === 'string') bytes = Buffer.from(parsed);
  else if (parsed !== undefined && isJsonType(req.headers['content-type'])) {
    bytes = Buffer.from(JSON.stringify(parsed));
  }
  if (bytes === undefined) {
    throw new ProxyError(
      'body_consumed',
      'A body parser in front of the proxy has read this request and left nothing to forward. ' +
        'Mount the proxy before it.',
    );
  }
  if (bytes.length > limitBytes) throw tooLarge(limitBytes);
  const isRespelt = !Buffer.isBuffer(parsed);
  return { kind: 'held', bytes: new HeldBytes([bytes]), isEncoded: false, isRespelt };
}

function hold(
  context: RequestContext,
  { bodyLimitBytes: limitBytes, idleMs }: Config,
): Promise<void> {
  const { req, patience } = context;
  if (Number(req.headers['content-length'] ?? 0) > limitBytes) {
    return Promise.reject(tooLarge(limitBytes));
  }
  return new Promise((resolve, reject) => {
    const pieces = new Pieces();
    const finish = (): void => {
      patience.stop();
      req.off('data', onData).off('end', onEnd).off('error', onError);
      context.busyWith = undefined;
    };
    const onData = (chunk: Buffer): void => {
      patience.prolong(idleMs);
      pieces.push(chunk);
      if (pieces.bytes <= limitBytes) return;
      finish();
      reject(tooLarge(limitBytes));
    };
    const onEnd = (): void => {
      finish();
      context.body = {
        kind: 'held',
        bytes: new HeldBytes(pieces.list),
        isEncoded: !isPlain(req.headers['content-encoding']),
        isRespelt: false,
      };
      resolve();
    };
    const onError = (error: Error): void => {
      finish();
      reject(error);
    };
    context.busyWith = {
      cancel: (reason) => onError(reason ?? new Error('the client left while it sent its body')),
    };
    patience.begin(idleMs, () => onError(bodyStalled(idleMs)));
    req.on('data', onData).on('end', onEnd).on('error', onError);
  });
}

function tooLarge(limitBytes: number): ProxyError {
  return new ProxyError(
    'body_too_large',
    `The request body is longer than ${limitBytes} bytes, the limit of this proxy.`,
  );
}
