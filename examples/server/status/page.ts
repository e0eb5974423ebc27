import { createHash } from 'node:crypto';
import { SCRIPT } from './page-script.ts';
import { STYLE } from './page-style.ts';

/** A dot, as the sign of the page among the browser's tabs. */
const ICON =
  'data:image/svg+xml,' +
  encodeURIComponent(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="#2f6fde" d="M1 9h3v6H1zm5-4h3v10H6zm5-4h3v14h-3z"/></svg>',
  );

/** One self-contained page. It holds no data: all of that comes with the events. */
export const HTML = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>venice-proxy status</title>
<link rel="icon" href="${ICON}">
<style>${STYLE}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the figures</a>
<header>
  <h1>venice-proxy <span>status</span></h1>
  <p id="link" class="link" role="status" data-state="connecting">Connecting</p>
  <button id="pause" type="button" aria-pressed="false">Pause</button>
</header>
<noscript><p class="note">This page needs JavaScript.</p></noscript>
<main id="main" tabindex="-1">
  <section class="tiles" aria-labelledby="now">
    <h2 id="now" class="unseen">At a glance</h2>
    <dl>
      <div><dt>In flight <small>now</small></dt><dd id="in-flight">0</dd></div>
      <div><dt>Waiting <small>now</small></dt><dd id="waiting">0</dd></div>
      <div class="answers"><dt>Answers <small>15 min</small></dt><dd id="answers">0</dd></div>
      <div class="retries"><dt>Retries <small>15 min</small></dt><dd id="retries">0</dd></div>
      <div class="refusals"><dt>Refusals <small>15 min</small></dt><dd id="refusals">0</dd></div>
    </dl>
  </section>
  <div class="columns">
    <section aria-labelledby="limits">
      <h2 id="limits">Rate limits</h2>
      <p class="empty" id="no-buckets"></p>
      <ul id="buckets" role="list"></ul>
      <p class="more" id="more-buckets" hidden></p>
    </section>
    <section aria-labelledby="flight">
      <h2 id="flight">In flight</h2>
      <p class="empty" id="no-requests">No request is under way.</p>
      <table id="requests" hidden>
        <caption class="unseen">Requests in flight, the oldest first</caption>
        <thead><tr>
          <th scope="col">Request</th><th scope="col">Phase</th>
          <th scope="col" class="figure">Waited</th><th scope="col" class="figure">Age</th>
        </tr></thead>
        <tbody></tbody>
      </table>
      <p class="more" id="more-requests" hidden></p>
    </section>
  </div>
  <section aria-labelledby="quarter">
    <h2 id="quarter">The last 15 minutes</h2>
    <div class="plot">
      <p class="scale" aria-hidden="true"><span id="most-up"></span><span id="most-down"></span></p>
      <svg id="plot" role="img" aria-label="Nothing yet" viewBox="0 0 60 100" preserveAspectRatio="none"></svg>
      <p class="axis" aria-hidden="true"><span>15 min ago</span><span>10</span><span>5</span><span>now</span></p>
    </div>
    <ul class="legend">
      <li class="answers">Answers: requests that ended well</li>
      <li class="retries">Retries: attempts made again</li>
      <li class="refusals">Refusals: errors that clients got</li>
    </ul>
    <details>
      <summary>The figures, minute by minute</summary>
      <table id="minutes">
        <caption class="unseen">Answers, retries and refusals in each of the last 15 minutes</caption>
        <thead><tr>
          <th scope="col">Minutes ago</th><th scope="col" class="figure">Answers</th>
          <th scope="col" class="figure">Retries</th><th scope="col" class="figure">Refusals</th>
        </tr></thead>
        <tbody></tbody>
      </table>
    </details>
  </section>
  <section aria-labelledby="last">
    <h2 id="last">The last fifty</h2>
    <p class="empty" id="none-ended">No request has ended yet.</p>
    <table id="ended" hidden>
      <caption class="unseen">The last fifty requests that ended, the newest first</caption>
      <thead><tr>
        <th scope="col">Request</th><th scope="col">Result</th>
        <th scope="col" class="figure wide">Attempts</th><th scope="col" class="figure">Waited</th>
        <th scope="col" class="figure">Took</th><th scope="col" class="figure wide">Ended</th>
      </tr></thead>
      <tbody></tbody>
    </table>
  </section>
</main>
<script>${SCRIPT}</script>
</body>
</html>
`;

/** What the page may load and run: what stands in it, told by hashes, and its events. */
const POLICY = [
  "default-src 'none'",
  `script-src ${hashOf(SCRIPT)}`,
  `style-src ${hashOf(STYLE)}`,
  "connect-src 'self'",
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  // Text never becomes markup: models and paths are what clients like.
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

export const HEADERS: Readonly<Record<string, string>> = {
  'content-type': 'text/html; charset=utf-8',
  'cache-control': 'no-store',
  'content-security-policy': POLICY,
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

function hashOf(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}
