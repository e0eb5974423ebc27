import * as fc from 'fast-check';

/** One of the characters of a text. */
export function anyOf(characters: string): fc.Arbitrary<string> {
  return fc.constantFrom(...Array.from(characters));
}
