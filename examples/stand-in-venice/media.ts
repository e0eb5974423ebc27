import { randomUUID } from 'node:crypto';
import { idFor } from './chat.ts';
import { invalidRequest, mediaNotFound, wrongContentType } from './refusals.ts';
import { binary, json } from './reply.ts';
import type { JsonObject, Reply } from './reply.ts';

const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);

/** Bytes of which none would survive being taken for text. */
const SOUND = Buffer.from(Array.from({ length: 4096 }, (_, place) => 255 - (place % 256)));

export const imageFile = (): Reply => binary('image/png', PNG);

export const speech = (): Reply => binary('audio/mpeg', SOUND);

export const openAiImages = (): Reply =>
  json({ created: 1_767_225_600, data: [{ b64_json: PNG.toString('base64') }] });

export function generateImage(body: JsonObject): Reply {
  if (body.return_binary === true) return imageFile();
  const timing = { inferenceDuration: 1, inferencePreprocessingTime: 0, inferenceQueueTime: 0 };
  return json({
    id: idFor('generate-image', String(body.prompt)),
    images: [PNG.toString('base64')],
    timing: { ...timing, total: 1 },
  });
}

/** What it heard is how much it was sent. */
export function transcription(contentType: string, bytes: number): Reply {
  if (!contentType.startsWith('multipart/form-data')) return wrongContentType();
  return json({ text: `The stand-in for Venice received ${bytes} bytes.`, bytes });
}

export const quote = (): Reply => json({ quote: 0.75 });

const MOST_JOBS = 1000;

export function queueJob(body: JsonObject, jobs: Map<string, number>): Reply {
  const { model } = body;
  if (typeof model !== 'string' || model === '') return invalidRequest('Required', 'model');
  const queue_id = randomUUID();
  jobs.set(queue_id, 0);
  const [oldest] = jobs.keys();
  if (jobs.size > MOST_JOBS && oldest !== undefined) jobs.delete(oldest);
  return json({ model, queue_id, status: 'QUEUED' });
}

/** The first question finds the job at work, every later one its result. */
export function retrieveJob(
  body: JsonObject,
  jobs: Map<string, number>,
  result: 'video/mp4' | 'audio/mpeg',
): Reply {
  const asked = typeof body.queue_id === 'string' ? jobs.get(body.queue_id) : undefined;
  if (typeof body.queue_id !== 'string' || asked === undefined) return mediaNotFound();
  jobs.set(body.queue_id, asked + 1);
  if (asked > 0) return binary(result, SOUND);
  return json({
    status: 'PROCESSING',
    average_execution_time: 145_000,
    execution_duration: 53_200,
  });
}
