// Files of the user's in place of servers: an import takes the same path as a download, with the same checks.

import type { Fetcher } from './response.js';

/** Answers for addresses that end with the name of one of the files; a single file answers for every GGUF. */
export function blobFetcher(files: readonly File[]): Fetcher {
  return async (url, headers) => {
    const path = decodeURIComponent(new URL(url).pathname);
    const [only] = files;
    const file = files.find(({ name }) => path.endsWith(`/${name}`)) ?? (files.length === 1 && path.endsWith('.gguf') ? only : undefined);
    if (file === undefined) return { status: 404, header: () => null, read: () => Promise.resolve(undefined), cancel: () => undefined };
    const [, from = '0', last = ''] = /^bytes=(\d+)-(\d*)$/.exec(headers['Range'] ?? '') ?? [];
    const start = Number(from);
    const end = last === '' ? file.size : Math.min(Number(last) + 1, file.size);
    const reader = file.slice(start, end).stream().getReader();
    const fields: Record<string, string> = { 'content-length': String(end - start), 'content-range': `bytes ${start}-${end - 1}/${file.size}` };
    return {
      status: 206,
      header: (name) => fields[name] ?? null,
      read: async () => (await reader.read()).value,
      cancel: () => void reader.cancel().catch(() => undefined),
    };
  };
}
