import vm from 'node:vm';
import { afterEach, expect, test } from '@jest/globals';
import type { BrowserContextOptions, Page } from 'playwright-core';
import { startDemo } from '../examples/server/demo.ts';
import { SCRIPT } from '../examples/server/status/page-script.ts';
import { describeWithChromium, openPage } from './helpers/chromium.ts';
import type { OpenPage } from './helpers/chromium.ts';
import { closeAfterTest } from './helpers/scene.ts';
import { send } from './helpers/serve.ts';
import { CHAT, startTestServer } from './helpers/start-test-server.ts';
import type { Phase } from '../lib/index.ts';
import type { TestServer } from './helpers/start-test-server.ts';
import { until } from './helpers/until.ts';

test('the script is one that parses, and needs no escapes to stand in a page', () => {
  expect(() => new vm.Script(SCRIPT)).not.toThrow();
  expect(SCRIPT).not.toMatch(/<\/script|<!--/);
});

/** What a request of the test is waited for, whatever becomes of it. */
function ask({ url }: TestServer, body: object): void {
  send(`${url}/chat/completions`, { body }).catch(() => {});
}

let complaints: readonly string[] = [];

async function look(
  server: { readonly origin: string },
  options?: BrowserContextOptions,
): Promise<Page> {
  const opened: OpenPage = await openPage(`${server.origin}/status`, options);
  ({ complaints } = opened);
  await opened.page.getByText('Live', { exact: true }).waitFor();
  return opened.page;
}

/** In the page: the texts whose contrast with what is behind them is below 4.5. */
const FAINT_TEXTS = `
  (() => {
    const parse = (color) => color.match(/[\\d.]+/g).map(Number);
    const light = (color) => {
      const [r, g, b] = color.slice(0, 3).map((part) => {
        const c = part / 255;
        return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (node) => {
      for (let at = node; at; at = at.parentElement) {
        const color = parse(getComputedStyle(at).backgroundColor);
        if (color.length === 3 || color[3] === 1) return color;
      }
      return [255, 255, 255];
    };
    const faint = [];
    for (const node of document.querySelectorAll('body *')) {
      const text = [...node.childNodes].filter(({ nodeType }) => nodeType === 3).map(({ data }) => data.trim()).join('');
      if (text === '' || !node.checkVisibility() || node.closest('script')) continue;
      const lights = [light(parse(getComputedStyle(node).color)), light(ground(node))].sort((a, b) => b - a);
      const contrast = (lights[0] + 0.05) / (lights[1] + 0.05);
      if (contrast < 4.5) faint.push(text + ' ' + contrast.toFixed(2));
    }
    return faint;
  })()`;

const SIDEWAYS = `document.documentElement.scrollWidth - document.documentElement.clientWidth`;

/** A limited model with a queue, a stream, an error, and a name that is hard to show. */
async function busyServer(): Promise<TestServer> {
  const server = await startTestServer(
    {},
    { requests: { limit: 3, windowMs: 60_000 }, tokenDelayMs: 100 },
  );
  const { url, standIn } = server;
  standIn.script({ kind: 'answer', status: 400, body: { error: 'No.' } });
  await send(`${url}/chat/completions`, { body: { ...CHAT, model: 'w'.repeat(300) } });
  standIn.script({ kind: 'cut-stream', afterEvents: 2 });
  await send(`${url}/chat/completions`, { body: { ...CHAT, stream: true } });
  for (let i = 0; i < 2; i += 1) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    await send(`${url}/chat/completions`, { body: CHAT });
  }
  ask(server, CHAT);
  ask(server, CHAT);
  ask(server, { ...CHAT, model: 'a-model-that-streams', stream: true, x_words: 300 });
  const isThere = (wanted: Phase) => () =>
    server.proxy.requests().some(({ phase }) => phase === wanted);
  await until(isThere('relaying'));
  standIn.script({ kind: 'answer', status: 503, headers: { 'retry-after': '60' } });
  ask(server, { ...CHAT, model: 'a-model-that-fails' });
  await until(isThere('backoff'));
  return server;
}

describeWithChromium('the status page in a browser', () => {
  // What the browser complains about in any of these tests fails it.
  afterEach(() => {
    if (complaints.length > 0) throw new Error(complaints.join('\n'));
  });

  test('shows the demo at work', async () => {
    const demo = await startDemo({ HOST: '127.0.0.1', PORT: '0', DEBUG: '-*' }, () => {});
    closeAfterTest(() => demo.close());
    const page = await look({ origin: new URL(demo.url).origin });
    await page.evaluate(`
      window.seen = new Set();
      new MutationObserver(() => {
        for (const { textContent } of document.querySelectorAll('#requests .badge')) seen.add(textContent);
      }).observe(document.body, { subtree: true, childList: true, characterData: true })`);
    await demo.show();
    const rows = page.getByRole('table', { name: /last fifty/ }).getByRole('row');
    await rows.nth(3).waitFor();
    const texts = await rows.allInnerTexts();
    expect(texts).toHaveLength(4);
    // The newest first; result and attempts.
    expect(texts.slice(1)).toEqual([
      expect.stringMatching(/streamed\s+200\s+1\s+–\s/),
      expect.stringMatching(/completions\s+200\s+3\s+\d/),
      expect.stringMatching(/completions\s+200\s+2\s+\d/),
    ]);
    const seen = await page.evaluate<string[]>('[...seen]');
    expect(seen).toEqual(expect.arrayContaining(['waiting', 'streaming']));
    await page.getByText('No request is under way.').waitFor();
    await expect(page.locator('#answers').innerText()).resolves.toBe('3');
    await expect(page.locator('#retries').innerText()).resolves.toBe('3');
    const labels = await page.locator('#plot title').allTextContents();
    expect(labels.at(-1)).toMatch(/^\d+ s ago: \d answers?, \d retr(y|ies), 0 refusals$/);
    await page.getByRole('img', { name: /3 answers, 3 retries, 0 refusals/ }).waitFor();
  });

  test('a bar empties, counts down and refills, and tells the queue behind it', async () => {
    const server = await startTestServer(
      {},
      { requests: { limit: 4, windowMs: 3_000 }, tokens: false },
    );
    const page = await look(server);
    await send(`${server.url}/chat/completions`, { body: CHAT });
    const bar = page.getByRole('meter', { name: `Requests left, ${CHAT.model}` });
    await page.getByText('3 of 4 requests left').waitFor();
    await expect(bar.getAttribute('aria-valuenow')).resolves.toBe('3');
    for (let i = 0; i < 5; i += 1) ask(server, CHAT);
    await page.getByText(/^2 waiting, for up to \d s; opens in \d s$/).waitFor();
    await expect(bar.getAttribute('aria-valuetext')).resolves.toBe('0 of 4 requests left');
    await page.getByText(/^refills in \d s$/).waitFor();
    await expect(page.locator('#waiting').innerText()).resolves.toBe('2');
    await page.getByText('2 of 4 requests left').waitFor();
    await page.getByText(/waiting, for/).waitFor({ state: 'hidden' });
  });

  test.each(['light', 'dark'] as const)(
    'fits a phone and is easy to read in %s colours',
    async (colorScheme) => {
      const server = await busyServer();
      const viewport = { width: 360, height: 800 };
      const page = await look(server, { colorScheme, viewport });
      await page.getByText('The figures, minute by minute').click();
      await page.getByText(/^w+…$/).first().waitFor();
      expect(await page.evaluate(SIDEWAYS)).toBe(0);
      // Nothing sticks out of its box, either.
      expect(
        await page.evaluate(
          `[...document.querySelectorAll('table')].filter((table) => table.getBoundingClientRect().right > table.closest('section').getBoundingClientRect().right).length`,
        ),
      ).toBe(0);
      expect(await page.evaluate(FAINT_TEXTS)).toEqual([]);
      const background = await page.evaluate<string>(
        'getComputedStyle(document.body).backgroundColor',
      );
      const brightness = Number(/\d+/.exec(background)?.[0]);
      expect(brightness > 128).toBe(colorScheme === 'light');
      await page.setViewportSize({ width: 1_280, height: 800 });
      expect(await page.evaluate(SIDEWAYS)).toBe(0);
      expect(await page.evaluate(FAINT_TEXTS)).toEqual([]);
    },
  );

  test('says what is what to who hears it', async () => {
    const server = await busyServer();
    const page = await look(server);
    await page.getByText(/waiting, for/).waitFor();
    const banner = page.getByRole('banner');
    await expect(banner.getByRole('heading', { level: 1 }).innerText()).resolves.toBe(
      'venice-proxy status',
    );
    await expect(banner.getByRole('status').innerText()).resolves.toBe('Live');
    const main = page.getByRole('main');
    const headings = await main.getByRole('heading', { level: 2 }).allTextContents();
    expect(headings).toEqual([
      'At a glance',
      'Rate limits',
      'In flight',
      'The last 15 minutes',
      'The last fifty',
    ]);
    for (const name of headings) {
      // oxlint-disable-next-line no-await-in-loop -- a handful
      expect(await main.getByRole('region', { name, exact: true }).count()).toBe(1);
    }
    const flight = main.getByRole('table', { name: 'Requests in flight, the oldest first' });
    expect(await flight.getByRole('columnheader').allInnerTexts()).toEqual([
      'Request',
      'Phase',
      'Waited',
      'Age',
    ]);
    const phases = await flight.getByRole('row').locator('td:nth-child(2)').allInnerTexts();
    const expected = ['before attempt 2', 'streaming', 'waiting', 'waiting'];
    expect(phases.toSorted()).toEqual(expected);
    const name = new RegExp(`^Requests left, ${CHAT.model}, key [\\da-f]{8}$`);
    const meter = main.getByRole('meter', { name });
    await expect(meter.getAttribute('aria-valuemax')).resolves.toBe('3');
    await expect(meter.getAttribute('aria-valuenow')).resolves.toBe('0');
    // Only a change of the connection is worth interrupting somebody for.
    expect(await page.locator('[aria-live], [role=status], [role=alert]').count()).toBe(1);
  });

  test('is used by keyboard', async () => {
    const server = await startTestServer();
    const page = await look(server);
    const focused = (): Promise<string> =>
      page.evaluate<string>('document.activeElement.id || document.activeElement.textContent');
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('Skip to the figures');
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('pause');
    await page.keyboard.press('Space');
    await page.getByRole('button', { name: 'Pause', pressed: true }).waitFor();
    await page.getByRole('status').getByText('Paused').waitFor();
    await send(`${server.url}/models`);
    await until(() => server.proxy.inFlight === 0);
    await page.waitForTimeout(600);
    await expect(page.locator('#answers').innerText()).resolves.toBe('0');
    await page.keyboard.press('Space');
    await page.getByRole('row', { name: /GET \/models/ }).waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    const minute = page.getByRole('row', { name: /^0 to 1 / });
    await minute.waitFor();
    await expect(minute.getByRole('cell').first().innerText()).resolves.toBe('1');
    await page.keyboard.press('Shift+Tab');
    await page.keyboard.press('Shift+Tab');
    await page.keyboard.press('Enter');
    expect(await focused()).toBe('main');
  });

  test.each([
    ['the first answers will tell of them', {}, 'None known yet: the first answers will tell.'],
    ['nobody keeps track of them', { RATE_LIMIT: '0' }, /^Not kept track of: RATE_LIMIT=0 /],
  ])('says of limits that are not there that %s', async (_what, env, text) => {
    const page = await look(await startTestServer(env));
    const limits = page.getByRole('region', { name: 'Rate limits' });
    await expect(limits.getByText(text).isVisible()).resolves.toBe(true);
  });

  test('shows names as text, whatever is in them', async () => {
    const server = await startTestServer();
    const page = await look(server);
    const model = '<img src=x onerror=alert(1)><script>alert(2)</script>';
    await send(`${server.url}/chat/completions`, { body: { ...CHAT, model } });
    await page.getByRole('rowheader', { name: model }).waitFor();
    await page.getByRole('heading', { name: model }).waitFor();
    expect(await page.locator('img, main script').count()).toBe(0);
  });

  test('moves nothing for who asks for that', async () => {
    const page = await look(await busyServer(), { reducedMotion: 'reduce' });
    await page.getByRole('meter').first().waitFor();
    const durations = await page.evaluate<string[]>(
      `[...document.querySelectorAll('.bar i, main, tr')].flatMap((node) => [getComputedStyle(node).transitionDuration, getComputedStyle(node).animationName])`,
    );
    expect(new Set(durations)).toEqual(new Set(['0s', 'none']));
  });

  test('is let in with a key, its events too', async () => {
    const server = await startTestServer({ HOST: '0.0.0.0', PROXY_API_KEYS: 'entry-key' });
    const httpCredentials = { username: 'anybody', password: 'entry-key' };
    const page = await look(server, { httpCredentials });
    const none = page.getByText('No request has ended yet.');
    await expect(none.isVisible()).resolves.toBe(true);
  });

  test('says when the server is gone, and goes on by itself when it is back', async () => {
    const server = await startTestServer();
    await send(`${server.url}/models`);
    const page = await look(server);
    await page.getByRole('row', { name: /GET \/models/ }).waitFor();
    await server.close();
    await page.getByText('Shut down, trying again').waitFor();
    // What was there last can still be read: grey, not faint.
    const lost = `getComputedStyle(document.querySelector('.is-lost main'))`;
    expect(await page.evaluate(`${lost}.opacity + ' ' + ${lost}.filter`)).toMatch(/^1 grayscale/);
    const next = await startTestServer({ PORT: String(server.port) });
    await send(`${next.url}/embeddings`, { body: { model: 'e', input: 'x' } });
    await page.getByRole('status').getByText('Live').waitFor();
    await page.getByRole('row', { name: /POST \/embeddings/ }).waitFor();
    expect(await page.getByRole('row', { name: /GET \/models/ }).count()).toBe(0);
    // The browser tells of connections that were refused.
    complaints = complaints.filter((text) => !text.includes('ERR_CONNECTION_REFUSED'));
  });
});
