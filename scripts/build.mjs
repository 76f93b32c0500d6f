// Bundles the extension host, the engine process, the terminal door and the webviews into dist/.
import { rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";
import { collectTexts } from "./l10n.mjs";
import { buildPackages, lazyPackages } from "./lazyPackages.mjs";

const production = process.argv.includes("--production");
const shared = {
  bundle: true,
  minify: production,
  sourcemap: production ? false : "linked",
  logLevel: "warning",
  define: { "process.env.NODE_ENV": JSON.stringify(production ? "production" : "development") },
};
// "module" first: the UMD files of some packages require their parts in a way that no bundler sees.
const node = {
  ...shared,
  platform: "node",
  format: "cjs",
  target: "node20",
  mainFields: ["module", "main"],
};
// Modules, so that what pages share (widgets, charts) is one file.
const web = {
  ...shared,
  platform: "browser",
  format: "esm",
  splitting: true,
  chunkNames: "shared/[name]-[hash]",
  target: "es2022",
};

/**
 * Each of the hundred files that import "vscode" would copy all of its members (some 200) as the bundle is
 * read, for half of the time that it takes. Of an object that inherits them there is nothing to copy.
 */
const vscodeInherited = {
  name: "vscode-inherited",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^vscode$/ }, ({ namespace }) =>
      namespace === "vscode"
        ? { path: "vscode", external: true }
        : { path: "vscode", namespace: "vscode" },
    );
    onLoad({ filter: /.*/, namespace: "vscode" }, () => ({
      contents: `module.exports = Object.create(require("vscode"));`,
    }));
  },
};

/** What the extension host needs late or never. */
const lazy = ["yaml", "papaparse", "@cfworker/json-schema"];

/**
 * Writes beside each page the list of what it can say: the host puts these texts of another language into
 * the page, which are a tenth of the bundle.
 */
function writePageTexts({ outputs }) {
  const sourcesOf = (output, seen = new Set()) => {
    if (seen.has(output)) return [];
    seen.add(output);
    const { inputs, imports } = outputs[output];
    const own = Object.keys(inputs).filter((file) => /^(extension|webview)\/.*\.ts$/.test(file));
    return own.concat(...imports.map(({ path }) => sourcesOf(path, seen)));
  };
  for (const [output, { entryPoint }] of Object.entries(outputs)) {
    if (!entryPoint?.endsWith(".ts")) continue;
    const { texts } = collectTexts(sourcesOf(output));
    writeFileSync(output.replace(/\.js$/, ".texts.json"), JSON.stringify([...texts.keys()]));
  }
}

// The names of shared files change with their content.
rmSync("dist/webview", { recursive: true, force: true });
const [pages] = await Promise.all([
  build({
    ...web,
    metafile: true,
    entryPoints: {
      compare: "webview/compare/main.ts",
      inspector: "webview/inspector/main.ts",
      playground: "webview/playground/main.ts",
      run: "webview/run/main.ts",
      status: "webview/status/main.ts",
      tensors: "webview/tensors/main.ts",
      train: "webview/train/main.ts",
    },
    outdir: "dist/webview",
  }),
  build({
    ...node,
    entryPoints: ["extension/extension.ts"],
    outfile: "dist/extension.cjs",
    plugins: [vscodeInherited, lazyPackages(lazy)],
  }),
  buildPackages(lazy, { ...node, folder: "dist/packages" }),
  // "vscode" is not external here: a value import of it from the core or the engine fails the build.
  build({
    ...node,
    entryPoints: { engine: "extension/engine/main.ts", cli: "extension/cli/main.ts" },
    outdir: "dist",
    outExtension: { ".js": ".cjs" },
    external: ["onnxruntime-node"],
  }),
]);
writePageTexts(pages.metafile);
