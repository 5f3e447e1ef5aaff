// Text of a page as it goes to the model before a question: marked as quoted, line by line, so that nothing in it can pass for
// anything else, and cut to what fits.

import type { Attachment } from '../www/chat/conversations.js';
import { text, type MessageKey } from '../www/ui/messages.js';
import type { PageText } from './page-text.js';

/** What the text is: it says how it is introduced to the model, and how a cut is told to the reader. */
export type Kind = 'page' | 'selection';

const WORDS: Readonly<Record<Kind, { introduction: MessageKey; rest: MessageKey; cut: MessageKey }>> = {
  page: { introduction: 'quotedPage', rest: 'quotedPageRest', cut: 'pageCut' },
  selection: { introduction: 'quotedSelection', rest: 'quotedSelectionRest', cut: 'selectionCut' },
};

/** Every line end that Unicode knows (UAX #14: BK, CR, LF, NL). */
const LINE_END = /\r\n|[\n\v\f\r\u0085\u2028\u2029]/;

/** More characters than this make a token only in texts without words. */
const CHARACTERS_PER_TOKEN = 16;

/** Of a title or an address: some are texts of their own. */
const HEAD_CHARACTERS = 300;

/** The longest beginning of a page that `fits` in at most `tokens`, cut at the end of a sentence where one is near. */
export async function quoted(page: PageText, kind: Kind, tokens: number, fits: (attachment: Attachment) => Promise<boolean>): Promise<Attachment> {
  const whole = attach(page, kind, page.text);
  const start = page.text.slice(0, tokens * CHARACTERS_PER_TOKEN);
  if (start === page.text && await fits(whole)) return whole;
  const ends = wordEnds(start);
  const first = (words: number): Attachment => attach(page, kind, wholeSentences(start.slice(0, ends[words - 1] ?? 0)));
  // Within one word in a hundred: counting tokens takes time, and the cut goes back to a sentence's end anyway.
  let [most, tooMany] = [0, ends.length + 1];
  while (tooMany - most > Math.max(1, most / 100)) {
    const middle = Math.floor((most + tooMany) / 2);
    if (await fits(first(middle))) most = middle;
    else tooMany = middle;
  }
  return first(most);
}

/** Marks each line: no text can end its own quotation. */
function quote(text: string): string {
  return text.split(LINE_END).map((line) => (line === '' ? '>' : `> ${line}`)).join('\n');
}

function attach({ title, url, text: all }: PageText, kind: Kind, part: string): Attachment {
  const { introduction, rest, cut } = WORDS[kind];
  const head = [title, url].map((line) => line.slice(0, HEAD_CHARACTERS)).join('\n');
  const lines = [text(introduction), quote(`${head}\n\n${part}`)];
  if (part === all) return { title, text: lines.join('\n\n') };
  const percent = Math.floor((part.length / all.length) * 100);
  return { title, note: text(cut, { percent, left: 100 - percent }), text: [...lines, text(rest, { percent })].join('\n\n') };
}

/** The places after each word. */
function wordEnds(text: string): number[] {
  const segments = new Intl.Segmenter(undefined, { granularity: 'word' }).segment(text);
  return Array.from(segments).flatMap(({ isWordLike, index, segment }) => (isWordLike === true ? index + segment.length : []));
}

/** Without the sentence that has only begun, unless it is most of the text. */
function wholeSentences(text: string): string {
  const end = Math.max(...['. ', '.\n', '! ', '? ', '。', '！', '？', '\n'].map((mark) => text.lastIndexOf(mark)));
  return end > text.length / 2 ? text.slice(0, end + 1).trimEnd() : text;
}
