/** Which files of a model's folder hold its weights, and why there are none where there are none. */
import { t } from "@vscode/l10n";
import { readdir } from "node:fs/promises";
import * as path from "node:path";
import { z } from "zod";
import { badFile, notFound, unsupported } from "../base/errors.ts";
import { isFile } from "../base/files.ts";
import { parseFields, readJsonObject } from "../base/json.ts";

/** Where a folder's weights lie; names as the folder has them. */
export interface WeightFiles {
  readonly format: "safetensors" | "torch";
  readonly names: readonly string[];
  /** The index that lists the shards; null for a single file. */
  readonly index: { readonly file: string; readonly shards: ReadonlyMap<string, string> } | null;
}

/** In the order of preference: as in transformers, safetensors win over .bin. */
const layouts = [
  { format: "safetensors", single: "model.safetensors" },
  { format: "torch", single: "pytorch_model.bin" },
] as const;

/**
 * Finds the weights of a folder, a single file before shards.
 * @throws not-found or unsupported, saying what lies there instead; bad-file for an index that leaves
 * the folder
 */
export async function findWeightFiles(dir: string): Promise<WeightFiles> {
  for (const { format, single } of layouts) {
    if (await isFile(path.join(dir, single))) return { format, names: [single], index: null };
    const file = path.join(dir, `${single}.index.json`);
    if (!(await isFile(file))) continue;
    const shards = await readShards(file);
    const names = [...new Set(shards.values())].sort();
    for (const name of names) {
      if (await isFile(path.join(dir, name))) continue;
      throw missing("Shard", path.join(dir, name), await readdir(dir));
    }
    return { format, names, index: { file, shards } };
  }
  throw await noWeights(dir);
}

/** Whether a folder has weights that `findWeightFiles` would find, without opening any. */
export async function hasWeightFiles(dir: string): Promise<boolean> {
  const names = layouts.flatMap(({ single }) => [single, `${single}.index.json`]);
  return (await Promise.all(names.map((name) => isFile(path.join(dir, name))))).includes(true);
}

const shardIndex = z.looseObject({ weight_map: z.record(z.string(), z.string()) });

/** The shard of every tensor that an index lists. */
export async function readShards(index: string): Promise<Map<string, string>> {
  const { weight_map } = parseFields(shardIndex, await readJsonObject(index), index);
  const shards = new Map(Object.entries(weight_map));
  if (shards.size === 0) throw badFile(index, t('field "weight_map" lists no tensor'));
  for (const name of shards.values()) {
    if (/[\\/:]/.test(name) || name === ".." || name === "." || name === "") {
      throw badFile(index, t('field "weight_map" names "{0}", which is outside the folder', name));
    }
  }
  return shards;
}

/** Weights of other programs, and what to do about them. */
const foreign: readonly [pattern: RegExp, what: string, remedy: string][] = [
  [/^tf_model.*\.h5$/, t("weights of TensorFlow alone"), t("Convert them in Python: from_pretrained(…, from_tf=True).save_pretrained(…).")], // prettier-ignore
  [/^flax_model.*\.msgpack$/, t("weights of Flax alone"), t("Convert them in Python: from_pretrained(…, from_flax=True).save_pretrained(…).")], // prettier-ignore
  [/\.gguf$/, t("weights for llama.cpp (GGUF)"), t("Get the model's repository with safetensors.")],
  [/^consolidated.*\.(pth|safetensors)$/, t("weights in the layout of their maker's own code (consolidated)"), t("Get the version of this model for transformers.")], // prettier-ignore
  [/^(model|pytorch_model)\.[\w-]+\.(safetensors|bin)$/, t("weights of a variant"), t("Rename them to model.safetensors or pytorch_model.bin, or get the repository's main files.")], // prettier-ignore
];

async function noWeights(dir: string): Promise<Error> {
  const names = await readdir(dir);
  for (const [pattern, what, remedy] of foreign) {
    const name = names.find((each) => pattern.test(each));
    if (name !== undefined) return unsupported(t("{0}: holds {1}: {2}", dir, what, name), remedy);
  }
  return missing("Weights", path.join(dir, "model.safetensors"), names);
}

/** Endings that programs give to files that are still being downloaded. */
const unfinished = /\.(incomplete|part|partial|crdownload|download|aria2|tmp)$/;

/** A weight file that is not there: a half download, a dead link of the cache, or nothing. */
function missing(what: string, file: string, names: readonly string[]): Error {
  const own = path.basename(file);
  const half = names.find((name) => unfinished.test(name));
  if (half !== undefined) {
    return notFound(
      what,
      file,
      t("Its download has not ended: {0} lies there. Download it again.", half),
    );
  }
  if (names.includes(own)) {
    return notFound(what, file, t("The link to it leads nowhere: its download has not ended. Download it again.")); // prettier-ignore
  }
  if (what === "Shard") return notFound(what, file, t("The index lists it. Download it again."));
  return notFound(
    what,
    file,
    t("Graft reads model.safetensors, pytorch_model.bin or the shards that their index lists."),
  );
}
