/** The style of the page. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --ground: #f4f6f8; --card: #fff; --text: #1b2430; --soft: #566273; --line: #dfe4ea; --track: #e6eaef;
  --blue: #2866d0; --amber: #935600; --red: #bb2f25; --green: #15784a; --signal: #c87a00;
  --blue-soft: #e6eefb; --amber-soft: #fbf0dc; --red-soft: #fbe6e4; --green-soft: #e0f3e8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #10141a; --card: #181e26; --text: #e5eaf0; --soft: #9aa7b6; --line: #29323d; --track: #2a333e;
    --blue: #74a7fb; --amber: #ecb04c; --red: #fc8078; --green: #55c78d; --signal: #ecb04c;
    --blue-soft: #1c2c47; --amber-soft: #362a14; --red-soft: #3b2022; --green-soft: #16332a;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body {
  margin: 0 auto; padding: 0 16px 48px; max-width: 1240px;
  background: var(--ground); color: var(--text);
  font: 14px/1.45 system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif;
  font-variant-numeric: tabular-nums;
}
h1, h2, h3, p, ul, dl, dd, table { margin: 0; padding: 0; }
ul { list-style: none; }
:focus-visible { outline: 2px solid var(--blue); outline-offset: 2px; border-radius: 4px; }
main:focus { outline: none; }
.unseen, .skip:not(:focus) {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap;
}
.skip:focus { position: absolute; top: 8px; left: 16px; padding: 4px 8px; background: var(--card); z-index: 1; }

header { display: flex; align-items: center; gap: 12px; padding: 18px 0 14px; }
h1 { font-size: 18px; font-weight: 650; letter-spacing: -.01em; margin-right: auto; white-space: nowrap; }
h1 span { color: var(--soft); font-weight: 400; }
.link { display: flex; align-items: center; gap: 7px; color: var(--soft); }
.link::before { content: ''; flex: none; width: 8px; height: 8px; border-radius: 50%; background: var(--soft); }
.link[data-state=live]::before { background: var(--green); box-shadow: 0 0 0 3px var(--green-soft); }
.link[data-state=lost] { color: var(--red); }
.link[data-state=lost]::before { background: var(--red); }
button {
  font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line);
  border-radius: 7px; padding: 4px 12px; cursor: pointer;
}
button:hover { border-color: var(--soft); }
button[aria-pressed=true] { background: var(--amber-soft); border-color: var(--amber); }
main { transition: filter .3s; }
.is-lost main { filter: grayscale(1); }

section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; margin-bottom: 16px; min-width: 0; }
h2 { font-size: 14px; font-weight: 650; margin-bottom: 10px; }
.tiles { padding: 0; overflow: hidden; }
.tiles dl { display: grid; grid-template-columns: repeat(5, 1fr); gap: 1px; background: var(--line); }
.tiles dl > div { background: var(--card); padding: 12px 16px; display: flex; flex-direction: column; justify-content: space-between; }
dt { color: var(--soft); font-size: 13px; display: flex; flex-wrap: wrap; justify-content: space-between; align-items: baseline; column-gap: 6px; }
dd { font-size: 26px; font-weight: 600; line-height: 1.2; letter-spacing: -.02em; }
.tiles .answers dd { color: var(--blue); }
.tiles .retries dd { color: var(--amber); }
.tiles .refusals dd { color: var(--red); }
.tiles dd.none { color: var(--soft) !important; font-weight: 400; }
.columns { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 16px; align-items: start; }
.empty, .more { color: var(--soft); }
.more { margin-top: 10px; }

.bucket + .bucket { border-top: 1px solid var(--line); margin-top: 12px; padding-top: 12px; }
.bucket h3 { display: flex; flex-wrap: wrap; gap: 2px 10px; align-items: baseline; font-size: 14px; font-weight: 600; overflow-wrap: anywhere; }
.bucket h3 > span + span { color: var(--soft); font-weight: 400; font-size: 12px; }
.window { display: grid; grid-template-columns: 1fr auto; gap: 0 12px; margin-top: 6px; font-size: 13px; }
.window span + span { color: var(--soft); text-align: right; }
.bar { grid-column: 1 / -1; height: 8px; margin-top: 3px; border-radius: 4px; background: var(--track); overflow: hidden; }
.bar i { display: block; height: 100%; width: 100%; border-radius: 4px; background: var(--blue); transform-origin: left; transition: transform .25s ease-out, background-color .25s; }
.bar[data-level=low] i { background: var(--signal); }
.bar[data-level=none] { background: var(--red-soft); box-shadow: inset 0 0 0 1px var(--red); }
.bar[data-level=none] i { background: var(--red); }
.queue { display: flex; align-items: center; gap: 10px; margin-top: 7px; font-size: 13px; color: var(--amber); }
.queue i { flex: none; height: 10px; max-width: 40%; background: repeating-linear-gradient(90deg, var(--signal) 0 6px, transparent 6px 9px); border-radius: 2px; }

table { width: 100%; border-collapse: collapse; }
th { text-align: left; font-weight: 500; color: var(--soft); font-size: 12px; padding: 0 0 5px 12px; border-bottom: 1px solid var(--line); white-space: nowrap; }
td, tbody th { padding: 6px 0 6px 12px; border-bottom: 1px solid var(--line); vertical-align: top; }
th:first-child, td:first-child { padding-left: 0; }
tbody tr:last-child > * { border-bottom: 0; padding-bottom: 0; }
tbody th { color: inherit; font-size: inherit; font-weight: 400; white-space: normal; overflow-wrap: anywhere; min-width: 90px; }
tbody th b { font-weight: 550; }
td small { overflow-wrap: anywhere; }
small { font-size: 12px; color: var(--soft); display: block; }
.figure { text-align: right; white-space: nowrap; }
small.narrow { display: none; }
.badge { display: inline-block; border-radius: 5px; padding: 0 7px; font-size: 13px; white-space: nowrap; background: var(--track); }
.badge.good { background: var(--green-soft); color: var(--green); }
.badge.busy { background: var(--blue-soft); color: var(--blue); }
.badge.waits { background: var(--amber-soft); color: var(--amber); }
.badge.bad { background: var(--red-soft); color: var(--red); }
tr.fresh > * { animation: arrive 1.2s ease-out; }
@keyframes arrive { from { background: var(--blue-soft); } }

.plot { display: grid; grid-template-columns: auto 1fr; gap: 4px 8px; }
.scale { display: flex; flex-direction: column; justify-content: space-between; text-align: right; min-width: 2ch; line-height: 1; }
.scale, .axis { color: var(--soft); font-size: 12px; }
.plot svg { width: 100%; height: 150px; display: block; background: linear-gradient(var(--line), var(--line)) 0 0 / 100% 1px no-repeat, linear-gradient(var(--line), var(--line)) 0 100% / 100% 1px no-repeat; }
.plot .axis { grid-column: 2; display: flex; justify-content: space-between; }
.plot line { stroke: var(--soft); stroke-width: 1px; vector-effect: non-scaling-stroke; }
rect.label { fill: transparent; }
rect.label:hover { fill: var(--soft); fill-opacity: .15; }
rect.answers { fill: var(--blue); }
rect.retries { fill: var(--signal); }
rect.refusals { fill: var(--red); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 10px 0; font-size: 13px; color: var(--soft); }
.legend li::before { content: ''; display: inline-block; width: 9px; height: 9px; border-radius: 2px; margin-right: 7px; background: var(--blue); }
.legend .retries::before { background: var(--signal); }
.legend .refusals::before { background: var(--red); }
summary { cursor: pointer; color: var(--soft); font-size: 13px; width: fit-content; }
details table { margin-top: 10px; max-width: 460px; }
details tbody th { min-width: 0; }
.note { padding: 12px 0; }

@media (max-width: 900px) { .columns { display: block; } }
@media (max-width: 640px) {
  body { padding: 0 10px 32px; }
  section { padding: 12px; }
  .tiles dl { grid-template-columns: repeat(6, 1fr); }
  .tiles dl > div { grid-column: span 2; padding: 9px; }
  .tiles dl > div:nth-child(-n+2) { grid-column: span 3; }
  dd { font-size: 22px; }
  .wide { display: none; }
  small.narrow { display: block; }
  dt small { flex-basis: 100%; }
  td, tbody th, th { padding-left: 8px; }
  .badge { white-space: normal; padding: 0 6px; }
  td, .badge { font-size: 13px; }
}
@media (prefers-reduced-motion: reduce) {
  *, *::before, *::after { animation: none !important; transition: none !important; }
}
@media (forced-colors: active) {
  .bar { border: 1px solid; }
  .bar i, .queue i, rect { forced-color-adjust: none; }
}
`;
