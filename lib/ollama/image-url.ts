/** The first characters in base64, by which the kinds that models take are known. */
const KINDS: readonly (readonly [start: string, type: string])[] = [
  ['/9j/', 'image/jpeg'],
  ['iVBORw0KGgo', 'image/png'],
  ['R0lGOD', 'image/gif'],
  ['UklGR', 'image/webp'],
];

/** An image that came as bare base64, as the content part that Venice reads. */
export function imagePart(base64: string): object {
  return { type: 'image_url', image_url: { url: imageUrl(base64) } };
}

function imageUrl(base64: string): string {
  // Some clients send the whole URL, although Ollama does not ask for it.
  if (base64.startsWith('data:')) return base64;
  const type = KINDS.find(([start]) => base64.startsWith(start))?.[1] ?? 'image/png';
  return `data:${type};base64,${base64}`;
}
