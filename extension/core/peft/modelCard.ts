import { parseDocument } from "yaml";
import { isFile } from "../base/files.ts";
import { readText } from "../base/json.ts";

export interface CardFacts {
  /** Hub id or name of the base, as `base_model_name_or_path` has it; null when unknown. */
  readonly baseName: string | null;
  readonly peftType: string;
  readonly taskType: string | null;
  /** Version of PEFT whose format the adapter follows. */
  readonly peftVersion: string;
}

/** The README.md of an adapter with PEFT's front matter; an existing one keeps everything else. */
export async function modelCard(existing: string, facts: CardFacts): Promise<string> {
  const text = (await isFile(existing)) ? await readText(existing) : "";
  const match = /^---\r?\n([\s\S]*?)\r?\n---\r?\n?/.exec(text);
  const front = parseDocument(match?.[1] ?? "");
  if (facts.baseName !== null) front.set("base_model", facts.baseName);
  front.set("library_name", "peft");
  if (facts.taskType === "CAUSAL_LM" && !front.has("pipeline_tag")) {
    front.set("pipeline_tag", "text-generation");
  }
  const known: unknown = front.toJS();
  const old = known !== null && typeof known === "object" && "tags" in known ? known.tags : [];
  front.set("tags", mergeTags(Array.isArray(old) ? old.map(String) : [], facts));
  const body = match ? text.slice(match[0].length) : text;
  return `---\n${front.toString()}---\n${withVersion(body, facts.peftVersion)}`;
}

function mergeTags(old: readonly string[], { baseName, peftType }: CardFacts): string[] {
  const own = baseName === null ? [] : [`base_model:adapter:${baseName}`];
  const method = peftType === "LORA" ? ["lora"] : [];
  return [...new Set([...old, ...own, ...method, "transformers"])].sort();
}

const heading = "### Framework versions";

function withVersion(body: string, version: string): string {
  const line = `- PEFT ${version}`;
  if (body.split(/\r?\n/).includes(line)) return body;
  if (body.includes(heading)) return body.replace(heading, `${heading}\n\n${line}`);
  const start = body.trim() === "" ? "" : `${body.trimEnd()}\n\n`;
  return `${start}${heading}\n\n${line}\n`;
}
