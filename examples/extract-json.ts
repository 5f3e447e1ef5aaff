// Facts out of a text, as an object of a known shape: the model may think freely, its answer cannot but fit.

import type { ChatModel } from 'qwen3-web';

/** What is looked for. */
export interface Contact {
  name: string;
  city: string | null;
  urgent: boolean;
}

const SCHEMA = {
  type: 'object',
  properties: { name: { type: 'string', maxLength: 40 }, city: { anyOf: [{ type: 'string', maxLength: 40 }, { type: 'null' }] }, urgent: { type: 'boolean' } },
  required: ['name', 'city', 'urgent'],
  additionalProperties: false,
};

/** Reads the contact out of a letter. */
export async function extractContact(model: ChatModel, letter: string): Promise<Contact> {
  const { content, finishReason } = await model.chat(
    [{ role: 'user', content: `Who wrote this, from which city, and is it urgent?\n\n${letter}` }],
    { enableThinking: false, responseFormat: { type: 'json_schema', schema: SCHEMA }, maxTokens: 200 },
  );
  if (finishReason !== 'stop') throw new Error(`the answer was cut off: ${content}`);
  const contact: Contact = JSON.parse(content);
  return contact;
}
