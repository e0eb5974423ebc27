import { answerTo, idFor, textOf, wordsOf } from './chat.ts';
import { invalidRequest } from './refusals.ts';
import { events, isObject, json, tokensIn } from './reply.ts';
import type { JsonObject, Reply } from './reply.ts';

/** `POST /responses`: one message of text, whole or as events. */
export function createResponse(body: JsonObject): Reply {
  const { model, input } = body;
  if (typeof model !== 'string' || model === '') return invalidRequest('Required', 'model');
  if (typeof input !== 'string' && !Array.isArray(input))
    return invalidRequest('Required', 'input');
  const question = typeof input === 'string' ? input : textOf(input.findLast(isObject)?.content);
  const text = answerTo(question, body.x_words);
  const input_tokens = tokensIn(JSON.stringify(input));
  const output_tokens = tokensIn(text);
  const usage = { input_tokens, output_tokens, total_tokens: input_tokens + output_tokens };

  const part = { type: 'output_text', text, annotations: [] };
  const item = { id: idFor('msg', model, question), type: 'message', role: 'assistant' };
  const done = { ...item, status: 'completed', content: [part] };
  const response = {
    id: idFor('resp', model, question),
    object: 'response',
    created_at: 1_767_225_600,
    model,
  };
  const completed = { ...response, status: 'completed', output: [done], error: null, usage };
  if (body.stream !== true) return json(completed, 200, usage.total_tokens);

  const begun = { ...response, status: 'in_progress', output: [], error: null, usage: null };
  const at = { item_id: item.id, output_index: 0, content_index: 0 };
  const sent: [string, object][] = [
    ['response.created', { response: begun }],
    ['response.in_progress', { response: begun }],
    [
      'response.output_item.added',
      { output_index: 0, item: { ...item, status: 'in_progress', content: [] } },
    ],
    ['response.content_part.added', { ...at, part: { ...part, text: '' } }],
    ...wordsOf(text).map((delta): [string, object] => [
      'response.output_text.delta',
      { ...at, delta },
    ]),
    ['response.output_text.done', { ...at, text }],
    ['response.content_part.done', { ...at, part }],
    ['response.output_item.done', { output_index: 0, item: done }],
    ['response.completed', { response: completed }],
  ];
  const texts = sent.map(([type, fields], sequence_number) => {
    const data = JSON.stringify({ type, sequence_number, ...fields });
    return `event: ${type}\ndata: ${data}\n\n`;
  });
  return events(texts, usage.total_tokens);
}
