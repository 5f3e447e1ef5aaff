// Measures stored weights in a real browser, as JSON: chunks of several sizes written and read, and a second load against a plain read of the same chunks.
//
// usage: node bench/stored_weights.mjs [MEGABYTES] [RUNS]     (BROWSER=firefox for Firefox)
//
// Build first (`cargo xtask build`). The model is one layer of noise: what loading it takes is reading it.

import { start } from '../tests/browser/bench.mjs';
import { faulty, fileOf, noise } from '../tests/browser/faults.mjs';
import { scriptedModel } from '../tests/browser/scripted.mjs';
import { median } from './peers/contenders.mjs';

const [megabytes = '400', runs = '5'] = process.argv.slice(2);
const MIB = 2 ** 20;

/** MB/s of so many bytes, of the median of times in milliseconds. */
const rate = (bytes, times) => Math.round(bytes / 1000 / median(times));
const rates = ({ write, read }) => ({ writeMBps: rate(64 * MIB, write), readMBps: rate(64 * MIB, read) });

const model = fileOf(scriptedModel({ thinking: ['Hm'], answer: ['Yes'], width: 32 * Math.ceil(Number(megabytes) * 1e6 / (32 * 3 * 128 * 4)) }));
const bench = await start();
try {
  bench.server.routes.set('/model.gguf', faulty(model));
  bench.server.routes.set('/noise', faulty(noise(64 * MIB)));
  bench.server.routes.set('/opfs.js', (_, response) => {
    response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(`onmessage = async ({ data }) => postMessage(await (${opfs})(data));`);
  });
  const page = await bench.page();
  const figures = { browser: await page.evaluate(() => navigator.userAgent), megabytes: model.size / 1e6, chunks: {} };
  for (const mebibytes of [1, 4, 8, 16]) {
    figures.chunks[`${mebibytes} MiB`] = rates(await page.evaluate(chunks, { bytes: mebibytes * MIB, runs: Number(runs) }));
  }
  figures.chunks.OPFS = rates(await page.evaluate((options) => new Promise((resolve) => {
    const worker = new Worker('/opfs.js');
    worker.onmessage = ({ data }) => resolve(data);
    worker.postMessage(options);
  }), { runs: Number(runs) }));
  const { load, plain } = await page.evaluate(secondLoad, { size: model.size, runs: Number(runs) });
  Object.assign(figures, { secondLoadMBps: rate(model.size, load), plainReadMBps: rate(model.size, plain) });
  console.log(JSON.stringify(figures, undefined, 1));
} finally {
  await bench.stop();
}

/** In the page: milliseconds of writing and of reading 64 MiB of noise in chunks of that size, by run. */
async function chunks({ bytes, runs }) {
  const data = new Uint8Array(await (await fetch('/noise')).arrayBuffer());
  const count = data.length / bytes;
  const open = indexedDB.open(`chunks of ${bytes}`, 1);
  open.onupgradeneeded = () => open.result.createObjectStore('chunks');
  const db = await new Promise((resolve, reject) => { open.onsuccess = () => resolve(open.result); open.onerror = () => reject(open.error); });
  const settled = (request) => new Promise((resolve, reject) => { request.onsuccess = () => resolve(request.result); request.onerror = () => reject(request.error); });
  const times = { write: [], read: [] };
  for (let run = 0; run < runs; run += 1) {
    const start = performance.now();
    for (let index = 0; index < count; index += 1) {
      const transaction = db.transaction('chunks', 'readwrite');
      transaction.objectStore('chunks').put(data.subarray(index * bytes, (index + 1) * bytes).slice(), index);
      await new Promise((resolve, reject) => { transaction.oncomplete = resolve; transaction.onabort = () => reject(transaction.error); });
    }
    const written = performance.now();
    for (let index = 0; index < count; index += 1) await settled(db.transaction('chunks').objectStore('chunks').get(index));
    times.write.push(written - start);
    times.read.push(performance.now() - written);
  }
  db.close();
  await settled(indexedDB.deleteDatabase(db.name));
  return times;
}

/** In a worker, which alone may have such a handle: the same of one file in the origin's private file system, in slices of 4 MiB. */
async function opfs({ runs }) {
  const data = new Uint8Array(await (await fetch('/noise')).arrayBuffer());
  const slice = 4 * 2 ** 20;
  const folder = await navigator.storage.getDirectory();
  const times = { write: [], read: [] };
  for (let run = 0; run < runs; run += 1) {
    const handle = await (await folder.getFileHandle('noise', { create: true })).createSyncAccessHandle();
    const start = performance.now();
    for (let at = 0; at < data.length; at += slice) handle.write(data.subarray(at, at + slice), { at });
    handle.flush();
    const written = performance.now();
    for (let at = 0; at < data.length; at += slice) handle.read(new Uint8Array(slice), { at });
    times.write.push(written - start);
    times.read.push(performance.now() - written);
    handle.close();
    await folder.removeEntry('noise');
  }
  return times;
}

/** In the page: milliseconds of loading the model a second time and of reading its chunks and nothing else, taking turns. */
async function secondLoad({ size, runs }) {
  const load = async () => {
    const start = performance.now();
    const model = await qwen3.loadModel('/model.gguf', { device: 'cpu' });
    const ms = performance.now() - start;
    await model.unload();
    return ms;
  };
  const name = new URL('/model.gguf', location.href).href;
  const settled = (request) => new Promise((resolve, reject) => { request.onsuccess = () => resolve(request.result); request.onerror = () => reject(request.error); });
  const plain = async () => {
    const db = await settled(indexedDB.open('qwen3-web'));
    const start = performance.now();
    for (let index = 0; index * 2 ** 22 < size; index += 1) await settled(db.transaction('chunks').objectStore('chunks').get([name, 0, index]));
    const ms = performance.now() - start;
    db.close();
    return ms;
  };
  await load();
  const times = { load: [], plain: [] };
  for (let run = 0; run < runs; run += 1) {
    times.plain.push(await plain());
    times.load.push(await load());
  }
  return times;
}
