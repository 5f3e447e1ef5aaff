// What Firefox has in place of Chromium's side panel (https://developer.mozilla.org/docs/Mozilla/Add-ons/WebExtensions/API/sidebarAction).

declare namespace browser.sidebarAction {
  function open(): Promise<void>;
}
