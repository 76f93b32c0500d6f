// Packages that few commands need: files of their own beside the extension's bundle, read when the first
// of their functions is called. `new` and plain calls go through; nothing else of a package is handed on.
import { build } from "esbuild";

/** An esbuild plugin. @param names packages whose exports are functions and classes only */
export function lazyPackages(names) {
  const filter = new RegExp(`^(${names.join("|")})$`);
  return {
    name: "lazy-packages",
    setup({ onResolve, onLoad }) {
      onResolve({ filter }, ({ path }) => ({ path, namespace: "lazy" }));
      onResolve({ filter: /^\.\/packages\//, namespace: "lazy" }, ({ path }) => ({
        path,
        external: true,
      }));
      onLoad({ filter: /.*/, namespace: "lazy" }, async ({ path }) => ({
        contents: standIn(path, Object.keys(await import(path))),
      }));
    },
  };
}

/** Bundles those packages, each into `folder`. */
export function buildPackages(names, { folder, ...options }) {
  const entryPoints = Object.fromEntries(names.map((name) => [fileOf(name), name]));
  return build({
    ...options,
    entryPoints,
    outdir: folder,
    outExtension: { ".js": ".cjs" },
    sourcemap: false,
  });
}

function fileOf(name) {
  return name.replace(/\W+/g, "-").replace(/^-/, "");
}

function standIn(path, names) {
  const own = names.filter((name) => name !== "default" && name !== "module.exports");
  return [
    `let real;`,
    `const load = () => (real ??= require("./packages/${fileOf(path)}.cjs"));`,
    `const later = (name) => function (...args) {`,
    `  const made = load()[name];`,
    `  return new.target ? new made(...args) : made(...args);`,
    `};`,
    ...own.map((name) => `export const ${name} = later(${JSON.stringify(name)});`),
    // A CommonJS package is its own default.
    `export default new Proxy({}, { get: (_, name) => (load().default ?? load())[name] });`,
  ].join("\n");
}
