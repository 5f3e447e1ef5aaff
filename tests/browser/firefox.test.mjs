// The same promises in Firefox: what is downloaded, stored, shared between tabs, loaded again, repaired, there without a network, computed by threads, and never wrong.

process.env.BROWSER = 'firefox';
for (const name of ['download', 'storage', 'load', 'offline', 'threads', 'soak']) await import(`./${name}.test.mjs`);
