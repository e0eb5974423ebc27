import { setTimeout as sleep } from 'node:timers/promises';

/** Waits for something that says no word when it happens. */
export async function until(isSo: () => boolean, limitMs = 8_000): Promise<void> {
  const begunAt = performance.now();
  while (!isSo()) {
    if (performance.now() - begunAt > limitMs) throw new Error(`Not so within ${limitMs} ms`);
    // oxlint-disable-next-line no-await-in-loop -- looks again and again
    await sleep(10);
  }
}
