/** Floats between -1 and 1 with as many digits as an embeddings answer has; the same every time. */
export function seededFloats(seed: number, count: number): number[] {
  let state = seed * 2_654_435_761 + 1;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.fround(state / 2_147_483_648 - 1);
  });
}
