// Makes plain modules of tests and of what these import, once for all of a suite: left to itself, the
// process of each test would find, read and transform hundreds of files. Stacks lead to the sources by
// maps, and `import.meta` names the source.
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { root } from "./shared.mjs";

/** What the product bundles is bundled here as well; tools stay packages, and so does what is native. */
const { devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const external = [...Object.keys(devDependencies), "onnxruntime-node"];

/** Packages in CommonJS ask for Node's own modules by `require`, which a module has not. */
const banner =
  'import { createRequire as makeRequire } from "node:module"; const require = makeRequire(import.meta.url);';

const placesOfSources = {
  name: "places-of-sources",
  setup({ onLoad }) {
    onLoad({ filter: /\.(ts|mjs)$/ }, async ({ path }) => {
      const source = await readFile(path, "utf8");
      const contents = source
        .replaceAll("import.meta.url", JSON.stringify(pathToFileURL(path).href))
        .replaceAll("import.meta.dirname", JSON.stringify(dirname(path)));
      return { contents, loader: path.endsWith(".ts") ? "ts" : "js" };
    });
  },
};

/**
 * @param folder inside of the checkout, where packages are found from
 * @returns the module of each test: names in the order given, which is how node:test sorts them
 */
export async function compileTests(files, folder) {
  const names = files.map((path, i) => `${String(i).padStart(3, "0")}-${basename(path, ".ts")}`);
  await build({
    entryPoints: files.map((path, i) => ({ in: path, out: names[i] })),
    absWorkingDir: root,
    outdir: folder,
    bundle: true,
    splitting: true,
    chunkNames: "chunks/[hash]",
    format: "esm",
    platform: "node",
    target: "node20",
    mainFields: ["module", "main"],
    sourcemap: "linked",
    sourcesContent: false,
    external,
    banner: { js: banner },
    plugins: [placesOfSources],
    logLevel: "warning",
  });
  return names.map((name) => join(folder, `${name}.js`));
}
