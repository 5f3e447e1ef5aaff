// What the background script wants of a window's panel: left in the session's storage, so that a panel that is only opening finds it.

/** `open` also means: the tab may be read from now on, until it goes to another site. */
export type PanelRequest =
  | { action: 'open' | 'ask' | 'summarise'; tabId: number }
  | { action: 'explain'; tabId: number; frameId: number; selection: string };

const key = (windowId: number): string => `request-${windowId}`;

/** Leaves a request for the panel of a window, in place of one that was not taken yet. */
export function leaveRequest(windowId: number, request: PanelRequest): Promise<void> {
  // Told apart from an equal one before it, which would be no change.
  return chrome.storage.session.set({ [key(windowId)]: { ...request, at: Date.now() } });
}

/** Takes the request that is waiting, and every one that comes. */
export async function takeRequests(windowId: number, take: (request: PanelRequest) => void): Promise<void> {
  const name = key(windowId);
  const taken = (request: unknown): void => {
    if (!isRequest(request)) return;
    void chrome.storage.session.remove(name);
    take(request);
  };
  chrome.storage.session.onChanged.addListener((changes) => taken(changes[name]?.newValue));
  taken((await chrome.storage.session.get(name))[name]);
}

/** Only the background script writes there. */
function isRequest(value: unknown): value is PanelRequest {
  return typeof value === 'object' && value !== null && 'action' in value;
}
