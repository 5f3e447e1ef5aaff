// Server-sent events of several replies at once, in OpenAI's order: chunks, then usage if wanted, then [DONE].

import type { ChatResult, Reply, ReplyEvent } from '../index.js';
import { errorBody } from './errors.js';

/** What a kind of completion makes of a reply: chunks as its events come. */
export type Chunks = (event: ReplyEvent, index: number) => object[];

/**
 * The response of a stream. It waits for the first event of each reply, so that a request that is wrong is answered with an error and
 * not with a stream.
 */
export async function streamed(replies: Reply[], chunks: Chunks, usage: (results: ChatResult[]) => object | undefined, signal: AbortSignal): Promise<Response> {
  const iterators = replies.map((reply) => reply[Symbol.asyncIterator]());
  const first = await Promise.all(iterators.map((iterator) => iterator.next()));
  const encoder = new TextEncoder();
  const abort = (): void => replies.forEach((reply) => reply.abort());
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      const send = (data: object | string): void => controller.enqueue(encoder.encode(`data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`));
      const pump = async (index: number): Promise<void> => {
        for (let next = first[index]; next?.done === false; next = await iterators[index]?.next()) {
          signal.throwIfAborted();
          for (const chunk of chunks(next.value, index)) send(chunk);
        }
      };
      const all = async (): Promise<void> => {
        await Promise.all(replies.map((_, index) => pump(index)));
        const last = usage(await Promise.all(replies));
        if (last !== undefined) send(last);
        send('[DONE]');
        controller.close();
      };
      all().catch((error: unknown) => {
        abort();
        if (signal.aborted) return controller.error(signal.reason);
        send(errorBody(error));
        controller.close();
      });
    },
    cancel: abort,
  });
  return new Response(body, { headers: { 'Content-Type': 'text/event-stream; charset=utf-8', 'Cache-Control': 'no-cache' } });
}
