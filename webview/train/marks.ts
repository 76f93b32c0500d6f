/** What stands at fields beside their values: what is wrong with them, and hints that follow what is typed. */
import { setAttribute } from "../shared/element.ts";
import type { Problems } from "./draft.ts";

const lines = '[id^="problem-"]';

/** Says at every field what is wrong with it, and takes back what was said before. */
export function markProblems(root: HTMLElement, found: Problems): void {
  for (const line of root.querySelectorAll<HTMLElement>(lines)) {
    const id = line.id.slice("problem-".length);
    const said = found[id] ?? "";
    if (line.textContent !== said) line.textContent = said;
    const widget = document.getElementById(id);
    if (widget?.matches("input, select, textarea"))
      setAttribute(widget, "aria-invalid", said === "" ? null : "true");
  }
}

/** Where a field's problem is said; what is of no field, or of none that is seen, at the method or the adapter. */
export function placeOf(name: string | null): string {
  const ids = [name ?? "", `field-${name ?? ""}`, "method"];
  return ids.find((id) => document.getElementById(`problem-${id}`)) ?? "adapter";
}

/** Leads to the first field that is wrong. @returns whether there is none */
export function visitProblem(root: HTMLElement): boolean {
  const wrong = root.querySelector<HTMLElement>(`${lines}:not(:empty)`);
  if (!wrong) return true;
  const widget = document.getElementById(wrong.id.slice("problem-".length));
  for (let at = wrong.closest("details"); at; at = at.parentElement?.closest("details") ?? null)
    at.open = true;
  (widget ?? wrong).focus();
  wrong.scrollIntoView({ block: "center" });
  return false;
}

/** Writes sentences into elements by their ids. */
export function sayHints(hints: Readonly<Record<string, string>>): void {
  for (const [id, said] of Object.entries(hints)) {
    const line = document.getElementById(id);
    if (line && line.textContent !== said) line.textContent = said;
  }
}
