import { t } from "@vscode/l10n";
import { badRequest } from "../../base/errors.ts";
import { ignored } from "./batch.ts";
import type { Label } from "./example.ts";

/**
 * Labels of a data set while it is read: ids stay what they are, names get their numbers when all of them are
 * known: as the base has them, otherwise in alphabetical order (datasets' ClassLabel).
 */
export class LabelNames {
  /** In order of their first appearance; a label is kept as its place here until `finish`. */
  private readonly seen = new Map<Label, number>();

  constructor(private readonly known: readonly string[]) {}

  placeOf(label: Label): number {
    const place = this.seen.get(label) ?? this.seen.size;
    this.seen.set(label, place);
    return place;
  }

  /** @returns names by id, and each place's id */
  finish(): { names: string[]; ids: number[] } {
    const labels = [...this.seen.keys()];
    const areIds = labels.every((label) => typeof label === "number" || /^\d{1,6}$/.test(label));
    if (areIds) {
      const ids = labels.map(Number);
      const count = Math.max(this.known.length, ...ids.map((id) => id + 1));
      if (this.known.length > 0) this.refuse(ids.filter((id) => id >= this.known.length));
      const names = Array.from({ length: count }, (_, id) => this.known[id] ?? `LABEL_${id}`);
      return { names, ids };
    }
    const own = [...new Set(labels.map(String))].sort();
    const isKnown = own.every((label) => this.known.includes(label));
    // A base whose labels were never named (LABEL_0 …) has none to go by.
    const hasNames = this.known.some((name) => !/^LABEL_\d+$/.test(name));
    if (hasNames && !isKnown) this.refuse(own.filter((label) => !this.known.includes(label)));
    const names = isKnown ? [...this.known] : own;
    return { names, ids: labels.map((label) => names.indexOf(String(label))) };
  }

  private refuse(unknown: readonly Label[]): void {
    if (unknown.length === 0) return;
    throw badRequest(
      t(
        "The training data has labels that the base does not know: {0}. It has {1}. Correct the labels, or train a new head.",
        unknown.slice(0, 10).join(", "),
        this.known.join(", "),
      ),
      { labels: unknown },
    );
  }
}

/** Of one label its id, of several 0 or 1 for each that there is. */
export function labelRow(
  places: number | readonly number[],
  { ids, names }: { ids: readonly number[]; names: readonly string[] },
): number[] {
  if (typeof places === "number") return [ids[places] ?? ignored];
  const row = names.map(() => 0);
  for (const place of places) row[ids[place] as number] = 1;
  return row;
}
