// A server that has the model, behind the API of OpenAI as llama.cpp, vLLM, SGLang and Ollama offer it: the form that asks for it.

import { Qwen3Error, type ConnectOptions } from 'qwen3-web';
import { make, withAttributes } from '../ui/dom.js';
import { label, say } from '../ui/messages.js';

/** Where a model is asked; without a name it is the server's first. */
export type Server = Omit<ConnectOptions, 'baseURL' | 'model'> & { baseURL: string; model?: string };

/** The name of the model to ask for; fails where there is no server, before anybody writes to it. */
export async function findModel({ baseURL, model, apiKey }: Server, signal: AbortSignal): Promise<string> {
  const url = `${baseURL.replace(/\/+$/, '')}/models`;
  const headers = apiKey === undefined ? {} : { Authorization: `Bearer ${apiKey}` };
  const response = await fetch(url, { headers, signal }).catch((cause: unknown) => {
    throw new Qwen3Error('remote-error', `no answer from ${url}`, { cause, hint: 'is the server running, and does it allow requests from this page (CORS)?' });
  });
  if (response.status === 401 || response.status === 403) {
    throw new Qwen3Error('remote-error', `the server answered with status ${response.status}`, { hint: 'check the key' });
  }
  const list: unknown = await response.json().catch(() => undefined);
  const [first] = namesIn(list);
  const name = model ?? first;
  if (!response.ok || name === undefined) {
    throw new Qwen3Error('remote-error', `${url} names no model (status ${response.status})`, { hint: 'check the address, which usually ends with /v1, or name the model' });
  }
  return name;
}

/** The names in an answer `{ data: [{ id }, …] }`. */
function namesIn(list: unknown): string[] {
  if (typeof list !== 'object' || list === null || !('data' in list) || !Array.isArray(list.data)) return [];
  return list.data.flatMap((entry: unknown) => (typeof entry === 'object' && entry !== null && 'id' in entry && typeof entry.id === 'string' ? [entry.id] : []));
}

/** The form, folded. */
export function serverForm(onServer: (server: Server) => void): HTMLElement {
  const address = withAttributes(make('input'), { type: 'url', name: 'server', required: '', placeholder: 'http://localhost:8080/v1' });
  const model = withAttributes(make('input'), { type: 'text', name: 'server-model', autocapitalize: 'none', spellcheck: 'false' });
  const key = withAttributes(make('input'), { type: 'password', name: 'server-key', autocomplete: 'off' });
  label(address, 'serverAddress');
  for (const [input, words] of [[model, 'serverModel'], [key, 'serverKey']] as const) say(label(input, words), words, {}, 'placeholder');
  const form = make('form', 'own', address, model, key, say(make('button'), 'connect'));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    onServer({
      baseURL: address.value.trim(),
      ...(model.value.trim() === '' ? {} : { model: model.value.trim() }),
      ...(key.value === '' ? {} : { apiKey: key.value }),
    });
  });
  return make('details', 'server', say(make('summary'), 'ownServer'), say(make('p', 'quiet'), 'ownServerHint'), form);
}
