// The sidebar's entry: the chat of the demo page with a model of its own, and what can be done with the page beside it.

import './panel.html';
import '../www/ui/theme.css';
import '../www/chat/chat.css';
import '../www/page.css';
import './panel.css';
import { ChatView, type Request } from '../www/chat/chat-view.js';
import { ConversationList, exportButtons } from '../www/chat/conversation-list.js';
import { openConversations, type Answer } from '../www/chat/conversations.js';
import { Frame } from '../www/frame.js';
import { entryOf, firstModel, ModelLoader } from '../www/models/loader.js';
import { acceptDrops, ModelDialog } from '../www/models/model-dialog.js';
import { Inspector } from '../www/inspector/inspector.js';
import { settingsPanel } from '../www/settings/settings-panel.js';
import { SettingsStore } from '../www/settings/settings.js';
import { thinkingSwitch } from '../www/settings/thinking-switch.js';
import { TOOLS } from '../www/settings/tools.js';
import { button, make } from '../www/ui/dom.js';
import { say, setLanguage } from '../www/ui/messages.js';
import { PageBar } from './page-bar.js';
import { takeRequests } from './requests.js';

const settings = new SettingsStore();
settings.watch(({ language, look }) => {
  setLanguage(language);
  document.documentElement.style.colorScheme = look === 'system' ? '' : look;
});

const loader = new ModelLoader(() => settings.loadOptions);
const frame = new Frame(loader, () => models.open());
const onProblem = (error: unknown): void => frame.showProblem(error);
const models = new ModelDialog(loader, [say(make('p', 'quiet'), 'sidebarHosts')]);
document.body.append(models.element);
acceptDrops((file) => models.choose(file));

/** With the text of a page in the conversation no tool is offered, so that there is none the page could ask for. */
function request(): Request {
  const ofPage = chat.conversation.turns.some((turn) => turn.role === 'user' && turn.attachment !== undefined);
  const tools = ofPage ? [] : TOOLS.filter(({ name }) => settings.values.tools.includes(name));
  return { systemPrompt: settings.values.systemPrompt, options: settings.chatOptions, tools };
}

const inspector = new Inspector(loader);
const bar: PageBar = new PageBar({ chat: () => chat, model: () => loader.model, request, onProblem });
const tiny = make('p', 'tiny', say(make('span'), 'sidebarTiny'), ' ', say(button('', () => models.open()), 'chooseModel'));
const store = openConversations();
const chat: ChatView = new ChatView({
  host: make('div', 'view'),
  store,
  request,
  onProblem,
  onReply: (events, messages, options) => void inspector.recorder.record(events, messages, options),
  attach: (question) => bar.attach(question),
  welcome: make('div', '', say(make('h2'), 'sidebarWelcome'), say(make('p'), 'sidebarPrivacy')),
  controls: [thinkingSwitch(settings)],
  answerActions: (answer) => [bar.insertButton(() => contentOf(answer))],
});
bar.element.append(tiny);
chat.element.querySelector('.composer')?.before(bar.element);
const conversations = new ConversationList(store, chat, () => frame.show('chat'), onProblem);
frame.addRail(conversations.element, exportButtons(chat));
frame.addView('chat', 'viewChat', 'chat', chat.element);
frame.addPanel('inspector', 'inspector', 'pulse', inspector.element);
frame.addPanel('settings', 'settings', 'tune', settingsPanel(settings, () => loader.resume()));

loader.watch((state) => {
  chat.model = loader.model;
  if (state.kind === 'loading') frame.hideProblem();
  if (state.kind === 'ready') tiny.hidden = entryOf(state.source)?.embedded !== true;
});

// A failure shows in the loader's state.
await firstModel(loader, settings).then((source) => loader.load(source)).catch(() => undefined);
const { id: windowId } = await chrome.windows.getCurrent();
if (windowId !== undefined) await takeRequests(windowId, (asked) => bar.take(asked));

function contentOf({ messages }: Answer): string {
  return messages.flatMap(({ role, content }) => (role === 'assistant' && content !== '' ? [content] : [])).join('\n\n');
}
