/** Which of a repository's files a base or an adapter is made of: what loading reads, nothing twice. */
import { t } from "@vscode/l10n";
import { badFile, notFound } from "../base/errors.ts";
import { isObject, parseJsonObject } from "../base/json.ts";
import type { RemoteRepo, RepoFile } from "./repo.ts";

/** What of a repository is wanted. */
export interface FileWish {
  /** "model" tells by the files; a folder with weights of its own is a base, as everywhere. */
  readonly kind?: "model" | "base" | "adapter" | undefined;
  readonly subfolder?: string | undefined;
  /** Names with `*` and `?` in place of the usual choice; `*` crosses folders, as in huggingface_hub. */
  readonly patterns?: readonly string[] | undefined;
  /** An ONNX export in place of the checkpoint: true for the plain one, or its variant ("quantized"). */
  readonly onnx?: boolean | string | undefined;
}

export interface FileChoice {
  readonly kind: "base" | "adapter" | "files";
  readonly files: readonly RepoFile[];
  /** Files that loading would take and that are not there, as paths. */
  readonly absent: readonly string[];
}

/** Reads a small text file of the repository. */
export type ReadText = (file: RepoFile) => Promise<string>;

const tokenizerNames = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.jinja",
  "chat_template.json",
];
const vocabularies = ["vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model"];
const baseNames = ["config.json", "generation_config.json", ...tokenizerNames];
const otherBaseNames = [
  ...vocabularies,
  "preprocessor_config.json",
  "processor_config.json",
  "quantize_config.json",
  "quant_config.json",
];
const adapterWeights = ["adapter_model.safetensors", "adapter_model.bin"];

/**
 * Chooses the files of a model. Of weights one format is taken: safetensors, else .bin, else ONNX.
 * @throws not-found when the repository holds no model of that kind, or lacks a shard
 */
export async function chooseFiles(
  repo: RemoteRepo,
  wish: FileWish,
  readText: ReadText,
): Promise<FileChoice> {
  const inside = new Folder(repo, wish.subfolder);
  if (wish.patterns) {
    const chosen = repo.files.filter(({ path }) =>
      wish.patterns?.some((each) => matches(path, each)),
    );
    if (chosen.length === 0) {
      throw notFound(
        t("File"),
        t("{0} in {1} at {2}", wish.patterns.join(", "), repo.id, repo.revision),
      );
    }
    return { kind: "files", files: chosen, absent: [] };
  }
  const kind = wish.kind === "base" || wish.kind === "adapter" ? wish.kind : kindOf(inside);
  return kind === "adapter" ? adapterFiles(inside, readText) : baseFiles(inside, wish, readText);
}

/** A folder of a repository: its files by their names in it. */
class Folder {
  readonly prefix: string;

  constructor(
    readonly repo: RemoteRepo,
    subfolder = "",
  ) {
    const trimmed = subfolder.replace(/\\/g, "/").replace(/^(\.?\/)+|\/+$/g, "");
    this.prefix = trimmed === "" || trimmed === "." ? "" : `${trimmed}/`;
  }

  get label(): string {
    const { id, revision } = this.repo;
    return t(
      "{0} at {1}{2}",
      id,
      revision,
      this.prefix && t(", folder {0}", this.prefix.slice(0, -1)),
    );
  }

  find(name: string): RepoFile | undefined {
    return this.repo.files.find(({ path }) => path === this.prefix + name);
  }

  has(name: string): boolean {
    return this.find(name) !== undefined;
  }

  /** Those of the names that are there. */
  take(names: readonly string[]): RepoFile[] {
    return names.flatMap((name) => this.find(name) ?? []);
  }

  absent(names: readonly string[]): string[] {
    return names.filter((name) => !this.has(name)).map((name) => this.prefix + name);
  }

  /** Files in it or below it whose name in it matches. */
  where(pattern: RegExp): RepoFile[] {
    const { prefix } = this;
    return this.repo.files.filter(
      ({ path }) => path.startsWith(prefix) && pattern.test(path.slice(prefix.length)),
    );
  }
}

const wholeWeights = ["model.safetensors", "model.safetensors.index.json"];

function kindOf(inside: Folder): "base" | "adapter" {
  const isBase = inside.has("config.json") && wholeWeights.some((name) => inside.has(name));
  return inside.has("adapter_config.json") && !isBase ? "adapter" : "base";
}

async function adapterFiles(inside: Folder, readText: ReadText): Promise<FileChoice> {
  const config = inside.find("adapter_config.json");
  if (!config) {
    const inner = inside
      .where(/^[^/]+\/adapter_config\.json$/)
      .map(({ path }) => path.split("/").at(-2));
    const others = inner.slice(0, 8).join(", ");
    throw notFound(
      "adapter_config.json",
      inside.label,
      inner.length > 0
        ? t("Choose one of its subfolders: {0}.", others)
        : t("It holds no adapter."),
    );
  }
  const [weights] = inside.take(adapterWeights);
  if (!weights) {
    throw notFound(
      t("Adapter weights"),
      inside.label,
      t("It holds neither {0}.", adapterWeights.join(t(" nor "))),
    );
  }
  const own = [...tokenizerNames, ...vocabularies];
  const root = new Folder(inside.repo);
  const files = [
    config,
    weights,
    ...inside.take(["README.md", ...own]),
    ...(inside.prefix === "" ? [] : root.take(own)),
    ...(await expertFiles(inside, await readText(config))),
  ];
  const absent = inside.absent([adapterWeights[0] as string, ...tokenizerNames]);
  return { kind: "adapter", files: [...new Set(files)], absent };
}

/** Adapters in folders below, of an adapter that is made of others. */
async function expertFiles(inside: Folder, config: string): Promise<RepoFile[]> {
  const { adapters } = parseJsonObject(config, `${inside.label}: adapter_config.json`, {
    isPython: true,
  });
  if (!isObject(adapters)) return [];
  const folders = inside
    .where(/\/adapter_config\.json$/)
    .map(({ path }) => new Folder(inside.repo, path.slice(0, path.lastIndexOf("/"))));
  return folders.flatMap((folder) => [
    ...folder.take(["adapter_config.json"]),
    ...folder.take(adapterWeights).slice(0, 1),
  ]);
}

async function baseFiles(inside: Folder, wish: FileWish, readText: ReadText): Promise<FileChoice> {
  if (!inside.has("config.json") && !inside.has("genai_config.json")) {
    throw notFound(
      t("Model"),
      inside.label,
      t("It holds neither config.json nor adapter_config.json."),
    );
  }
  const weights = wish.onnx ? onnxFiles(inside, wish.onnx) : await weightFiles(inside, readText);
  if (weights.length === 0) {
    const what = wish.onnx ? t("ONNX export") : "Weights";
    const remedy = t("Graft reads safetensors, pytorch_model.bin and ONNX exports.");
    throw notFound(what, inside.label, remedy);
  }
  const files = [
    ...inside.take([...baseNames, ...otherBaseNames]),
    ...inside.where(/^additional_chat_templates\/[^/]+\.jinja$/),
    ...weights,
  ];
  const absent = inside.absent([...baseNames, wholeWeights[0] as string]);
  return { kind: "base", files: [...new Set(files)], absent };
}

async function weightFiles(inside: Folder, readText: ReadText): Promise<RepoFile[]> {
  for (const stem of ["model.safetensors", "pytorch_model.bin"]) {
    const single = inside.find(stem);
    if (single) return [single];
    const index = inside.find(`${stem}.index.json`);
    if (index) return [index, ...(await shardsOf(index, inside, readText))];
  }
  return onnxFiles(inside, true);
}

/**
 * The shards that an index lists, by their names beside it.
 * @throws bad-file for a name that is none, not-found for a shard that is not there
 */
async function shardsOf(index: RepoFile, inside: Folder, readText: ReadText): Promise<RepoFile[]> {
  const where = `${inside.repo.id}: ${index.path}`;
  const { weight_map: map } = parseJsonObject(await readText(index), where);
  if (!isObject(map)) throw badFile(where, t('field "weight_map" is not an object'));
  return [...new Set(Object.values(map))].sort().map((name) => {
    if (typeof name !== "string" || name === "" || /[\\/]/.test(name) || /^\.{1,2}$/.test(name)) {
      throw badFile(
        where,
        t('field "weight_map" names {0}, which is outside the folder', JSON.stringify(name)),
      );
    }
    const shard = inside.find(name);
    if (!shard)
      throw notFound(
        t("Shard"),
        t("{0}{1} in {2}", inside.prefix, name, inside.repo.id),
        t("{0} lists it.", index.path),
      );
    return shard;
  });
}

/** An export as optimum lays it out (in onnx/, one variant), or as GenAI's builder does. */
function onnxFiles(inside: Folder, wish: boolean | string): RepoFile[] {
  const suffix = typeof wish === "string" && wish !== "" ? `_${wish}` : "";
  const sets = [
    ["model"],
    ["encoder_model", "decoder_model_merged"],
    ["encoder_model", "decoder_model", "decoder_with_past_model"],
  ];
  for (const place of ["onnx/", ""]) {
    for (const stems of [
      ...sets,
      ["decoder_model_merged"],
      ["decoder_model", "decoder_with_past_model"],
    ]) {
      const names = stems.map((stem) => `${place}${stem}${suffix}.onnx`);
      if (!names.every((name) => inside.has(name))) continue;
      const data = names.flatMap((name) =>
        inside.where(new RegExp(`^${escaped(name)}[._]data(_\\d+)?$`)),
      );
      return [...inside.take([...names, "genai_config.json"]), ...data];
    }
  }
  return [];
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/** Python's fnmatch with `*`, `?` and a folder's name with "/" at its end for all that is in it. */
function matches(path: string, pattern: string): boolean {
  const whole = pattern.endsWith("/") ? `${pattern}*` : pattern;
  const source = whole
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replace(/\*/g, ".*")
    .replace(/\?/g, ".");
  return new RegExp(`^${source}$`, "s").test(path);
}
