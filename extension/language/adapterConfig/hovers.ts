/** What the editor tells of a place in a config beside the schema's own text: what it means on this base. */
import { t } from "@vscode/l10n";
import type { ConfigBase, ConfigFacts, ConfigPattern } from "../../protocol/configContract.ts";
import type { ConfigDocument, Span } from "./document.ts";

export interface HoverText {
  readonly at: Span;
  /** Markdown, a paragraph each. */
  readonly parts: readonly string[];
}

/** @returns null where there is nothing to tell beyond the schema */
export function hoverAt(
  document: ConfigDocument,
  offset: number,
  facts: ConfigFacts | null,
): HoverText | null {
  const part = document.at(offset);
  if (!part) return null;
  const [field] = part.path;
  const parts = [
    ...(facts ? matches(part.path, facts) : []),
    ...(strengthFields.has(String(field)) ? strength(document) : []),
    ...(field === "rank_pattern" || field === "alpha_pattern"
      ? strengthOf(document, part.path)
      : []),
    ...(field === "base_model_name_or_path" && facts ? aboutBase(facts) : []),
    ...(field === "peft_type" && facts ? aboutWeights(facts) : []),
  ];
  return parts.length === 0 ? null : { at: part.span, parts };
}

function matches(path: readonly (string | number)[], { base, patterns }: ConfigFacts): string[] {
  if (!base) return [];
  const isBelow = (pattern: ConfigPattern): boolean =>
    path.every((key, i) => pattern.path[i] === key);
  const found = patterns.filter(isBelow);
  const [first] = found;
  if (!first) return [];
  if (found.length === 1) return [countText(first, base)];
  const rows = found.map((each) => `- \`${each.text}\`: ${modules(each)}`);
  return [t("On {0}:", base.name), rows.join("\n")];
}

function countText(pattern: ConfigPattern, base: ConfigBase): string {
  const { text, count, chosen, first, kind } = pattern;
  const head =
    kind === "parameter"
      ? t("`{0}` means {1} parameters of {2}", text, count, base.name)
      : t("`{0}` means {1} of {2}", text, modules(pattern), base.name);
  if (count === 0) return `${head}.`;
  const shapes = new Map(base.modules.map((each) => [each.path, `[${each.in} → ${each.out}]`]));
  const rows = first.map((path) => `- \`${path}\` ${shapes.get(path) ?? ""}`.trimEnd());
  const more = count > first.length ? [`- ${t("and {0} more", count - first.length)}`] : [];
  const left = kind === "target" || kind === "regex" ? count - chosen : 0;
  const out = left > 0 ? [`\n${t("{0} of them are left out by other fields.", left)}`] : [];
  return [`${head}:\n`, ...rows, ...more, ...out].join("\n");
}

function modules({ count, kind }: ConfigPattern): string {
  if (kind === "parameter") return count === 1 ? t("1 parameter") : t("{0} parameters", count);
  return count === 1 ? t("1 module") : t("{0} modules", count);
}

const strengthFields = new Set(["r", "lora_alpha", "alpha", "use_rslora"]);

/** Methods whose update is scaled by alpha / r, and their field. */
const alphaFields: Readonly<Record<string, string>> = {
  LORA: "lora_alpha",
  LOHA: "alpha",
  LOKR: "alpha",
};

/** The scaling that r and alpha come to. */
function strength(document: ConfigDocument): string[] {
  const scale = scaleOf(document, {});
  return scale === null ? [] : [t("Effective scaling: {0}", scale)];
}

/** The same for the modules of one key of a pattern field. */
function strengthOf(document: ConfigDocument, path: readonly (string | number)[]): string[] {
  const [, key] = path;
  if (key === undefined) return [];
  const own = (field: string): number | undefined => {
    const patterns = document.fields[field] as Record<string, unknown> | null | undefined;
    const value = patterns?.[String(key)];
    return typeof value === "number" ? value : undefined;
  };
  const scale = scaleOf(document, { r: own("rank_pattern"), alpha: own("alpha_pattern") });
  return scale === null ? [] : [t("Effective scaling of these modules: {0}", scale)];
}

function scaleOf(
  { fields }: ConfigDocument,
  own: { r?: number | undefined; alpha?: number | undefined },
): string | null {
  const field = alphaFields[String(fields["peft_type"])];
  if (field === undefined) return null;
  const r = own.r ?? fields["r"] ?? 8;
  const alpha = own.alpha ?? fields[field] ?? 8;
  if (typeof r !== "number" || typeof alpha !== "number" || r <= 0) return null;
  const isRoot = fields["use_rslora"] === true;
  const scale = alpha / (isRoot ? Math.sqrt(r) : r);
  const shown = String(Number(scale.toPrecision(4)));
  return isRoot
    ? `${field} / √r = ${alpha} / √${r} = **${shown}**`
    : `${field} / r = ${alpha} / ${r} = **${shown}**`;
}

function aboutBase({ base, baseProblem, tried, fit }: ConfigFacts): string[] {
  if (baseProblem !== "") return [baseProblem];
  if (!base || (base.via === "standIn" && tried.length > 0)) {
    return [t("Not found. Looked in:"), tried.map((place) => `- \`${place}\``).join("\n")];
  }
  const size = `${base.modelType} · ${parametersText(base.parameters)} · ${base.dtype}`;
  const about = t(
    "{0} modules, {1} layers, {2} tokens",
    base.modules.length,
    base.layers,
    base.vocabulary,
  );
  const bound = fit
    ? [t("{0} of {1} modules of the adapter find their place.", fit.bound, fit.total)]
    : [];
  return [`**${base.name}** (${size})`, about, `\`${base.path}\``, ...bound];
}

function parametersText(count: number): string {
  if (count >= 1e9) return t("{0} B parameters", (count / 1e9).toFixed(1));
  if (count >= 1e6) return t("{0} M parameters", (count / 1e6).toFixed(1));
  return t("{0} K parameters", (count / 1e3).toFixed(1));
}

function aboutWeights({ weights, storedType }: ConfigFacts): string[] {
  if (weights.kind !== "present") return [];
  const name = weights.file.split(/[/\\]/).at(-1) ?? weights.file;
  const count = t("{0} tensors in {1}", weights.tensors, name);
  return [storedType === null ? count : `${count} · ${storedType}`];
}
