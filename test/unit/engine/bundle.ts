import * as path from "node:path";
import { build } from "esbuild";
import { root, temporaryFolder } from "../core/support.ts";

/** Where a bundle outside the checkout finds the packages that are not in it. */
export const bundleEnvironment = { ...process.env, NODE_PATH: path.join(root, "node_modules") };

/** Bundles an entry as scripts/build.mjs does, because plain Node starts faster than from source. */
export async function bundle(
  entry: string,
  t: Parameters<typeof temporaryFolder>[0],
): Promise<string> {
  const outfile = path.join(await temporaryFolder(t), `${path.basename(entry, ".ts")}.cjs`);
  await build({
    entryPoints: [path.join(root, entry)],
    outfile,
    bundle: true,
    platform: "node",
    format: "cjs",
    target: "node20",
    mainFields: ["module", "main"],
    external: ["onnxruntime-node"],
    logLevel: "warning",
  });
  return outfile;
}
