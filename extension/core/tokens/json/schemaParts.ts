import { t } from "@vscode/l10n";
import { badRequest, type GraftError, unsupported } from "../../base/errors.ts";
import type { JsonObject } from "../../base/json.ts";
import type { Node } from "./node.ts";

/** True where following references and choices can go round without a byte being read. */
export function isEndless(node: Node, path: ReadonlySet<Node> = new Set()): boolean {
  if (path.has(node)) return true;
  const now = new Set([...path, node]);
  if (node.kind === "reference") return node.to !== null && isEndless(node.to, now);
  return node.kind === "choice" && node.options.some((option) => isEndless(option, now));
}

/** The one spelling of a value. */
export function spell(value: unknown): string {
  return JSON.stringify(value) ?? "null";
}

export function listOf(value: unknown, at: string, mayBeEmpty = false): unknown[] {
  if (Array.isArray(value) && (mayBeEmpty || value.length > 0)) return value as unknown[];
  throw bad(mayBeEmpty ? t("{0} is no list", at) : t("{0} is no list with entries", at));
}

/** Two keywords that count; 0 and Infinity where they are absent. @throws bad-request */
export function bounds(
  schema: JsonObject,
  [low, high]: readonly [string, string],
  at: string,
): [number, number] {
  const [min, max] = [schema[low] ?? 0, schema[high] ?? Infinity];
  const isCount = (value: unknown): value is number =>
    value === Infinity || (Number.isInteger(value) && (value as number) >= 0);
  if (!isCount(min) || !isCount(max)) throw bad(t("{0}: {1} or {2} is no count", at, low, high));
  if (max < min) throw bad(t("nothing fits {0}: {1} is below {2}", at, high, low));
  return [min, max];
}

export function bad(problem: string): GraftError {
  return badRequest(t("This JSON schema cannot be used: {0}.", problem));
}

export function unsupportedAt(what: string, at: string, remedy = t("Leave it out.")): GraftError {
  return unsupported(
    t("Graft cannot keep an answer to {0} ({1} of the JSON schema)", what, at),
    remedy,
  );
}
