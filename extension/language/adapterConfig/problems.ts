/** All problems of an adapter_config.json; pure, so that every one of them can be tested. */
import { t } from "@vscode/l10n";
import type { ConfigFacts } from "../../protocol/configContract.ts";
import { baseProblems, weightProblems } from "./baseProblems.ts";
import type { ConfigDocument } from "./document.ts";
import { fieldProblems, headOf } from "./fieldProblems.ts";
import { accepts, type FieldSchema, type FieldTable } from "./fieldTable.ts";
import { patternProblems } from "./patternProblems.ts";
import type { Fix, Problem } from "./problem.ts";
import { similar } from "./similar.ts";

/** @param facts what the engine says of the same text; without it the file's own problems are told */
export function findProblems(
  document: ConfigDocument,
  table: FieldTable,
  facts: ConfigFacts | null,
): Problem[] {
  if (!document.isWhole) return [];
  const own = fieldProblems(document, table, facts?.storedType ?? null);
  if (!facts) return own;
  const found = [
    ...own,
    ...patternProblems(document, facts),
    ...baseProblems(document, facts),
    ...weightProblems(document, facts),
  ];
  return [...found, ...loadingProblems(document, { table, facts, found })];
}

/** What loading says and nothing above has said already. */
function loadingProblems(
  document: ConfigDocument,
  { table, facts, found }: { table: FieldTable; facts: ConfigFacts; found: readonly Problem[] },
): Problem[] {
  const { problem, fit, base } = facts;
  const isTold = (...codes: string[]): boolean => found.some(({ code }) => codes.includes(code));
  if (isTold("method-missing", "method-unknown", "method-disagrees", "task-unknown")) return [];
  // A base that merely stands in is not what the adapter has to fit.
  const isOwnBase = base?.via === "named";
  const about = base?.name ?? "";
  if (problem) {
    if (problem.needsBase && (!isOwnBase || isTold("rank-disagrees", "target-is-container")))
      return [];
    return [refused(document, problem, { table, stored: facts.ranks.stored })];
  }
  if (!fit || !isOwnBase || fit.bound === fit.total) return [];
  if (found.some(({ severity, code }) => severity === "error" && code.startsWith("target")))
    return [];
  const at = document.value(["target_modules"]) ?? headOf(document);
  const message = [
    t("{0} of {1} modules find their place on {2}.", fit.bound, fit.total, about),
    ...fit.reasons,
  ].join(" ");
  const severity = fit.bound === 0 ? "error" : "warning";
  return [{ code: "binds-in-part", severity, message, at, fixes: [], wantsBases: true }];
}

/** A problem that loading would end with. */
function refused(
  document: ConfigDocument,
  { field, code, message }: NonNullable<ConfigFacts["problem"]>,
  { table, stored }: { table: FieldTable; stored: number | null },
): Problem {
  const place = field === null ? null : (document.value([field]) ?? document.key([field]));
  const at = place ?? headOf(document);
  const severity = code === "unsupported" ? "warning" : "error";
  const wantsBases = code === "misfit";
  const schema =
    field === null ? undefined : table.fieldsOf(document.fields["peft_type"]).get(field);
  if (field === null || !schema || place === null) {
    return { code, severity, message, at, fixes: [], wantsBases };
  }
  const value = document.fields[field];
  const isQuiet = !accepts(schema, value);
  const fixes = valuesFor(field, { schema, value, stored }).map((to): Fix => ({
    kind: "set",
    path: [field],
    value: to,
    title: t("Set {0} to {1}", field, JSON.stringify(to)),
  }));
  return { code, severity, message, at, fixes, isQuiet, wantsBases };
}

/** What a field could be instead: what the tensors say, a similar value, the number as it was meant, PEFT's default. */
function valuesFor(
  field: string,
  { schema, value, stored }: { schema: FieldSchema; value: unknown; stored: number | null },
): unknown[] {
  const parts = [schema, ...(schema.anyOf ?? [])];
  const listed = parts
    .flatMap((part) => part.enum ?? [])
    .filter((each) => typeof each === "string");
  const meant = typeof value === "string" ? similar(value, listed) : [];
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  const values = [
    ...(field === "r" && stored !== null ? [stored] : []),
    ...meant,
    ...(typeof number === "number" ? [number] : []),
    ...(schema.default === undefined ? [] : [schema.default]),
  ];
  const isOther = (each: unknown): boolean => each !== value || field === "r";
  return [...new Set(values)].filter((each) => accepts(schema, each) && isOther(each)).slice(0, 3);
}
