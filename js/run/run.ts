// The tool loop: a reply, the tools it calls, the next reply with their answers, until one calls none.

import { checkRunOptions } from '../options.js';
import { Reply } from '../reply.js';
import type {
  ChatModel, ChatResult, Message, ReplyEvent, RunOptions, RunResult, RunTool, ToolCall, ToolContext, ToolResult,
} from '../types.js';

/** As many as Qwen-Agent allows. */
const MAX_STEPS = 20;

const MALFORMED = 'Error: the text between <tool_call> and </tool_call> is not a call. '
  + 'Write {"name": <function-name>, "arguments": <args-json-object>} there.';

/** A tool, and what is wrong with arguments for it, if anything. */
type ReadyTool = RunTool & { check(args: unknown): string | undefined };
type Tools = ReadonlyMap<string, ReadyTool>;

/** Runs a conversation with tools on anything that chats. */
export function run(model: Pick<ChatModel, 'chat'>, messages: Message[], options: RunOptions): Reply<RunResult> {
  const stop = new AbortController();
  const abort = (): void => stop.abort();
  let current: Reply | undefined;
  const chat = (conversation: Message[], chatOptions: Parameters<ChatModel['chat']>[1]): Reply => {
    current = model.chat(conversation, chatOptions);
    return current;
  };
  return new Reply<RunResult>({ abort, skipThinking: () => current?.skipThinking() }, (sink) => {
    checkRunOptions(options);
    options.signal?.addEventListener('abort', abort, { once: true });
    if (options.signal?.aborted === true) abort();
    loop({ chat }, messages, options, stop.signal, (event) => sink.event(event))
      .then((result) => sink.event({ type: 'done', result }), (error: unknown) => sink.fail(error))
      .finally(() => options.signal?.removeEventListener('abort', abort));
  });
}

async function loop(
  model: Pick<ChatModel, 'chat'>, start: Message[], options: RunOptions, signal: AbortSignal,
  emit: (event: Exclude<ReplyEvent, { type: 'done' }>) => void,
): Promise<RunResult> {
  const { tools: given, maxSteps = MAX_STEPS, toolChoice, ...chatOptions } = options;
  const tools = await ready(given);
  const shown = given.map(({ execute: _, ...tool }) => ({ type: 'function' as const, function: tool }));
  const messages = [...start];
  const steps: RunResult['steps'] = [];
  for (;;) {
    // A demand for a call is met by the first reply; if it stood, there would never be an answer.
    const choice = toolChoice !== undefined && (steps.length === 0 || toolChoice === 'none') ? { toolChoice } : {};
    const reply = model.chat([...messages], { ...chatOptions, ...choice, tools: shown, signal });
    let malformed = false;
    for await (const event of reply) {
      if (event.type !== 'done') emit(event);
      malformed ||= event.type === 'notice' && event.code === 'malformed-tool-call';
    }
    const result = await reply;
    messages.push(assistantMessage(result));
    const toolResults: ToolResult[] = [];
    steps.push({ ...result, toolResults });
    const end = { ...result, steps, messages };
    const called = result.finishReason === 'toolCalls' || (malformed && result.finishReason === 'stop');
    if (!called || steps.length === maxSteps || result.toolCalls.some((call) => isCallers(tools, call))) return end;

    const context = { messages: [...messages], signal };
    const answers = result.toolCalls.map(async (call) => {
      const answer = await answerCall(tools, call, context);
      if (signal.aborted) return;
      emit({ type: 'toolResult', ...answer });
      toolResults.push(answer);
    });
    // A tool that does not heed the signal is not waited for.
    await Promise.race([Promise.all(answers), fired(signal)]);
    for (const { id } of result.toolCalls) {
      const answer = toolResults.find(({ toolCallId }) => toolCallId === id);
      if (answer !== undefined) messages.push({ role: 'tool', content: answer.content, toolCallId: id, name: answer.name });
    }
    if (signal.aborted) return { ...end, finishReason: 'abort' };
    if (malformed) messages.push({ role: 'tool', content: MALFORMED });
  }
}

/** The tools by name; the code that checks arguments is loaded here, when it is needed. */
async function ready(tools: RunTool[]): Promise<Tools> {
  const { argumentsCheck } = await import('./tool-arguments.js');
  return new Map(tools.map((tool) => [tool.name, { ...tool, check: argumentsCheck(tool) }]));
}

/** Whether the caller of `run` carries this call out. */
function isCallers(tools: Tools, { name }: ToolCall): boolean {
  const tool = tools.get(name);
  return tool !== undefined && tool.execute === undefined;
}

async function answerCall(tools: Tools, call: ToolCall, context: Omit<ToolContext, 'toolCallId'>): Promise<ToolResult> {
  const answer = (content: string, isError: boolean): ToolResult => ({ toolCallId: call.id, name: call.name, content, isError });
  const tool = tools.get(call.name);
  if (tool?.execute === undefined) {
    return answer(`Error: there is no tool named ${JSON.stringify(call.name)}; there are ${[...tools.keys()].join(', ')}.`, true);
  }
  const wrong = typeof call.arguments === 'string' ? 'they are not a JSON object' : tool.check(call.arguments);
  if (wrong !== undefined || typeof call.arguments === 'string') {
    return answer(`Error: the arguments do not fit the parameters of ${call.name}: ${wrong ?? ''}.`, true);
  }
  try {
    const value = await tool.execute(call.arguments, { ...context, toolCallId: call.id });
    return answer(typeof value === 'string' ? value : JSON.stringify(value) ?? '', false);
  } catch (error) {
    return answer(`Error: ${error instanceof Error ? error.message : String(error)}`, true);
  }
}

/** A reply as a turn of the conversation. */
function assistantMessage({ content, thinking, toolCalls }: ChatResult): Message {
  return { role: 'assistant', content, ...(thinking === '' ? {} : { thinking }), ...(toolCalls.length === 0 ? {} : { toolCalls }) };
}

function fired(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
