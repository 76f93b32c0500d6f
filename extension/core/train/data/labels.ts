/** What the labels of a data set mean: classes, several of them at once, or numbers. */
import { t } from "@vscode/l10n";
import { badRequest } from "../../base/errors.ts";
import type { ProblemType } from "../../models/problem.ts";
import { ignored } from "./batch.ts";
import type { Label } from "./example.ts";

/** What is known of labels before the data are read. */
export interface KnownLabels {
  /** By id; none of a base without, or where a new head is trained. */
  readonly names: readonly string[];
  /** What the model learns, where that is settled. */
  readonly problem: ProblemType | null;
}

/** Labels of a record as places in the list of all that were seen. */
export type LabelPlaces = number | readonly number[];

/** All labels of a data set, once it is read. */
export interface Labelling {
  /** null for tokens' labels and where there are none. */
  readonly problem: ProblemType | null;
  /** By id; of numbers one for each. */
  readonly names: readonly string[];
  /** Sentences on what was decided. */
  readonly notes: readonly string[];
  /** Of one label its id, of several 0 or 1 for each that there is, of numbers these. */
  rowOf(places: LabelPlaces): readonly number[];
  /** For people. */
  tell(places: LabelPlaces): readonly string[];
}

/**
 * Labels of a data set while it is read: ids stay what they are, names get their numbers when all of them are
 * known: as the base has them, otherwise in alphabetical order (datasets' ClassLabel).
 */
export class LabelNames {
  /** In order of their first appearance; a label is kept as its place here until `finish`. */
  private readonly seen = new Map<Label, number>();

  constructor(private readonly known: KnownLabels) {}

  placeOf(label: Label): number {
    const place = this.seen.get(label) ?? this.seen.size;
    this.seen.set(label, place);
    return place;
  }

  /** Of labels of tokens. */
  finishTags(): Labelling {
    return this.classes(null);
  }

  /**
   * Of labels of texts. As transformers decides: by `problem_type`, one number is a regression, several
   * fractions are labels that may apply together.
   * @param rows of every record, in any order
   */
  finish(rows: readonly LabelPlaces[]): Labelling {
    const labels = [...this.seen.keys()];
    const lists = rows.filter((row) => typeof row !== "number");
    const { problem } = this.known;
    const areNumbers = labels.every(isNumeric);
    if (problem === "regression") {
      if (!areNumbers) this.refuseNames(labels);
      return this.numbers(rows, "regression", []);
    }
    const hasFractions = areNumbers && !labels.every(isId);
    if (hasFractions) return this.fractions(rows, lists.length > 0);
    if (lists.length === 0) return this.classes(problem ?? "single_label_classification");
    if (problem === "single_label_classification") {
      throw badRequest(
        t(
          "The base learns one label of each text (problem_type), and the training data has several.",
        ),
      );
    }
    if (this.areMarks(lists)) return this.numbers(rows, "multi_label_classification", []);
    const own = this.classes("multi_label_classification");
    const rowOf = (places: LabelPlaces): number[] => {
      const row = own.names.map(() => 0);
      for (const place of asList(places)) row[own.rowOf(place)[0] as number] = 1;
      return row;
    };
    return { ...own, rowOf };
  }

  /** One fraction is a number that is learned; several are labels' shares, unless they cannot be. */
  private fractions(rows: readonly LabelPlaces[], areLists: boolean): Labelling {
    const { problem } = this.known;
    const areShares = this.values().every((value) => value >= 0 && value <= 1);
    if (problem === "single_label_classification" || (problem !== null && !areShares)) {
      throw badRequest(
        t(
          "The base's config asks for {0}, and the training data has numbers such as {1}.",
          problem,
          String([...this.seen.keys()].find((label) => !isId(label))),
        ),
      );
    }
    const isMulti = areLists && rows.some((row) => asList(row).length > 1) && areShares;
    if (problem === "multi_label_classification" || isMulti) {
      return this.numbers(rows, "multi_label_classification", []);
    }
    return this.numbers(rows, "regression", [
      t("The labels are numbers, which are learned as such (regression)."),
    ]);
  }

  /**
   * Are lists of 0 and 1 marks, one for each label, instead of the labels' ids? They are where one of
   * them has the same number twice, or where every list is as long as the base has labels.
   */
  private areMarks(lists: readonly (readonly number[])[]): boolean {
    const labels = [...this.seen.keys()];
    const [length = 0] = lists.map((list) => list.length);
    const areBits = labels.every((label) => Number(label) === 0 || Number(label) === 1);
    if (!areBits || length < 2 || lists.some((list) => list.length !== length)) return false;
    return length === this.known.names.length || lists.some((list) => new Set(list).size < length);
  }

  private numbers(
    rows: readonly LabelPlaces[],
    problem: ProblemType,
    notes: readonly string[],
  ): Labelling {
    const values = this.values();
    const width = Math.max(0, ...new Set(rows.map((row) => asList(row).length)));
    const odd = rows.find((row) => asList(row).length !== width);
    if (odd !== undefined) {
      throw badRequest(
        t(
          "Some records have {0} numbers as their label, others {1}. All need as many.",
          asList(odd).length,
          width,
        ),
      );
    }
    const { names } = this.known;
    if (names.length > 0 && names.length !== width && this.known.problem !== null) {
      throw badRequest(
        t("Records have {0} numbers as their label, the base learns {1}.", width, names.length),
      );
    }
    const isNamed = names.length === width;
    const own = isNamed ? names : Array.from({ length: width }, (_, id) => `LABEL_${id}`);
    const rowOf = (places: LabelPlaces): number[] =>
      asList(places).map((place) => values[place] as number);
    return { problem, names: own, notes, rowOf, tell: (places) => tellNumbers(rowOf(places), own) };
  }

  private values(): number[] {
    return [...this.seen.keys()].map(Number);
  }

  private classes(problem: ProblemType | null): Labelling {
    const { names, ids } = this.ids();
    return {
      problem,
      names,
      notes: [],
      rowOf: (places) => [ids[asList(places)[0] ?? -1] ?? ignored],
      tell: (places) => asList(places).map((place) => names[ids[place] as number] ?? ""),
    };
  }

  /** @returns names by id, and each place's id */
  private ids(): { names: string[]; ids: number[] } {
    const { names: known } = this.known;
    const labels = [...this.seen.keys()];
    if (labels.every(isId)) {
      const ids = labels.map(Number);
      const count = Math.max(known.length, ...ids.map((id) => id + 1));
      if (known.length > 0) this.refuse(ids.filter((id) => id >= known.length));
      const names = Array.from({ length: count }, (_, id) => known[id] ?? `LABEL_${id}`);
      return { names, ids };
    }
    const own = [...new Set(labels.map(String))].sort();
    const isKnown = own.every((label) => known.includes(label));
    // A base whose labels were never named (LABEL_0 …) has none to go by.
    const hasNames = known.some((name) => !/^LABEL_\d+$/.test(name));
    if (hasNames && !isKnown) this.refuse(own.filter((label) => !known.includes(label)));
    const names = isKnown ? [...known] : own;
    return { names, ids: labels.map((label) => names.indexOf(String(label))) };
  }

  private refuse(unknown: readonly Label[]): void {
    if (unknown.length === 0) return;
    throw badRequest(
      t(
        "The training data has labels that the base does not know: {0}. It has {1}. Correct the labels, or train a new head.",
        unknown.slice(0, 10).join(", "),
        this.known.names.join(", "),
      ),
      { labels: unknown },
    );
  }

  private refuseNames(labels: readonly Label[]): void {
    const strange = labels.filter((label) => !isNumeric(label)).slice(0, 10);
    throw badRequest(
      t(
        "The base learns numbers (regression), and the training data has labels that are none: {0}. Correct the labels, or train a new head.",
        strange.join(", "),
      ),
      { labels: strange },
    );
  }
}

function asList(places: LabelPlaces): readonly number[] {
  return typeof places === "number" ? [places] : places;
}

/** Marks as the labels that they are at; other numbers as they are. */
function tellNumbers(row: readonly number[], names: readonly string[]): string[] {
  const areMarks = row.length > 1 && row.every((value) => value === 0 || value === 1);
  if (areMarks) return names.filter((_, id) => row[id] === 1);
  return row.map(String);
}

function isId(label: Label): boolean {
  return typeof label === "number"
    ? Number.isInteger(label) && label >= 0
    : /^\d{1,6}$/.test(label);
}

/** Cells of tables are texts. */
function isNumeric(label: Label): boolean {
  return typeof label === "number" || /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(label.trim());
}
