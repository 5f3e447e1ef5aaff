// Small helpers that make elements. The page is plain DOM: see docs/page.md for why.

/** A new element with class and children; text is text, never markup. */
export function make<K extends keyof HTMLElementTagNameMap>(tag: K, className = '', ...children: (Node | string)[]): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (className !== '') made.className = className;
  made.append(...children);
  return made;
}

/** A new element with attributes, for what a class and children do not say. */
export function withAttributes<E extends Element>(element: E, attributes: Readonly<Record<string, string>>): E {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** A new button. */
export function button(className: string, onClick: () => void, ...children: (Node | string)[]): HTMLButtonElement {
  const made = make('button', className, ...children);
  made.type = 'button';
  made.addEventListener('click', onClick);
  return made;
}

const SVG = 'http://www.w3.org/2000/svg';

/** A new SVG element. */
export function svg<K extends keyof SVGElementTagNameMap>(tag: K, attributes: Readonly<Record<string, string>>, ...children: Node[]): SVGElementTagNameMap[K] {
  const made = withAttributes(document.createElementNS(SVG, tag), attributes);
  made.append(...children);
  return made;
}

/** Offers text as a file. */
export function saveFile(name: string, type: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = withAttributes(make('a'), { href: address, download: name });
  link.click();
  // The download has taken hold of the bytes by then.
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
