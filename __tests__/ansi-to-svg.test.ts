import { expect, test } from '@jest/globals';
import { ansiToSvg } from '../docs/ansi-to-svg.ts';

/** The drawn pieces of text: what they are, and how they look. */
function drawn(text: string, columns = 20): { x: number; y: number; text: string; look: string }[] {
  const svg = ansiToSvg({ title: 'a title', text, columns });
  const pieces = svg.matchAll(
    /<text x="([\d.]+)" y="(\d+)" textLength="[\d.]+"([^>]*)>(.*)<\/text>/g,
  );
  return [...pieces].map(([, x, y, look = '', piece = '']) => ({
    x: Number(x),
    y: Number(y),
    text: piece,
    look: look.trim(),
  }));
}

test('each style is a piece of its own, and ends where it is reset', () => {
  const looks = drawn(
    'a \u001b[38;5;32;1mb\u001b[0m c \u001b[2md\u001b[22m \u001b[31me\u001b[39mf',
  );
  expect(looks.map(({ text, look }) => [text, look])).toEqual([
    ['a', ''],
    ['b', 'class="bold" style="fill: #0087d7"'],
    ['c', ''],
    ['d', 'class="dim"'],
    ['e', 'style="fill: #ff7b72"'],
    ['f', ''],
  ]);
});

test('a line that is too long goes on in the next row, where a terminal would break it', () => {
  const [first, second, third] = drawn('123456\r\nabc', 4);
  expect([first?.text, second?.text, third?.text]).toEqual(['1234', '56', 'abc']);
  expect(second?.x).toBe(first?.x);
  const rowHeight = (second?.y ?? 0) - (first?.y ?? 0);
  expect((third?.y ?? 0) - (second?.y ?? 0)).toBe(rowHeight);
});

test('a line that just fits makes no empty row', () => {
  const [first, second] = drawn('1234\nabcd', 4);
  const [above, below] = drawn('123\nabc', 4);
  expect((second?.y ?? 0) - (first?.y ?? 0)).toBe((below?.y ?? 0) - (above?.y ?? 0));
});

test('indentation is kept as a place', () => {
  const [indented, plain] = drawn('    a\nbbbbc');
  expect(plain?.text).toBe('bbbbc');
  expect(indented?.text).toBe('a');
  expect(indented?.x).toBeGreaterThan(plain?.x ?? 0);
});

test('what has a meaning in SVG is text', () => {
  expect(drawn('<a> & b').map(({ text }) => text)).toEqual(['&lt;a&gt; &amp; b']);
});
