// The same promises in Firefox: what is downloaded, stored, shared between tabs, loaded again, repaired, and there without a network.

process.env.BROWSER = 'firefox';
for (const name of ['download', 'storage', 'load', 'offline']) await import(`./${name}.test.mjs`);
