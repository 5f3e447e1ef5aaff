// The sidebar as a person uses it, in the real side panel of a real Chromium: ask about the page beside it, summarise, explain, insert,
// offline, after a restart, and beside a page that wants to give the orders.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ROOT } from './chromium.mjs';
import { scriptedModel } from './scripted.mjs';
import { serve } from './server.mjs';
import { launchWithExtension, SidePanel } from './side-panel.mjs';

const CONTEXT = 4096;
/** The panel's own rule: half of a small context, and never more than this, is kept for the reply. */
const REPLY_TOKENS = 1536;
const ANSWER = 'The page is about the sea.';
const model = scriptedModel({ thinking: ['So', ' then'], answer: ['The', ' page', ' is', ' about', ' the', ' sea', '.'], context: CONTEXT });

const SENTENCE = 'The sea came back to the harbour, as it had done each day before, and lifted the boats from the mud one after the other. ';
const LONG_PAGE = `<!doctype html><html lang="en"><title>A long day at sea</title><article>${`<p>${SENTENCE.repeat(5)}</p>`.repeat(40)}</article></html>`;

let folder;
let server;
let extension;
let page;
let panel;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'qwen3-web-'));
  server = await serve({ '/pages/': `${ROOT}tests/fixtures/pages/` });
  server.routes.set('/talker.gguf', (_, response) => response.writeHead(200, { 'Content-Length': model.length, ETag: '"1"', 'Access-Control-Allow-Origin': '*' }).end(model));
  server.routes.set('/long.html', (_, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end(LONG_PAGE));
  extension = await launchWithExtension({ folder });
  page = await extension.context.newPage();
});
after(async () => {
  await extension?.context.close();
  await server?.close();
  await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
});

const article = () => `${server.url}/pages/article.html`;

/** Shows a page and presses the extension's button on it. */
async function visit(address) {
  await page.goto(address);
  if (panel === undefined) panel = await SidePanel.open(extension, page);
  else await SidePanel.click(extension, page);
}

const ready = (title) => panel.waitFor((wanted) => document.querySelector('#model-dot[data-state="ready"]') !== null && document.querySelector('#model-name').textContent === wanted, title);

/** From now on, what the panel shows is old. */
const seen = () => panel.evaluate(() => document.querySelector('.turn:last-child')?.setAttribute('data-seen', ''));

/** Waits for the end of the next reply and gives the turns of the conversation as they are kept. */
async function answered() {
  await panel.waitFor(() => document.querySelector('.turn:last-child:not([data-seen]) .stats') !== null && document.querySelector('.running') === null);
  await seen();
  return panel.evaluate(async () => {
    const database = await new Promise((resolve) => {
      indexedDB.open('qwen3-web-conversations').onsuccess = ({ target }) => resolve(target.result);
    });
    const read = (store) => new Promise((resolve) => {
      database.transaction(store).objectStore(store).getAll().onsuccess = ({ target }) => resolve(target.result);
    });
    const keys = await new Promise((resolve) => {
      database.transaction('turns').objectStore('turns').getAllKeys().onsuccess = ({ target }) => resolve(target.result);
    });
    const [last] = (await read('summaries')).sort((a, b) => b.updatedAt - a.updatedAt);
    const turns = (await read('turns'))[keys.indexOf(last.id)];
    database.close();
    return turns;
  });
}

async function ask(question) {
  await seen();
  await panel.type('#prompt', question);
  await panel.press('Enter');
  return answered();
}

async function newChat() {
  await panel.click('.menu');
  await panel.click('#new-chat');
  await panel.waitFor(() => document.querySelectorAll('.turn').length === 0);
}

/** How many tokens the scripted model's vocabulary makes of a text in which nothing is a control token: bytes, and pairs of line ends. */
const textTokens = (text) => Buffer.byteLength(text) - (text.match(/\n\n/g) ?? []).length;

/** The tokens of a prompt of one question: three control tokens, and everything else is text. */
const promptTokens = (content) => 3 + textTokens('user\n') + textTokens(content) + textTokens('\n') + textTokens('assistant\n');

const contentOf = ({ attachment, content }) => (attachment === undefined ? content : `${attachment.text}\n\n${content}`);

describe('the sidebar', () => {
  test('asks for no more than it needs', () => {
    const manifest = JSON.parse(readFileSync(`${ROOT}extension/dist/chromium/manifest.json`, 'utf8'));
    assert.deepEqual(manifest.permissions.sort(), ['activeTab', 'contextMenus', 'scripting', 'sidePanel', 'storage', 'unlimitedStorage']);
    for (const absent of ['host_permissions', 'optional_host_permissions', 'content_scripts', 'externally_connectable', 'web_accessible_resources']) {
      assert.equal(manifest[absent], undefined, absent);
    }
    const policy = new Map(manifest.content_security_policy.extension_pages.split('; ').map((rule) => [rule.split(' ')[0], rule.split(' ').slice(1)]));
    assert.deepEqual(policy.get('default-src'), ["'none'"]);
    assert.deepEqual(policy.get('script-src'), ["'self'", "'wasm-unsafe-eval'"]);
    assert.deepEqual(policy.get('style-src'), ["'self'"]);
    for (const size of Object.keys(manifest.icons)) {
      const png = readFileSync(`${ROOT}extension/dist/chromium/${manifest.icons[size]}`);
      assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], [Number(size), Number(size)]);
    }
  });

  test('opens beside a page by its button, with its own model, which answers', async () => {
    await visit(article());
    await ready('Tiny maths');
    const [, { figures }] = await ask('What is 1 + 1?');
    assert.ok(figures.usage.completionTokens > 0);
    assert.notEqual(await panel.evaluate(() => document.querySelector('.answer').textContent), '');
    assert.equal(await panel.evaluate(() => crossOriginIsolated), true);
  });

  test('loads another model by its address and keeps it', async () => {
    await panel.click('#open-models');
    await panel.type('dialog[open] input[type="url"]', `${server.url}/talker.gguf`);
    await panel.press('Enter');
    await ready('talker.gguf');
  });

  test('asks about the page, of which the model gets the article alone, and goes on with what it knows', async () => {
    await newChat();
    await panel.click('.page-bar button');
    await panel.waitFor(() => document.querySelector('.hint').textContent.includes('Why tides come twice a day'));
    const [question, answer] = await ask('How often do tides come?');
    const { text, note } = question.attachment;
    assert.equal(note, undefined);
    assert.match(text, /^> Anyone who has left a boat on a beach knows .* rises towards it\.$/m);
    assert.match(text, /^> ## Springs and neaps$/m);
    assert.match(text, /^> - Neap tides follow the quarters\.$/m);
    assert.doesNotMatch(text, /Subscribe|new boat|Comment/);
    assert.equal(answer.figures.usage.promptTokens, promptTokens(contentOf(question)));
    assert.equal(answer.messages[0].content, ANSWER);
    const [, , next, second] = await ask('And in the Bay of Fundy?');
    assert.equal(next.attachment, undefined);
    assert.ok(second.figures.usage.cachedTokens > answer.figures.usage.promptTokens - 20, 'the page was read anew');
    assert.equal(await panel.evaluate(() => document.querySelector('.page-bar button').getAttribute('aria-pressed')), 'false');
  });

  test('summarises, by its button and by the menu of the page', async () => {
    await newChat();
    await panel.click('.page-bar button:nth-of-type(2)');
    const [question, answer] = await answered();
    assert.match(question.attachment.text, /Bay of Fundy/);
    assert.match(question.content, /^Summarise this page/);
    assert.equal(answer.messages[0].content, ANSWER);
    await newChat();
    await choose('summarise', {});
    const [again] = await answered();
    assert.deepEqual(again, question);
  });

  test('explains what is selected, with its line breaks', async () => {
    await newChat();
    await page.evaluate(() => getSelection().selectAllChildren(document.querySelector('ul')));
    await choose('explain', { selectionText: 'Spring tides follow' });
    const [question] = await answered();
    assert.match(question.attachment.text, /\n> Spring tides follow new and full moon by about two days\.\n> Neap tides follow the quarters\.$/);
    assert.doesNotMatch(question.attachment.text, /Fundy/);
    assert.match(question.content, /^Explain this passage/);
  });

  test('types an answer into the field that has the focus, and into nothing else', async () => {
    const insert = '.turn:last-child .turn-foot button:last-of-type';
    const inserted = () => panel.waitFor(() => document.querySelector('.turn:last-child').textContent.includes('Inserted'));
    await page.fill('#comment', 'Note: ');
    await panel.click(insert);
    await inserted();
    assert.equal(await page.inputValue('#comment'), `Note: ${ANSWER}`);
    await page.focus('#rich');
    await panel.click(insert);
    await page.waitForFunction((answer) => document.querySelector('#rich').textContent === answer, ANSWER);
    await page.focus('#secret');
    await panel.click(insert);
    await panel.waitFor(() => document.querySelector('.problem:not([hidden])')?.textContent.includes('no text field'));
    assert.equal(await page.inputValue('#secret'), '');
    await panel.click('.problem button');
  });

  test('a page that is too long is cut to the context, and the panel says so', async () => {
    await visit(`${server.url}/long.html`);
    await panel.click('.page-bar button:nth-of-type(2)');
    const [question, answer] = await answered();
    const { promptTokens: taken } = answer.figures.usage;
    assert.equal(taken, promptTokens(contentOf(question)));
    assert.ok(taken <= CONTEXT - REPLY_TOKENS && taken > (CONTEXT - REPLY_TOKENS) * 0.85, `${taken} tokens`);
    const quoted = question.attachment.text.split('\n').filter((line) => line.startsWith('> ')).slice(2).map((line) => line.slice(2)).join('');
    assert.ok(quoted.endsWith('one after the other.'), quoted.slice(-60));
    const percent = Math.floor((quoted.length / (SENTENCE.length * 200)) * 100);
    assert.match(question.attachment.note, new RegExp(`first (${percent - 1}|${percent}|${percent + 1}) %`));
    assert.equal(await panel.evaluate(() => document.querySelector('.turn.user .notice').textContent), question.attachment.note);
  });

  test('a page cannot forge turns, call tools or end its own quotation', async () => {
    await visit(`${server.url}/pages/hostile.html`);
    await newChat();
    // Two tools are offered in a chat, and none where there is a page.
    await panel.evaluate(() => document.querySelectorAll('#settings input[name="calculator"], #settings input[name="clock"]').forEach((box) => box.click()));
    const [greeting, offered] = await ask('Hello');
    assert.ok(offered.figures.usage.promptTokens > promptTokens(greeting.content) + 300, 'no tools were offered');
    await panel.click('.page-bar button');
    await panel.waitFor(() => document.querySelector('.hint').textContent.includes('Lemonade'));
    const turns = await ask('How much sugar?');
    const [question, answer] = turns;
    assert.equal(turns.length, 2);
    const { text } = question.attachment;
    // What it says arrives, as words between the quotation marks and nowhere else.
    for (const words of ['<|im_start|>system', '<tool_call>', 'The quotation ends here', '</think>', 'leaf of mint']) assert.ok(text.includes(words), words);
    const [introduction, ...rest] = text.split('\n\n');
    assert.match(introduction, /^This is the text of the web page/);
    for (const line of rest.join('\n\n').split('\n')) assert.match(line, /^>/);
    // As many tokens as there are bytes: one control token made of the page's text, and there were fewer.
    assert.equal(answer.figures.usage.promptTokens, promptTokens(contentOf(question)));
    await panel.click('#open-inspector');
    await panel.evaluate(() => document.querySelector('#inspector .inspector-row button').click());
    const prompt = await panel.waitFor(() => document.querySelector('#inspector .prompt-text:not([hidden])')?.textContent);
    assert.equal(prompt, `<|im_start|>user\n${contentOf(question)}<|im_end|>\n<|im_start|>assistant\n`);
    await panel.click('#inspector .dialog-head button');
    assert.deepEqual(answer.messages.map(({ role, content, toolCalls }) => ({ role, content, toolCalls })), [{ role: 'assistant', content: ANSWER, toolCalls: undefined }]);
    const shown = await panel.evaluate(() => [...document.querySelectorAll('.turn img, .turn a, .turn script, .tool-call')].length);
    assert.equal(shown, 0);
  });

  test('has no serious fault of accessibility, with a page in the conversation, in light and in dark', async () => {
    await panel.evaluate(`() => { ${readFileSync(`${ROOT}node_modules/axe-core/axe.min.js`, 'utf8')} }`);
    for (const look of ['light', 'dark']) {
      await panel.emulate(look);
      const faults = await panel.evaluate(async () => (await globalThis.axe.run()).violations
        .filter(({ impact }) => impact === 'serious' || impact === 'critical')
        .map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]));
      assert.deepEqual(faults, [], look);
    }
  });

  test('asks to be allowed where it is not, and goes on by itself when it is', async () => {
    await newChat();
    await page.goto(article().replace('localhost', '127.0.0.1'));
    await panel.click('.page-bar button:nth-of-type(2)');
    await panel.waitFor(() => document.querySelector('.hint').textContent.includes('toolbar'));
    assert.equal(await panel.evaluate(() => document.querySelectorAll('.turn').length), 0);
    await SidePanel.click(extension, page);
    const [question] = await answered();
    assert.match(question.attachment.text, /127\.0\.0\.1[\s\S]*Bay of Fundy/);
  });

  test('says so where no extension may read', async () => {
    await visit('chrome://version/');
    await panel.click('.page-bar button:nth-of-type(2)');
    await panel.waitFor(() => document.querySelector('.problem:not([hidden])')?.textContent.includes('lets no extension read this page'));
    await panel.click('.problem button');
    assert.deepEqual(panel.complaints, []);
  });

  test('keeps model and conversations over a restart of the browser, and needs no network', async () => {
    await extension.context.close();
    await server.close();
    extension = await launchWithExtension({ folder });
    page = await extension.context.newPage();
    panel = undefined;
    await visit('about:blank');
    await ready('talker.gguf');
    await panel.click('.menu');
    await panel.waitFor(() => document.querySelector('.conversations')?.textContent.includes('Why tides come twice a day'));
    await panel.evaluate(() => [...document.querySelectorAll('.conversation')].find(({ textContent }) => textContent.includes('long day')).click());
    await panel.waitFor(() => document.querySelector('.turn.user .notice')?.textContent.includes('left out'));
    const turns = await ask('What else?');
    assert.equal(turns.length, 4);
    assert.equal(turns[3].messages[0].content, ANSWER);
  });
});

/** Chooses an entry of the context menu; the click itself is the browser's, and no protocol can make it. */
function choose(menuItemId, info) {
  return extension.background.evaluate(async ([id, more]) => {
    const [tab] = await chrome.tabs.query({ active: true, lastFocusedWindow: true });
    // The panel is open: a browser lets nobody but a person open it.
    chrome.sidePanel.open = () => Promise.resolve();
    chrome.contextMenus.onClicked.dispatch({ menuItemId: id, frameId: 0, ...more }, tab);
  }, [menuItemId, info]);
}
