/**
 * The script of the page, for browsers. What comes with the events becomes text and attributes of
 * its own choice, never markup.
 */
export const SCRIPT = String.raw`
'use strict';
const STEP_MS = 15000, STEPS = 60, MOST_ENDED = 50;
const state = { requests: { total: 0, shown: [] }, buckets: { total: 0, waiting: 0, shown: [] }, ended: [], plot: [], draining: false, limits: true };
let ahead = 0, isPaused = false, link = 'connecting', source, again;

const get = (id) => document.getElementById(id);
const now = () => Date.now() + ahead;

function make(tag, name, ...children) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  node.append(...children);
  return node;
}
function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
function attribute(node, name, value) {
  if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}
function count(number, one, many) {
  return number.toLocaleString('en') + ' ' + (number === 1 ? one : many);
}
function duration(ms) {
  if (ms < 1) return '0';
  if (ms < 950) return Math.round(ms) + ' ms';
  if (ms < 9950) return (ms / 1000).toFixed(1) + ' s';
  return span(ms);
}
function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return s + ' s';
  if (s < 3600) return Math.floor(s / 60) + ' min' + (s % 60 ? ' ' + (s % 60) + ' s' : '');
  return Math.floor(s / 3600) + ' h ' + Math.floor((s % 3600) / 60) + ' min';
}
function until(at) {
  return Math.max(0, Math.ceil((at - now()) / 1000));
}

/** Keeps the children of a list or table in step with items; what stays, stays the same node. */
function keep(parent, items, keyOf, create, update) {
  const nodes = parent.nodes || (parent.nodes = new Map());
  const keys = new Set(items.map(keyOf));
  for (const [key, node] of nodes) {
    if (keys.has(key)) continue;
    node.remove();
    nodes.delete(key);
  }
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let node = nodes.get(key);
    if (!node) nodes.set(key, (node = create(item)));
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
    update(node, item);
  }
}

function requestCell({ model, method, path, stream }) {
  const cell = make('th', '', make('b', '', model || 'no model'), make('small', '', method + ' ' + path + (stream ? ', streamed' : '')));
  cell.scope = 'row';
  return cell;
}

const PHASES = {
  receiving: () => ['', 'receiving'],
  held: () => ['waits', 'waiting'],
  attempt: ({ attempts }) => ['busy', 'attempt ' + attempts],
  backoff: ({ attempts }) => ['waits', 'before attempt ' + (attempts + 1)],
  relaying: ({ stream }) => ['good', stream ? 'streaming' : 'answering'],
};

function renderRequests() {
  const { total, shown } = state.requests;
  get('no-requests').hidden = total > 0;
  get('requests').hidden = total === 0;
  keep(get('requests').tBodies[0], shown, ({ id, method, path }) => [id, method, path].join(' '),
    (item) => make('tr', '', requestCell(item), make('td', '', make('span', 'badge')), make('td', 'figure'), make('td', 'figure')),
    (row, item) => {
      const [kind, text] = (PHASES[item.phase] || (() => ['', item.phase]))(item);
      const badge = row.cells[1].firstChild;
      badge.className = 'badge ' + kind;
      put(badge, text);
      // The server tells of a wait that goes on.
      put(row.cells[2], item.waitedMs ? duration(item.waitedMs) : '–');
      put(row.cells[3], duration(now() - item.since));
      if (!item.model) return;
      put(row.cells[0].firstChild, item.model);
    });
  more('more-requests', total - shown.length);
}

function more(id, hidden) {
  get(id).hidden = hidden <= 0;
  put(get(id), hidden > 0 ? 'And ' + hidden.toLocaleString('en') + ' more.' : '');
}

function newBucket({ model, key }) {
  const windows = ['Requests', 'Tokens'].map((name) => {
    const bar = make('div', 'bar', make('i'));
    bar.setAttribute('role', 'meter');
    bar.setAttribute('aria-label', name + ' left, ' + (model || 'no model') + ', key ' + key);
    bar.setAttribute('aria-valuemin', '0');
    return make('div', 'window', make('span'), make('span'), bar);
  });
  const queue = make('p', 'queue', make('i'), make('span'));
  queue.firstChild.setAttribute('aria-hidden', 'true');
  const title = make('h3', '', make('span', '', model || 'Requests without a model'), make('span', '', 'key ' + key));
  return make('li', 'bucket', title, make('p', 'empty', 'Its limit is not known yet.'), ...windows, queue);
}

function updateBucket(node, { requests, tokens, waiting, waitsSince, opensAt }) {
  const [, unknown, first, second, queue] = node.children;
  unknown.hidden = Boolean(requests || tokens);
  updateWindow(first, requests, 'requests');
  updateWindow(second, tokens, 'tokens');
  queue.hidden = waiting === 0 && opensAt === undefined;
  queue.firstChild.style.width = Math.min(waiting, 60) * 9 + 'px';
  queue.firstChild.hidden = waiting === 0;
  const parts = [];
  if (waiting > 0) parts.push(waiting + ' waiting' + (waitsSince ? ', for up to ' + span(now() - waitsSince) : ''));
  if (opensAt !== undefined && opensAt > now()) parts.push('opens in ' + until(opensAt) + ' s');
  put(queue.lastChild, parts.join('; ') || 'opens now');
}

function updateWindow(node, known, unit) {
  node.hidden = !known;
  if (!known) return;
  const { limit, remaining, resetsAt } = known;
  const [figures, countdown, bar] = node.children;
  const text = remaining.toLocaleString('en') + (limit === undefined ? ' ' : ' of ' + limit.toLocaleString('en') + ' ') + unit + ' left';
  put(figures, text);
  const seconds = resetsAt === undefined ? 0 : until(resetsAt);
  put(countdown, seconds > 0 ? 'refills in ' + seconds + ' s' : '');
  const share = limit ? Math.min(1, remaining / limit) : remaining > 0 ? 1 : 0;
  bar.firstChild.style.transform = 'scaleX(' + share + ')';
  attribute(bar, 'data-level', remaining === 0 ? 'none' : share < 0.2 ? 'low' : 'fine');
  attribute(bar, 'aria-valuemax', limit === undefined ? remaining : limit);
  attribute(bar, 'aria-valuenow', remaining);
  attribute(bar, 'aria-valuetext', text);
}

function renderBuckets() {
  const { total, shown } = state.buckets;
  get('no-buckets').hidden = total > 0;
  put(get('no-buckets'), state.limits ? 'None known yet: the first answers will tell.' : 'Not kept track of: RATE_LIMIT=0 sends every request at once.');
  keep(get('buckets'), shown, ({ model, key }) => key + ' ' + (model || ''), newBucket, updateBucket);
  more('more-buckets', total - shown.length);
}

const RESULTS = {
  answered: (status) => [status < 400 ? 'good' : 'bad', String(status)],
  refused: (status) => ['bad', String(status || 'refused')],
  broken: (status) => ['bad', status + ' broken'],
  client_left: () => ['', 'client left'],
};

function newEnded(item) {
  let [kind, text] = (RESULTS[item.outcome] || ((status) => ['', String(status)]))(item.status);
  if (item.code && kind === 'good') kind = 'bad';
  const result = make('td', '', make('span', 'badge ' + kind, text));
  if (item.code) result.append(make('small', '', item.code));
  // Where there is no room for a column of its own.
  if (item.attempts !== 1) result.append(make('small', 'narrow', count(item.attempts, 'attempt', 'attempts')));
  const figures = [item.waitedMs ? duration(item.waitedMs) : '–', duration(item.totalMs)];
  const row = make('tr', isFirst ? '' : 'fresh', requestCell(item), result, make('td', 'figure wide', String(item.attempts)), ...figures.map((text) => make('td', 'figure', text)));
  row.append(make('td', 'figure wide'));
  return row;
}

let isFirst = true;
function renderEnded() {
  get('none-ended').hidden = state.ended.length > 0;
  get('ended').hidden = state.ended.length === 0;
  keep(get('ended').tBodies[0], state.ended, ({ n, at }) => n + ' ' + at, newEnded,
    (row, { at }) => put(row.lastChild, span(now() - at) + ' ago'));
  isFirst = false;
}

const KINDS = ['answers', 'retries', 'refusals'];

/** Sixty steps, the oldest first: answers, retries, refusals. */
function steps() {
  const last = Math.floor(now() / STEP_MS);
  const all = Array.from({ length: STEPS }, () => [0, 0, 0]);
  for (const [at, ...figures] of state.plot) {
    const place = STEPS - 1 - (last - at / STEP_MS);
    if (all[place]) all[place] = figures;
  }
  return all;
}

function shape(tag, attributes) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}
function bar(kind, x, y, height) {
  return shape('rect', { class: kind, x: x + 0.1, y, width: 0.8, height });
}
/** What a pointer that rests on a step is told. */
function label(x, figures) {
  const area = shape('rect', { class: 'label', x, y: 0, width: 1, height: 100 });
  const title = shape('title', {});
  title.textContent = span((STEPS - 1 - x) * STEP_MS) + ' ago: ' + sentence(figures);
  area.append(title);
  return area;
}
function sentence([answers, retries, refusals]) {
  return [count(answers, 'answer', 'answers'), count(retries, 'retry', 'retries'), count(refusals, 'refusal', 'refusals')].join(', ');
}

let drawn = '';
function renderPlot() {
  const all = steps();
  const key = all.join();
  if (key === drawn) return;
  drawn = key;
  const sums = [0, 1, 2].map((i) => all.reduce((sum, figures) => sum + figures[i], 0));
  KINDS.forEach((kind, i) => tile(kind, sums[i]));
  const up = Math.max(...all.map(([answers]) => answers));
  const down = Math.max(...all.map(([, retries, refusals]) => retries + refusals));
  put(get('most-up'), up ? String(up) : '');
  put(get('most-down'), down ? String(down) : '');
  const room = down ? (up ? Math.min(80, Math.max(20, (100 * up) / (up + down))) : 6) : 94;
  const height = (figure, most, space) => (figure ? Math.max(2, (figure / most) * (space - 2)) : 0);
  const shapes = [];
  all.forEach((figures, x) => {
    const [answers, retries, refusals] = figures;
    const tall = height(answers, up, room);
    if (tall) shapes.push(bar('answers', x, room - tall, tall));
    const first = height(retries, down, 100 - room);
    if (first) shapes.push(bar('retries', x, room, first));
    const second = height(refusals, down, 100 - room);
    if (second) shapes.push(bar('refusals', x, room + first, second));
    if (tall + first + second) shapes.push(label(x, figures));
  });
  get('plot').replaceChildren(...shapes, shape('line', { x1: 0, x2: STEPS, y1: room, y2: room }));
  attribute(get('plot'), 'aria-label', 'In the last 15 minutes: ' + sentence(sums) + '. The table below has each minute.');
  const minutes = Array.from({ length: 15 }, (_, minute) => {
    const four = all.slice(STEPS - 4 * (minute + 1), STEPS - 4 * minute);
    return { minute, figures: [0, 1, 2].map((i) => four.reduce((sum, figures) => sum + figures[i], 0)) };
  });
  keep(get('minutes').tBodies[0], minutes, ({ minute }) => minute,
    ({ minute }) => {
      const head = make('th', '', minute + ' to ' + (minute + 1));
      head.scope = 'row';
      return make('tr', '', head, ...KINDS.map(() => make('td', 'figure')));
    },
    (row, { figures }) => figures.forEach((figure, i) => put(row.cells[i + 1], figure.toLocaleString('en'))));
}

function tile(id, figure) {
  put(get(id), figure.toLocaleString('en'));
  get(id).classList.toggle('none', figure === 0);
}

const WORDS = { connecting: 'Connecting', live: 'Live', lost: 'No connection, trying again' };

function renderLink() {
  let word = WORDS[link];
  if (link === 'live' && isPaused) word = 'Paused';
  if (state.draining) word = link === 'live' ? 'Shutting down' : 'Shut down, trying again';
  put(get('link'), word);
  attribute(get('link'), 'data-state', link === 'live' && isPaused ? 'paused' : link);
  document.body.classList.toggle('is-lost', link === 'lost');
}

function render() {
  renderLink();
  if (isPaused || link !== 'live' || document.hidden) return;
  tile('in-flight', state.requests.total);
  tile('waiting', state.buckets.waiting);
  renderBuckets();
  renderRequests();
  renderPlot();
  renderEnded();
}

function take({ data }) {
  const told = JSON.parse(data);
  ahead = told.now - Date.now();
  for (const part of ['requests', 'buckets', 'plot', 'draining', 'limits']) if (part in told) state[part] = told[part];
  const newest = (told.ended || []).reverse();
  state.ended = (told.whole ? newest : [...newest, ...state.ended]).slice(0, MOST_ENDED);
  link = 'live';
  render();
}

function connect() {
  clearTimeout(again);
  source = new EventSource(location.pathname.replace(/\/$/, '') + '/events');
  source.onmessage = take;
  source.onerror = () => {
    link = 'lost';
    render();
    // After an answer that is no stream a browser does not try again by itself.
    if (source.readyState === EventSource.CLOSED) again = setTimeout(connect, 5000);
  };
}

get('pause').onclick = () => {
  isPaused = !isPaused;
  get('pause').setAttribute('aria-pressed', isPaused);
  render();
};
// Nobody looks: the server need not tell.
document.onvisibilitychange = () => {
  clearTimeout(again);
  if (source) source.close();
  if (!document.hidden) connect();
};
setInterval(render, 500);
if (!document.hidden) connect();
`;
