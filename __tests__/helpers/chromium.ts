import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe } from '@jest/globals';
import { chromium } from 'playwright-core';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { closeAfterTest } from './scene.ts';

/** Where Debian's package has it. */
const PROGRAM = '/usr/bin/chromium';

// Where it must be there, the tests run and fail by themselves.
const isSkipped = !existsSync(PROGRAM) && process.env['REQUIRE_CHROMIUM'] !== '1';
if (isSkipped) console.warn('Skipped: chromium is not installed (apt-get install chromium)');
const block = isSkipped ? describe.skip : describe;

let browser: Browser;

/** Tests that need a browser: skipped where Debian's chromium is not installed. */
export function describeWithChromium(title: string, tests: () => void): void {
  block(title, () => {
    beforeAll(async () => {
      // As root it cannot have a sandbox.
      browser = await chromium.launch({ executablePath: PROGRAM, args: ['--no-sandbox'] });
    });
    afterAll(() => browser.close());
    tests();
  });
}

/** A page that is open, and what the browser complains about. */
export interface OpenPage {
  readonly page: Page;
  readonly complaints: readonly string[];
}

export async function openPage(
  url: string,
  options: BrowserContextOptions = {},
): Promise<OpenPage> {
  const context = await browser.newContext(options);
  closeAfterTest(() => context.close());
  const page = await context.newPage();
  const complaints: string[] = [];
  // What the policy of a page forbids is an error in the console, too.
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('dialog', (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await page.goto(url);
  return { page, complaints };
}
