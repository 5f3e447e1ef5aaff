// A React hook for a chat: what was said, what is being thought and said now, and the means to send, stop and skip the thinking.

import { useCallback, useEffect, useRef, useState } from 'react';
import type { ChatModel, ChatOptions, Message, Reply } from 'qwen3-web';

/** What a component gets. */
export interface Chat {
  messages: Message[];
  /** The reply under way. */
  thinking: string;
  content: string;
  busy: boolean;
  error: string | undefined;
  send(text: string): void;
  stop(): void;
  skipThinking(): void;
}

/** A chat with a model, which may still be loading. */
export function useChat(model: ChatModel | undefined, options: ChatOptions = {}): Chat {
  const [messages, setMessages] = useState<Message[]>([]);
  const [now, setNow] = useState({ thinking: '', content: '' });
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string>();
  const reply = useRef<Reply>(null);

  useEffect(() => () => reply.current?.abort(), []);

  const send = useCallback((text: string) => {
    if (model === undefined || reply.current !== null) return;
    const asked: Message[] = [...messages, { role: 'user', content: text }];
    setMessages(asked);
    setNow({ thinking: '', content: '' });
    setBusy(true);
    setError(undefined);
    const current = model.chat(asked, options);
    reply.current = current;
    current.on('thinking', (event) => setNow((said) => ({ ...said, thinking: said.thinking + event.text })));
    current.on('content', (event) => setNow((said) => ({ ...said, content: said.content + event.text })));
    current.then(
      ({ thinking, content }) => setMessages([...asked, { role: 'assistant', thinking, content }]),
      (failure: unknown) => setError(failure instanceof Error ? failure.message : String(failure)),
    ).finally(() => {
      reply.current = null;
      setBusy(false);
      setNow({ thinking: '', content: '' });
    });
  }, [model, messages, options]);

  return { messages, ...now, busy, error, send, stop: () => reply.current?.abort(), skipThinking: () => reply.current?.skipThinking() };
}
