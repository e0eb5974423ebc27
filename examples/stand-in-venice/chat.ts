import { createHash } from 'node:crypto';
import { invalidRequest } from './refusals.ts';
import { events, isObject, json, tokensIn } from './reply.ts';
import type { JsonObject, Reply } from './reply.ts';

// The same question always gets the same bytes, so that two ways to the stand-in can be compared.
const CREATED = 1_767_225_600;

/**
 * `POST /chat/completions`. Beside Venice's parameters: `x_comments: true` puts a comment before
 * each piece of content, `x_words: n` makes the answer n words long.
 */
export function chatCompletion(body: JsonObject): Reply {
  const { model, messages } = body;
  if (typeof model !== 'string' || model === '') return invalidRequest('Required', 'model');
  if (!Array.isArray(messages) || messages.length === 0) {
    return invalidRequest('Required', 'messages');
  }
  const question = lastUserText(messages);
  const tool = toolToCall(body, messages);
  const text = tool === undefined ? answerTo(question, body.x_words) : '';
  const prompt = tokensIn(JSON.stringify(messages));
  const usage = usageOf(prompt, tokensIn(tool === undefined ? text : tool.arguments));
  const answer = { id: idFor('chatcmpl', model, question), created: CREATED, model };

  if (body.stream === true) {
    const chunks = tool === undefined ? textChunks(text) : toolChunks(tool);
    const texts = chunks.flatMap((chunk, place) => {
      const event = dataEvent({ ...answer, object: 'chat.completion.chunk', choices: [chunk] });
      return body.x_comments === true && place > 0 ? [': thinking\n\n', event] : [event];
    });
    if (isObject(body.stream_options) && body.stream_options.include_usage === true) {
      texts.push(dataEvent({ ...answer, object: 'chat.completion.chunk', choices: [], usage }));
    }
    return events([...texts, 'data: [DONE]\n\n'], usage.total_tokens);
  }
  const message = tool === undefined ? textMessage(text) : toolMessage(tool);
  const finish_reason = tool === undefined ? 'stop' : 'tool_calls';
  const choices = [{ index: 0, message, finish_reason, logprobs: null }];
  const { venice_parameters } = body;
  const whole = { ...answer, object: 'chat.completion', choices, usage, venice_parameters };
  return json(whole, 200, usage.total_tokens);
}

interface ToolCall {
  id: string;
  name: string;
  arguments: string;
}

// After a tool's result the answer is text: an agent that calls tools in a loop comes to an end.
function toolToCall(body: JsonObject, messages: unknown[]): ToolCall | undefined {
  const last: unknown = messages.at(-1);
  const tools: unknown[] = Array.isArray(body.tools) ? body.tools : [];
  if (body.tool_choice === 'none' || (isObject(last) && last.role === 'tool')) return undefined;
  const names = tools.flatMap((tool) => (isObject(tool) ? [tool.function] : []));
  const called = names.find(isObject);
  if (called === undefined || typeof called.name !== 'string') return undefined;
  const question = lastUserText(messages).slice(0, 200);
  return {
    id: idFor('call', called.name, question),
    name: called.name,
    arguments: JSON.stringify({ query: question, unit: 'metric' }),
  };
}

const textMessage = (content: string) => ({ role: 'assistant', content });

const toolMessage = ({ id, name, arguments: text }: ToolCall) => ({
  role: 'assistant',
  content: null,
  tool_calls: [{ id, type: 'function', function: { name, arguments: text } }],
});

const chunkOf = (delta: object, finish_reason: string | null = null) => ({
  index: 0,
  delta,
  finish_reason,
  logprobs: null,
});

function textChunks(text: string): object[] {
  const deltas = wordsOf(text).map((content) => chunkOf({ content }));
  return [chunkOf({ role: 'assistant', content: '' }), ...deltas, chunkOf({}, 'stop')];
}

function toolChunks(tool: ToolCall): object[] {
  const call = { id: tool.id, type: 'function', function: { name: tool.name, arguments: '' } };
  const opening = { role: 'assistant', content: null, tool_calls: [{ index: 0, ...call }] };
  const pieces = tool.arguments.match(/.{1,8}/gsu) ?? [];
  const deltas = pieces.map((piece) =>
    chunkOf({ tool_calls: [{ index: 0, function: { arguments: piece } }] }),
  );
  return [chunkOf(opening), ...deltas, chunkOf({}, 'tool_calls')];
}

export const dataEvent = (data: object): string => `data: ${JSON.stringify(data)}\n\n`;

/** Whole words, each with the white space after it. */
export const wordsOf = (text: string): string[] => text.match(/\S+\s*/g) ?? [];

export function answerTo(question: string, wordCount: unknown): string {
  if (typeof wordCount === 'number' && wordCount >= 1 && wordCount <= 1_000_000) {
    return Array.from({ length: Math.floor(wordCount) }, (_, place) => `word${place}`).join(' ');
  }
  const heard = wordsOf(question).slice(0, 8).join('').trim().slice(0, 200);
  return `The stand-in for Venice heard: ${heard}`;
}

export function idFor(prefix: string, ...parts: string[]): string {
  return `${prefix}-${createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 24)}`;
}

/** The text of a message's content: a string, or a list whose parts may hold text. */
export function textOf(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  const parts = content.filter(isObject).map((part) => part.text);
  return parts.filter((text) => typeof text === 'string').join(' ');
}

function lastUserText(messages: unknown[]): string {
  return textOf(messages.filter(isObject).findLast(({ role }) => role === 'user')?.content);
}

const usageOf = (prompt_tokens: number, completion_tokens: number) => ({
  prompt_tokens,
  completion_tokens,
  total_tokens: prompt_tokens + completion_tokens,
});
