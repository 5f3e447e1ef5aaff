// Files that webpack copies into the page's folder when they are imported, and how it takes a folder of them.

declare module '*.html';
declare module '*.css';
declare module '*.svg';
declare module '*.webmanifest';

interface ImportMeta {
  webpackContext(folder: string, options: { regExp: RegExp }): unknown;
}

declare module '*/questions.json' {
  const questions: readonly { readonly question: string; readonly right: string }[];
  export default questions;
}
