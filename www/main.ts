// The demo page's entry: puts chat, models and the panels together, and lets scripts drive the same page.

import './index.html';
import './icon.svg';
import './manifest.webmanifest';
import './offline/register.js';
import './ui/theme.css';
import './chat/chat.css';
import './page.css';
import { diagnose, type ChatOptions, type ModelInfo, type ReplyEvent } from 'qwen3-web';
import { BenchmarkView } from './benchmark/benchmark-view.js';
import { ChatView } from './chat/chat-view.js';
import { ConversationList, exportButtons } from './chat/conversation-list.js';
import { openConversations } from './chat/conversations.js';
import { CompareView } from './compare/compare-view.js';
import { firstModel, ModelLoader } from './models/loader.js';
import { acceptDrops, ModelDialog } from './models/model-dialog.js';
import { serverForm } from './models/server.js';
import { Frame } from './frame.js';
import { Inspector } from './inspector/inspector.js';
import { settingsPanel } from './settings/settings-panel.js';
import { SettingsStore } from './settings/settings.js';
import { thinkingSwitch } from './settings/thinking-switch.js';
import { TOOLS } from './settings/tools.js';
import { make } from './ui/dom.js';
import { setLanguage } from './ui/messages.js';
import { welcome } from './welcome.js';

/** How a script drives the page: what it does shows on the page as if a person had done it. */
export interface DemoHook {
  /** Settles when the model of the page's address is loaded or has failed to. */
  ready: Promise<ModelInfo>;
  /** Sends a prompt; yields the reply's events as they come. */
  run(prompt: string, options?: ChatOptions): AsyncGenerator<ReplyEvent, void>;
  diagnose: typeof diagnose;
}

declare global {
  interface Window {
    qwen3Demo: DemoHook;
  }
}

const settings = new SettingsStore();
settings.watch(({ language, look }) => {
  setLanguage(language);
  document.documentElement.style.colorScheme = look === 'system' ? '' : look;
});

const loader = new ModelLoader(() => settings.loadOptions);
const frame = new Frame(loader, () => models.open());
const onProblem = (error: unknown): void => frame.showProblem(error);
const models: ModelDialog = new ModelDialog(loader, [serverForm((server) => {
  models.element.close();
  // Its failure shows in the loader's state.
  loader.connect(server).catch(() => undefined);
})]);
document.body.append(models.element);
acceptDrops((file) => models.choose(file));

const inspector = new Inspector(loader);
const store = openConversations();
const chat = new ChatView({
  host: make('div', 'view'),
  store,
  request: () => ({
    systemPrompt: settings.values.systemPrompt,
    options: settings.chatOptions,
    tools: TOOLS.filter(({ name }) => settings.values.tools.includes(name)),
  }),
  onProblem,
  onReply: (events, messages, options) => void inspector.recorder.record(events, messages, options),
  welcome: welcome(loader),
  suggestions: ['suggestQuadratic', 'suggestSum', 'suggestTriangle'],
  controls: [thinkingSwitch(settings)],
});
const conversations = new ConversationList(store, chat, () => frame.show('chat'), onProblem);
frame.addRail(conversations.element, exportButtons(chat));
frame.addView('chat', 'viewChat', 'chat', chat.element);
frame.addView('compare', 'compareThinking', 'columns', new CompareView(loader, onProblem).element);
frame.addView('benchmark', 'benchmark', 'gauge', new BenchmarkView(loader, onProblem).element);
frame.addPanel('inspector', 'inspector', 'pulse', inspector.element);
frame.addPanel('settings', 'settings', 'tune', settingsPanel(settings, () => loader.resume()));

loader.watch((state) => {
  chat.model = loader.chatModel;
  if (state.kind === 'loading') frame.hideProblem();
});

// Where there is a keyboard one can write at once.
if (matchMedia('(hover: hover)').matches) chat.focus();

/** `?model=` a name or an address, `?device=`, and `?prompt=` to be asked as soon as the model is there. */
const query = new URLSearchParams(location.search);
const device = query.get('device');
if (device === 'webgpu' || device === 'cpu' || device === 'auto') settings.set({ device });
const ready = firstModel(loader, settings, query.get('model')).then((source) => loader.load(source)).then((model) => model.info);

window.qwen3Demo = {
  ready,
  async *run(prompt, options) {
    await ready;
    yield* chat.ask(prompt, options);
  },
  diagnose,
};

const prompt = query.get('prompt');
// A failure to load shows in the loader's state.
ready.then(async () => {
  if (prompt === null) return;
  for await (const _ of chat.ask(prompt)) { /* the chat shows it */ }
}).catch((error: unknown) => {
  if (loader.model !== undefined) onProblem(error);
});
