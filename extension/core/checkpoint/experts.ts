/**
 * The adapters that an adapter is made of, by the config field `adapters` (name → path or Hub id, as
 * X-LoRA's experts), and the folders of this machine that may hold them.
 */
import * as path from "node:path";
import { parseTree } from "jsonc-parser";
import { findCachedRepo } from "../hub/cache.ts";
import { isObject } from "../base/json.ts";
import type { AdapterConfig } from "./adapterConfig.ts";
import { localCandidates } from "./findBase.ts";

export interface ExpertSource {
  /** Key in the config. */
  readonly name: string;
  /** The config's path or Hub id: mostly one of the machine that trained it. */
  readonly source: string;
  /** What PEFT calls it, and its folder beside the adapter: its name where that is a number. */
  readonly number: string;
}

/**
 * Experts in the order in which their classifier counts them. PEFT calls the i-th entry of the file
 * "i" and then asks for them by the entries' names, so names that are numbers choose by place.
 */
export function expertSources({ raw, text }: Pick<AdapterConfig, "raw" | "text">): ExpertSource[] {
  if (!isObject(raw["adapters"])) return [];
  // The parsed object would have numbers first: only the text keeps the order.
  const fields = parseTree(text)?.children ?? [];
  const adapters = fields.find(({ children }) => children?.[0]?.value === "adapters")
    ?.children?.[1];
  const entries = (adapters?.children ?? []).map(({ children }, i) => ({
    name: String(children?.[0]?.value),
    source: String(children?.[1]?.value),
    number: String(i),
  }));
  const numbers = new Set(entries.map((_, i) => String(i)));
  if (!entries.every(({ name }) => numbers.has(name))) return entries;
  return entries.map(({ name }) => ({
    name,
    source: (entries[Number(name)] as ExpertSource).source,
    number: name,
  }));
}

/**
 * Folders where an expert may be, the likeliest first: the path itself, absolute or from the adapter
 * or a folder above it; the end of the path inside the adapter's folder; a folder of its name there,
 * as PEFT saves them; the Hub's cache.
 */
export async function expertFolders(
  dir: string,
  { name, source, number }: ExpertSource,
): Promise<string[]> {
  const parts = source
    .split(/[\\/]/)
    .filter((part) => part !== "" && part !== "." && part !== "..");
  const ends = parts.map((_, i) => path.join(dir, ...parts.slice(i)));
  const isHubId = /^[\w.-]+\/[\w.-]+$/.test(source);
  const cached = isHubId ? await findCachedRepo(source, {}) : null;
  const all = [
    ...localCandidates(dir, source),
    ...ends.slice(0, -1),
    // Before the path's last part alone, which may be the number of another expert.
    path.join(dir, expertFolderName(name)),
    path.join(dir, number),
    ...ends.slice(-1),
    ...(cached ? [cached] : []),
  ];
  const own = path.resolve(dir);
  return [...new Set(all.map((folder) => path.resolve(folder)))].filter((each) => each !== own);
}

/** The folder of an expert inside the adapter's: its name, where that is one. */
export function expertFolderName(name: string): string {
  return name.replace(/[\\/]/g, "_").replace(/^\.*$/, "_");
}
