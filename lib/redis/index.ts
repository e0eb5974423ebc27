export { redisStore } from './redis-store.ts';
export type { RedisStoreOptions, SendCommand } from './redis-store.ts';
