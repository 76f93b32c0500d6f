/** Names of the base's modules and of bases that are here, where a config can have them. */
import { t } from "@vscode/l10n";
import { getLocation } from "jsonc-parser";
import type { ConfigBase, ConfigFacts } from "../../protocol/configContract.ts";
import type { ConfigDocument, Span } from "./document.ts";
import { layerLists, namesFor } from "./patternProblems.ts";

export interface Completion {
  readonly label: string;
  /** JSON text that replaces `at`. */
  readonly insert: string;
  readonly at: Span;
  readonly kind: "module" | "pattern" | "base" | "layer";
  readonly detail: string;
  readonly documentation: string;
  /** Lower stands first. */
  readonly order: number;
}

/** A base that can be named. */
export interface KnownBase {
  /** What to write: an id, or a path. */
  readonly value: string;
  readonly name: string;
  readonly detail: string;
}

/** Fields that hold names of modules, and what they may name. */
const nameFields: Readonly<Record<string, "target" | "save" | "layers" | "parameter">> = {
  target_modules: "target",
  exclude_modules: "save",
  feedforward_modules: "target",
  modules_to_save: "save",
  layers_pattern: "layers",
  target_parameters: "parameter",
};

/** Fields whose value may be one pattern instead of a list. */
const patternFields = new Set(["target_modules", "exclude_modules"]);

export function completionsAt(
  document: ConfigDocument,
  offset: number,
  { facts, bases }: { facts: ConfigFacts | null; bases: readonly KnownBase[] },
): Completion[] {
  const { path, isAtPropertyKey, previousNode } = getLocation(document.text, offset);
  const [field, second] = path;
  if (typeof field !== "string" || path.length > 2) return [];
  const at = placeAt(document.text, offset, previousNode);
  if (field === "base_model_name_or_path" && path.length === 1 && !isAtPropertyKey) {
    return bases.map((base, order) => baseItem(base, { at, order }));
  }
  const base = facts?.base;
  if (!base) return [];
  if (field.endsWith("_pattern") && isAtPropertyKey && path.length === 2) {
    return keyItems(document, { field, at, base, current: second });
  }
  const kind = nameFields[field];
  if (kind && typeof second === "number") return nameItems(document, { field, kind, at, base });
  if (kind === "layers" && path.length === 1) return nameItems(document, { field, kind, at, base });
  if (kind && patternFields.has(field) && path.length === 1 && !isAtPropertyKey) {
    return patternItems(base, at);
  }
  if (field === "layers_to_transform" && typeof second === "number")
    return layerItems(document, base, at);
  return [];
}

/** The string or number at a place, else the place itself. */
function placeAt(
  text: string,
  offset: number,
  node: { offset: number; length: number; type: string } | undefined,
): Span {
  if (node && node.offset <= offset && offset <= node.offset + node.length) {
    return { offset: node.offset, length: node.length };
  }
  const word = /[\w.]*$/.exec(text.slice(0, offset))?.[0] ?? "";
  return { offset: offset - word.length, length: word.length };
}

function last(path: string): string {
  return path.split(".").at(-1) as string;
}

function nameItems(
  document: ConfigDocument,
  at: {
    field: string;
    kind: "target" | "save" | "layers" | "parameter";
    at: Span;
    base: ConfigBase;
  },
): Completion[] {
  const { field, kind, base } = at;
  const value = document.fields[field];
  const current = document.at(at.at.offset + 1)?.path[1];
  const taken = new Set(Array.isArray(value) ? value.filter((_, i) => i !== current) : []);
  const names = namesFor({ kind }, base).filter((name) => !taken.has(name));
  const short = names.map((name, order) => nameItem(name, { ...at, order }));
  if (kind === "layers" || kind === "parameter") return short;
  const whole = base.modules
    .filter((module) => kind === "save" || module.kind !== "norm")
    .filter(({ path }) => path.includes(".") && !taken.has(path))
    .slice(0, mostPaths)
    .map(({ path }, i) => nameItem(path, { ...at, order: 1000 + i }));
  return [...short, ...whole];
}

/** More whole paths than anybody reads: names come first, and typing narrows. */
const mostPaths = 600;

function nameItem(
  name: string,
  { at, base, order, kind }: { at: Span; base: ConfigBase; order: number; kind: string },
): Completion {
  const all = base.modules.filter(({ path }) =>
    kind === "layers" ? path.includes(`${name}.`) : path === name || path.endsWith(`.${name}`),
  );
  const [first] = all;
  const shapes = [...new Set(all.map((module) => `${module.in} → ${module.out}`))].slice(0, 3);
  const count = all.length === 1 ? t("1 module") : t("{0} modules", all.length);
  const detail =
    first && kind !== "layers" ? `${count} · ${first.kind} · ${shapes.join(", ")}` : count;
  const paths = all.slice(0, 5).map(({ path }) => `- \`${path}\``);
  return {
    label: name,
    insert: JSON.stringify(name),
    at,
    kind: "module",
    detail: all.length === 0 ? "" : detail,
    documentation: [t("On {0}:", base.name), "", ...paths].join("\n"),
    order,
  };
}

/** A list can also be one word or a pattern. */
function patternItems(base: ConfigBase, at: Span): Completion[] {
  const linear = base.modules.filter(({ kind }) => kind === "linear");
  const inLayers = linear.filter(({ path }) => /\.\d+\./.test(path));
  const names = [...new Set(inLayers.map(({ path }) => last(path)))];
  const attention = names.filter((name) =>
    /^([qkvo]_proj|query|key|value|c_attn|query_key_value|dense)$/.test(name),
  );
  const lists = layerLists(base.modules.map(({ path }) => path));
  const item = (text: string, detail: string, order: number): Completion => ({
    label: text,
    insert: JSON.stringify(text),
    at,
    kind: "pattern",
    detail,
    documentation: t("A pattern must match whole paths, as Python's re.fullmatch does."),
    order,
  });
  const group = (some: readonly string[]): string => `.*\\.(${some.join("|")})`;
  const half = Math.max(1, Math.floor(base.layers / 2));
  const first = Array.from({ length: Math.min(half, 40) }, (_, i) => i).join("|");
  return [
    item("all-linear", t("every linear layer but the head"), 0),
    ...(names.length > 0 ? [item(group(names), t("all linear layers of the blocks"), 1)] : []),
    ...(attention.length > 0 ? [item(group(attention), t("attention alone"), 2)] : []),
    ...(lists[0] !== undefined && names.length > 0
      ? [
          item(
            `.*\\.${lists[0]}\\.(${first})\\..*\\.(${names.join("|")})`,
            t("the first {0} layers", half),
            3,
          ),
        ]
      : []),
  ];
}

/** Keys with the value that holds without them, to be changed. */
function keyItems(
  document: ConfigDocument,
  at: { field: string; at: Span; base: ConfigBase; current: string | number | undefined },
): Completion[] {
  const { field, base } = at;
  const value = document.fields[field];
  const taken = new Set(Object.keys((value ?? {}) as object).filter((key) => key !== at.current));
  const targets = document.fields["target_modules"];
  const named = Array.isArray(targets) ? targets.filter((each) => typeof each === "string") : [];
  const names = named.length > 0 ? named : namesFor({ kind: "target" }, base);
  const number = field === "rank_pattern" ? document.fields["r"] : document.fields["lora_alpha"];
  const isThere = document.text
    .slice(at.at.offset + at.at.length)
    .trimStart()
    .startsWith(":");
  return names
    .filter((name) => !taken.has(name))
    .map((name, order) => {
      const item = nameItem(name, { at: at.at, base, order, kind: "target" });
      return isThere ? item : { ...item, insert: `${item.insert}: ${JSON.stringify(number ?? 8)}` };
    });
}

function layerItems(document: ConfigDocument, base: ConfigBase, at: Span): Completion[] {
  const value = document.fields["layers_to_transform"];
  const current = document.at(at.offset)?.path[1];
  const taken = new Set(Array.isArray(value) ? value.filter((_, i) => i !== current) : []);
  return Array.from({ length: base.layers }, (_, i) => i)
    .filter((layer) => !taken.has(layer))
    .map((layer) => ({
      label: String(layer),
      insert: String(layer),
      at,
      kind: "layer",
      detail: t("layer {0} of {1}", layer, base.layers),
      documentation: "",
      order: layer,
    }));
}

function baseItem(
  { value, name, detail }: KnownBase,
  { at, order }: { at: Span; order: number },
): Completion {
  const insert = JSON.stringify(value);
  return {
    label: value,
    insert,
    at,
    kind: "base",
    detail: `${name} · ${detail}`,
    documentation: "",
    order,
  };
}
