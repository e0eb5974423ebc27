import { expect } from '@jest/globals';
import type { Reply } from '../helpers/serve.ts';
import { WHOLE_EVENTS_OF_HALF, cutBody, wholeAnswer } from './answers.ts';
import type { Gets, Kind, Row } from './vocabulary.ts';

/** What hooks and the log say of it. */
export function outcomeOf(gets: Gets) {
  if ('error' in gets) return { outcome: 'refused', status: gets.status, code: gets.error };
  if ('broken' in gets) return { outcome: 'broken', status: 200, code: gets.code };
  return { outcome: 'answered', status: gets.status, code: undefined };
}

/** Holds what the client got, to the byte, against what the table says. */
export function expectAnswer(reply: Reply, gets: Gets, kind: Kind, row: Row): void {
  const { framing = 'usual' } = row;
  const status = 'status' in gets ? gets.status : 200;
  expect([reply.status, reply.complete]).toEqual([status, !('broken' in gets)]);
  if ('error' in gets) {
    expect(JSON.parse(reply.text)).toMatchObject({ error: { code: gets.error, param: null } });
  } else if ('broken' in gets) {
    expectBreak(reply, gets, kind, row);
  } else if (gets.answer === 'whole') {
    expect(reply.text).toBe(wholeAnswer(kind, gets.status));
  } else if (status === 200) {
    const at = framing === 'too short' ? 'half' : 'end';
    expect(reply.body).toEqual(cutBody(kind, framing, at));
  } else {
    expect(reply.text).toBe('');
  }
}

function expectBreak(
  { text, body }: Reply,
  { broken, code }: Extract<Gets, { broken: unknown }>,
  kind: Kind,
  { framing = 'usual', fault }: Row,
): void {
  if (broken === 'unfinished') {
    const whole = Buffer.from(wholeAnswer(kind, 200));
    expect(body).toEqual(fault === 'too long' ? whole : cutBody(kind, framing, 'half'));
    return;
  }
  const [, before = '', json = ''] = /^([^]*?)data: (\{"error".*)\n\n$/.exec(text) ?? [];
  expect(JSON.parse(json)).toMatchObject({ error: { code } });
  expect(wholeAnswer(kind, 200).startsWith(before)).toBe(true);
  expect(before.startsWith(WHOLE_EVENTS_OF_HALF)).toBe(true);
}
