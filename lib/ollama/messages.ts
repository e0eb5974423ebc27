import { imagePart } from './image-url.ts';
import { objectIn, objectsIn, optionalText, optionalTexts, textIn } from './read-member.ts';
import type { JsonObject } from '../json-value.ts';

/** A tool call that has no result yet. */
interface OpenCall {
  readonly id: string;
  readonly name: string;
}

/**
 * A conversation as Ollama's clients write it, for `/chat/completions`. There each result of a
 * tool names its call by an id, which most of these clients do not have: it is made up, and a
 * result belongs to the first call without one, of the tool that it names where it names one.
 */
export function chatMessages(messages: readonly JsonObject[]): JsonObject[] {
  const open: OpenCall[] = [];
  let calls = 0;
  return messages.map((message) => {
    const role = textIn(message, 'role');
    if (role === 'tool') return toolResult(message, open);
    if (role !== 'assistant') return { role, content: contentOf(message) };
    const toolCalls = objectsIn(message, 'tool_calls').map((call) => {
      calls += 1;
      return toolCall(call, `call_${calls}`);
    });
    open.push(...toolCalls.map(({ id, function: { name } }) => ({ id, name })));
    const thinking = textIn(message, 'thinking');
    return {
      role,
      content: contentOf(message),
      ...(thinking === '' ? {} : { reasoning_content: thinking }),
      ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls }),
    };
  });
}

/** Text, or parts where there are images; an empty text is no part. */
export function withImages(text: string, message: JsonObject): unknown {
  const images = optionalTexts(message, 'images');
  if (images.length === 0) return text;
  return [...(text === '' ? [] : [{ type: 'text', text }]), ...images.map(imagePart)];
}

function contentOf(message: JsonObject): unknown {
  return withImages(optionalText(message, 'content'), message);
}

function toolCall(call: JsonObject, madeUpId: string): ReturnType<typeof callOf> {
  const called = objectIn(call, 'function');
  const { arguments: given } = called;
  // As text already, in conversations that began with another client.
  const text = typeof given === 'string' ? given : JSON.stringify(given ?? {});
  return callOf(textIn(call, 'id') || madeUpId, textIn(called, 'name'), text);
}

const callOf = (id: string, name: string, text: string) => ({
  id,
  type: 'function',
  function: { name, arguments: text },
});

function toolResult(message: JsonObject, open: OpenCall[]): JsonObject {
  // Venice wants text alone here; images are for it to refuse.
  const content = contentOf(message);
  const said = textIn(message, 'tool_call_id');
  if (said !== '') {
    const place = open.findIndex(({ id }) => id === said);
    if (place !== -1) open.splice(place, 1);
    return { role: 'tool', tool_call_id: said, content };
  }
  const name = textIn(message, 'tool_name') || textIn(message, 'name');
  const place = open.findIndex((call) => call.name === name);
  const [answered] = open.splice(Math.max(0, place), 1);
  return { role: 'tool', tool_call_id: answered?.id ?? 'call_0', content };
}
