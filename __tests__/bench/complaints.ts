import type { Chapter } from './report.ts';
import { BASE } from './subjects.ts';

/** What must not be in a report: ours or the base without figures, as their bytes were wrong. */
export function complaints(chapters: readonly Chapter[]): string[] {
  return chapters.flatMap(({ title, result }) => {
    const wrong = (name: string, reason: string): string => `${name}, ${title}: ${reason}`;
    if (result.kind === 'work') {
      return result.result.measured.flatMap(({ subject: { name }, proof }) => {
        if (!name.startsWith('ours') && name !== BASE) return [];
        if (proof.kind === 'cannot') return [wrong(name, proof.reason)];
        return name === 'ours' && proof.kind !== 'done' ? [wrong(name, 'only relays it')] : [];
      });
    }
    if (result.kind !== 'held') return [];
    return result.held.flatMap(({ subject: { name }, reason }) =>
      reason !== undefined && (name === 'ours' || name === BASE) ? [wrong(name, reason)] : [],
    );
  });
}
