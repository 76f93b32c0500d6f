import { t } from "@vscode/l10n";
import { type Document, parseDocument } from "yaml";
import { badFile } from "../base/errors.ts";
import { isFile } from "../base/files.ts";
import { isObject, readText } from "../base/json.ts";
import { type AdapterConfig, methodLabels } from "../checkpoint/adapterConfig.ts";

export interface CardFacts {
  /** What the adapter is called in a card that is new. */
  readonly name: string;
  /** Of the adapters that the folder holds. */
  readonly configs: readonly Pick<AdapterConfig, "baseName" | "peftType" | "taskType">[];
  /** Version of PEFT whose format they follow. */
  readonly peftVersion: string;
}

/** The block between two lines of dashes at the start, as the Hub looks for it. */
const frontMatter = /^\s*---\r?\n(?:([\s\S]*?)\r?\n)??---[ \t]*(?:\r?\n|$)/;

/**
 * The README.md of an adapter with PEFT's front matter (PEFT: create_or_update_model_card). An
 * existing one keeps its text, and of its front matter all that PEFT does not set, other tags too.
 */
export async function modelCard(existing: string, facts: CardFacts): Promise<string> {
  const text = (await isFile(existing)) ? await readText(existing) : newCard(facts);
  const lineBreak = /\r\n/.test(text) ? "\r\n" : "\n";
  const match = frontMatter.exec(text);
  const front = parseDocument(match?.[1] ?? "");
  const known: unknown = front.toJS();
  if (front.errors.length > 0 || !(known === null || isObject(known))) {
    throw badFile(
      existing,
      t("begins with front matter that is no YAML mapping"),
      t("Mend or remove it."),
    );
  }
  describe(front, facts);
  const yaml = front.toString({ lineWidth: 0, indentSeq: false });
  const lines = (match ? text.slice(match[0].length) : text).split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  const body = withVersion(lines, facts.peftVersion);
  return [`---\n${yaml}---`.split("\n"), body].flat().join(lineBreak);
}

/** Sets what PEFT sets, in its order where a field is new. */
function describe(front: Document, { configs }: CardFacts): void {
  const base = configs.find(({ baseName }) => baseName !== null)?.baseName ?? null;
  if (base !== null) front.set("base_model", base);
  front.set("library_name", "peft");
  const isCausal = configs.some(({ taskType }) => taskType === "CAUSAL_LM");
  if (isCausal && !front.get("pipeline_tag")) front.set("pipeline_tag", "text-generation");
  const old = (front.toJS() as { tags?: unknown }).tags ?? [];
  const tags = new Set((Array.isArray(old) ? old : [old]).map(String));
  if (base !== null) {
    for (const tag of tags) if (tag.startsWith("base_model:adapter:")) tags.delete(tag);
    tags.add(`base_model:adapter:${base}`);
  }
  if (configs.some(({ peftType }) => peftType === "LORA")) tags.add("lora");
  tags.add("transformers");
  front.set("tags", [...tags].sort());
}

const heading = "### Framework versions";

/** Names PEFT's version under its heading, first of all. */
function withVersion(lines: readonly string[], version: string): string[] {
  const line = `- PEFT ${version}`;
  const at = lines.indexOf(heading);
  if (lines.includes(line)) return [...lines];
  if (at === -1) return [...lines, heading, "", line];
  return [...lines.slice(0, at + 2), line, ...lines.slice(at + 2)];
}

function newCard({ name, configs }: CardFacts): string {
  const methods = configs.map(({ peftType }) => methodLabels[peftType] ?? peftType);
  const base = configs.find(({ baseName }) => baseName !== null)?.baseName ?? null;
  const whose = base === null ? "" : ` for ${base}`;
  return `\n# ${name}\n\nPEFT adapter${whose}: ${[...new Set(methods)].join(", ")}.\n\n`;
}
