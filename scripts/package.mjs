// Packs dist/graft-<target>.vsix: `node scripts/package.mjs [--target linux-x64 | --all]`. Offline.
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ensureBuilt, ensurePackages, filesUnder, hashOf, makeFolder } from "./shared.mjs";
import { parseArguments, platformTarget, readJson, root, run } from "./shared.mjs";
import { runMain, say, step, Stop } from "./shared.mjs";

/** The platforms that onnxruntime-node has binaries for. */
const targets = ["linux-x64", "linux-arm64", "darwin-arm64", "win32-x64", "win32-arm64"];

const texts = ["README.md", "LICENSE", "CHANGELOG.md", ".vscodeignore"];

/** The manifest's texts: English, then each other language. */
const manifestTexts = readdirSync(root).filter((file) => /^package\.nls(\..+)?\.json$/.test(file));

/** The VSIX for a target, made anew only when something in it changed. */
export async function ensurePackaged(target = platformTarget) {
  if (!targets.includes(target)) {
    throw new Stop(`No Graft for ${target}: ONNX Runtime comes for ${targets.join(", ")}.`);
  }
  await ensurePackages();
  const built = await ensureBuilt({ production: true });
  const vsix = join(root, "dist", `graft-${target}.vsix`);
  const stampPath = join(root, "dist", `.graft-${target}.json`);
  const hash = `${built} ${hashOf(["media", "package.json", "scripts/package.mjs", ...texts, ...manifestTexts])}`;
  if (existsSync(vsix) && readJson(stampPath)?.hash === hash) return vsix;
  await step(`Packing the extension for ${target}`, () => pack(target, vsix));
  writeFileSync(stampPath, JSON.stringify({ hash }));
  return vsix;
}

/**
 * vsce runs on a copy that holds only what may be packed: it asks npm for the whole dependency tree and
 * lists every file below its folder, and both would take in the development tools and the cache.
 * .vscodeignore decides file by file what of the copy goes in.
 */
async function pack(target, vsix) {
  const [platform, arch] = target.split("-");
  const stage = join(root, "dist", `.stage-${target}`);
  rmSync(stage, { recursive: true, force: true });
  try {
    const copy = (path) => {
      if (!existsSync(join(root, path))) return;
      makeFolder(dirname(join(stage, path)));
      cpSync(join(root, path), join(stage, path), { recursive: true });
    };
    [...texts, ...manifestTexts].forEach(copy);
    copy("media");
    // English is in the sources; its bundle is for translators.
    rmSync(join(stage, "media/l10n/bundle.l10n.json"), { force: true });
    for (const file of ["extension.cjs", "engine.cjs", "packages", "webview"]) copy(`dist/${file}`);
    for (const map of filesUnder(join(stage, "dist")).filter((f) => f.endsWith(".map")))
      rmSync(map);
    const onnx = "node_modules/onnxruntime-node";
    const common = "node_modules/onnxruntime-common";
    copy(`${onnx}/dist`);
    copy(`${onnx}/bin/napi-v6/${platform}/${arch}`);
    copy(`${common}/dist/cjs`);
    stageManifest(stage, ".", (manifest) => ({
      ...manifest,
      scripts: undefined,
      allowScripts: undefined,
      devDependencies: undefined,
      // Everything else is in the bundles.
      dependencies: { "onnxruntime-node": manifest.dependencies["onnxruntime-node"] },
    }));
    // Its other dependencies serve its install script alone.
    stageManifest(stage, onnx, (manifest) => ({
      ...manifest,
      scripts: undefined,
      dependencies: { "onnxruntime-common": manifest.dependencies["onnxruntime-common"] },
    }));
    stageManifest(stage, common, (manifest) => manifest);
    const vsce = join(root, "node_modules/@vscode/vsce/vsce");
    const flags = ["--no-rewrite-relative-links", "--allow-missing-repository"];
    await run(process.execPath, [vsce, "package", "--target", target, "--out", vsix, ...flags], {
      cwd: stage,
    });
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

function stageManifest(stage, folder, change) {
  const manifest = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"));
  const path = join(stage, folder, "package.json");
  writeFileSync(path, `${JSON.stringify(change(manifest), null, 2)}\n`);
}

if (resolve(process.argv[1] ?? "") === fileURLToPath(import.meta.url)) {
  await runMain(async (args) => {
    const { options } = parseArguments(args, ["target"]);
    const wanted = options.all ? targets : [options.target ?? platformTarget];
    for (const target of wanted) {
      const vsix = await ensurePackaged(target);
      say(`${vsix} (${(statSync(vsix).size / 1e6).toFixed(1)} MB)`);
    }
  });
}
