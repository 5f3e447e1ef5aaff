// What the package says of its own work, to whoever wants to hear it; by default nobody.

import type { Reply } from './reply.js';
import type { Logger } from './types.js';

/** Says nothing. */
export const silent: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** Tells how a reply went: never what it says. */
export function logReply(logger: Logger, name: string, reply: Reply): void {
  if (logger === silent) return;
  logger.debug(`${name} begins`);
  reply.on('notice', ({ code, message }) => logger.warn(`${name}: ${message}`, { code }));
  reply.on('error', ({ error }) => logger.error(`${name} failed: ${error.message}`, { code: error.code, hint: error.hint }));
  reply.on('done', ({ result: { finishReason, usage, timings, seed } }) => logger.info(`${name} ended`, { finishReason, usage, timings, seed }));
}
