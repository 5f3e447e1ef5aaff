// The background script: opens the panel beside the page and tells it what was asked for. The model never runs here.

import { leaveRequest, type PanelRequest } from './requests.js';

/** Entries of the context menu, by where they appear. */
const MENU = { ask: 'page', summarise: 'page', explain: 'selection' } as const;

chrome.runtime.onInstalled.addListener(() => {
  chrome.contextMenus.removeAll(() => {
    for (const [id, context] of Object.entries(MENU)) {
      chrome.contextMenus.create({ id, title: chrome.i18n.getMessage(`menu_${id}`), contexts: [context], documentUrlPatterns: ['http://*/*', 'https://*/*', 'file:///*'] });
    }
  });
});

chrome.action.onClicked.addListener((tab) => {
  if (tab.id !== undefined) openPanel(tab.windowId, { action: 'open', tabId: tab.id });
});

chrome.contextMenus.onClicked.addListener(({ menuItemId, frameId = 0, selectionText = '' }, tab) => {
  if (tab?.id === undefined) return;
  if (menuItemId === 'explain') openPanel(tab.windowId, { action: 'explain', tabId: tab.id, frameId, selection: selectionText });
  if (menuItemId === 'ask' || menuItemId === 'summarise') openPanel(tab.windowId, { action: menuItemId, tabId: tab.id });
});

/** Opening comes first: a browser allows it only while it handles the click itself. */
function openPanel(windowId: number, request: PanelRequest): void {
  const opened = 'sidePanel' in chrome ? chrome.sidePanel.open({ windowId }) : browser.sidebarAction.open();
  void Promise.all([opened, leaveRequest(windowId, request)]);
}
