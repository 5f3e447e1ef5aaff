// What a file must look like at its beginning: whatever is plainly no model is refused before a byte of it is stored.

import { failed, htmlPage, type Fetched } from './response.js';

/** The kinds of files a model is made of. */
export type Magic = 'gguf' | 'safetensors' | 'json' | 'text';

const NAMES: Readonly<Record<Magic, string>> = { gguf: 'a GGUF file', safetensors: 'a safetensors file', json: 'a JSON object', text: 'a text' };

/** Throws if these first bytes of a body are not those of such a file. */
export function checkMagic(url: string, response: Fetched, magic: Magic, first: Uint8Array): void {
  const text = String.fromCharCode(...first.subarray(0, 64));
  const [isPage, isPointer] = [/^\s*<(!doctype|html|\?xml)/i.test(text), text.startsWith('version https://git-lfs')];
  const good = magic === 'gguf' ? text.startsWith('GGUF'.slice(0, first.length))
    : magic === 'safetensors' ? first.length < 9 || text[8] === '{'
      : magic === 'json' ? /^\s*\{/.test(text)
        : !isPage && !isPointer;
  if (good) return;
  if (isPage) throw htmlPage(url, response.status);
  if (isPointer) {
    throw failed(url, 'sent a Git LFS pointer instead of the file', 'use the address that resolves the pointer (/resolve/ instead of /raw/)');
  }
  const type = response.header('content-type') ?? 'no content type';
  throw failed(url, `sent something else than ${NAMES[magic]} (status ${response.status}, ${type})`, 'check that the address is that of the file itself');
}
