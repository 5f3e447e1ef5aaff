// A customer-service assistant: the model calls the shop's functions by itself until it can answer.

import type { ChatModel, Message, RunResult, RunTool } from 'qwen3-web';

/** What the shop knows. */
export interface Shop {
  orders: Record<string, { status: string; due: string }>;
  products: Record<string, { price: number; stock: number }>;
  complaints: { orderId: string; text: string }[];
}

/** The shop's functions, described for the model and checked before they are called. */
export function shopTools(shop: Shop): RunTool[] {
  const text = (...names: string[]): object => ({
    type: 'object', properties: Object.fromEntries(names.map((name) => [name, { type: 'string' }])), required: names, additionalProperties: false,
  });
  return [
    {
      name: 'order_tracking', description: 'Where an order is', parameters: text('order_id'),
      execute: ({ order_id: id }) => shop.orders[String(id)] ?? `there is no order ${String(id)}`,
    },
    {
      name: 'product_info', description: 'Price and stock of a product', parameters: text('product'),
      execute: ({ product }) => shop.products[String(product)] ?? `there is no product ${String(product)}`,
    },
    {
      name: 'complaint_handling', description: 'Files a complaint about an order', parameters: text('order_id', 'complaint'),
      execute: ({ order_id: id, complaint }) => `filed as number ${shop.complaints.push({ orderId: String(id), text: String(complaint) })}`,
    },
  ];
}

/** Answers a customer. `messages` of the result is the conversation, with which the next question goes on. */
export async function serveCustomer(model: ChatModel, shop: Shop, question: string, earlier: Message[] = []): Promise<RunResult> {
  const start: Message[] = earlier.length > 0 ? earlier : [{ role: 'system', content: 'You serve the customers of a shop. Look things up; never guess.' }];
  return model.run([...start, { role: 'user', content: question }], { tools: shopTools(shop), maxSteps: 6 });
}
