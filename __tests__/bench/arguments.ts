import { parseArgs } from 'node:util';
import type { Effort } from './bench.ts';
import { FULL, QUICK } from './efforts.ts';
import { SECTIONS } from './sections.ts';
import type { Section } from './sections.ts';
import { SUBJECTS, isMeasured, isVariant } from './subjects.ts';
import type { Subject } from './subjects.ts';

/** What the command line asks for. */
export interface Order {
  readonly sections: readonly Section[];
  /** The subjects of a section. */
  subjectsOf(section: Section): readonly Subject[];
  readonly effort: Effort;
  readonly profiles: boolean;
  /** The folder for the report; `undefined` when only a part is measured and none was asked for. */
  readonly out: string | undefined;
}

/** Names, separated by commas. */
export const HELP = `npm run bench -- [--only ${SECTIONS.map(({ name }) => name).join(',')}]
  [--subjects ${SUBJECTS.map(({ name }) => name).join(',')}]
  [--rounds 5] [--seconds 2] [--warm-up 4] [--quick] [--profile] [--out docs]`;

/** @throws Error that names what is wrong */
export function parseOrder(args: readonly string[]): Order {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string' },
      subjects: { type: 'string' },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      'warm-up': { type: 'string' },
      quick: { type: 'boolean', default: false },
      profile: { type: 'boolean', default: false },
      out: { type: 'string' },
    },
  });
  const { quick, profile } = values;
  const sections = chosen('only', values.only, SECTIONS);
  const subjects = chosen('subjects', values.subjects, SUBJECTS);
  const effort = quick ? QUICK : FULL;
  // A profile is not for comparing: one round tells where the time goes.
  const rounds = profile ? 1 : effort.rounds;
  const isWhole = values.only === undefined && values.subjects === undefined && !quick && !profile;
  return {
    sections,
    subjectsOf: ({ name }) =>
      subjects.filter((subject) =>
        values.subjects === undefined
          ? isMeasured(subject, name) && !(quick && isVariant(subject))
          : true,
      ),
    effort: {
      ...effort,
      rounds: positive('rounds', values.rounds, rounds),
      seconds: positive('seconds', values.seconds, effort.seconds),
      warmUpSeconds: positive('warm-up', values['warm-up'], effort.warmUpSeconds),
    },
    profiles: profile,
    out: values.out ?? (isWhole ? 'docs' : undefined),
  };
}

function chosen<T extends { readonly name: string }>(
  option: string,
  list: string | undefined,
  all: readonly T[],
): readonly T[] {
  if (list === undefined) return all;
  const names = list.split(',');
  const unknown = names.find((name) => !all.some((each) => each.name === name));
  if (unknown !== undefined) {
    throw new Error(
      `--${option} knows no ${JSON.stringify(unknown)}, but ` +
        all.map(({ name }) => name).join(', '),
    );
  }
  return all.filter(({ name }) => names.includes(name));
}

function positive(option: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new Error(`--${option} wants a number above 0, not ${JSON.stringify(text)}`);
}
