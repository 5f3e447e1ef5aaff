// The two JSON files that are part of the package: the catalogue shared with the engine, and the package's own manifest.

declare module '*/catalogue.json' {
  const catalogue: { readonly models: readonly import('./catalogue.js').CatalogueEntry[] };
  export default catalogue;
}

declare module '*/package.json' {
  const manifest: { readonly version: string };
  export default manifest;
}
