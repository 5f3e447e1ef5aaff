// The same promises in Firefox: what is downloaded, stored, shared between tabs and repaired there.

process.env.BROWSER = 'firefox';
await import('./download.test.mjs');
await import('./storage.test.mjs');
