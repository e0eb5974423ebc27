import type { AnswerTransform } from '../answer-transform.ts';
import { ProxyError } from '../errors.ts';
import type { ErrorMembers } from '../errors.ts';
import { dataOfEvents } from '../event-stream.ts';
import { isObject, parseJson } from '../json-value.ts';
import type { RequestContext } from '../request-context.ts';
import type { Timing } from './done.ts';
import { translateAnswer } from './translate-answer.ts';
import type { Asked } from './translate-answer.ts';
import { StreamTranslation, lineOf } from './translate-stream.ts';

const NOTHING = Buffer.alloc(0);

/**
 * Errors as Ollama's clients read them, be it a whole answer or the last line of one. With what
 * helps: these clients show their text, and nobody sees a header.
 */
export function ollamaErrors(context: RequestContext): (error: ErrorMembers) => Buffer {
  return ({ message }) => {
    const { hint } = context;
    const error = hint === undefined ? message : `${message.replace(/\.$/, '')}. ${hint}`;
    return Buffer.from(lineOf({ error }));
  };
}

/** Makes of Venice's answer what Ollama's client has asked for. */
export function ollamaTransform(context: RequestContext, asked: Asked): AnswerTransform {
  let firstTokenAt: number | undefined;
  const since = (at: number): number => at - context.startedAt;
  const timing = (): Timing => ({
    waitedMs: context.waitedMs,
    firstTokenMs: firstTokenAt === undefined ? undefined : since(firstTokenAt),
    totalMs: since(performance.now()),
  });

  function json(body: Buffer): Buffer {
    const answer = parseJson(body.toString());
    const translated = isObject(answer)
      ? translateAnswer(asked, answer, timing(), new Date())
      : undefined;
    if (translated === undefined) throw unreadable();
    // A client that waits for lines is content with a single one.
    return Buffer.from(lineOf(translated));
  }

  const error = ollamaErrors(context);
  if (!asked.isStream) return { json, error };

  const lines = new StreamTranslation(asked, timing);
  return {
    streamType: 'application/x-ndjson',
    json,
    event(event) {
      const data = dataOfEvents(event.toString());
      if (data.length > 0) firstTokenAt ??= performance.now();
      return Buffer.from(data.map((each) => lines.push(each)).join(''));
    },
    end() {
      const last = lines.end();
      if (last === undefined) throw unreadable();
      return last === '' ? NOTHING : Buffer.from(last);
    },
    error,
  };
}

function unreadable(): ProxyError {
  return new ProxyError('upstream_invalid', 'The upstream sent an answer that cannot be read.');
}
