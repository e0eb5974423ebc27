// Takes the picture of the status page, in Debian's chromium:
//
//   npm run docs:status
//
// It needs a Node that runs TypeScript (22.18 or later).
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { playStatusScene } from './status-scene.ts';

const root = path.resolve(import.meta.dirname, '..');

const scene = await playStatusScene();
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox'],
});
try {
  const page = await browser.newPage({
    viewport: { width: 1_200, height: 1_290 },
    deviceScaleFactor: 1.5,
    reducedMotion: 'reduce',
  });
  await page.goto(scene.url);
  await page.getByText('streaming').first().waitFor();
  const session = await page.context().newCDPSession(page);
  const { data } = await session.send('Page.captureScreenshot', { format: 'webp', quality: 80 });
  await writeFile(path.join(root, 'docs/status.webp'), Buffer.from(data, 'base64'));
} finally {
  await browser.close();
  await scene.close();
}
