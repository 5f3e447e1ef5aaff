// Files that webpack copies into the page's folder when they are imported.

declare module '*.html';
declare module '*.css';
declare module '*.svg';
