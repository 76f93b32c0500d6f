import type {
  DataField,
  DataFormat,
  TrainingData,
} from "../../extension/protocol/trainingContract.ts";
import { element } from "../shared/element.ts";
import { withData } from "./draft.ts";
import { selectField } from "./fields.ts";
import type { TrainPage } from "./page.ts";
import { text } from "./strings.ts";

/** What a format asks its records for; what may be missing comes last. */
const fieldsOf: Readonly<Record<DataFormat, readonly DataField[]>> = {
  chat: ["messages", "system", "tools"],
  instruction: ["prompt", "completion", "input", "system"],
  text: ["text"],
  classification: ["text", "label", "pair"],
  tags: ["words", "tags"],
};

const optional: readonly DataField[] = ["system", "tools", "input", "pair"];

/** Formats that a task is learned from. */
const formatsOf: Readonly<Record<NonNullable<TrainingData["task"]>, readonly DataFormat[]>> = {
  causal: ["chat", "instruction", "text"],
  "sequence-classification": ["classification"],
  "token-classification": ["tags"],
};

/** Which format the records are taken for: the chosen one, what was found, or the task's only one. */
function formatOf({ draft, preview }: TrainPage): DataFormat | null {
  const { format, task = "causal" } = draft.data;
  const formats = formatsOf[task];
  return format ?? preview?.format ?? (formats.length === 1 ? (formats[0] ?? null) : null);
}

/** How records are read: the format, and which of their fields or columns is what. */
function formatFields(page: TrainPage): HTMLElement[] {
  const columns = page.columns?.columns ?? [];
  // Lines of a text file have no fields.
  if (columns.length === 0) return [];
  const format = formatOf(page);
  const fields = format === null ? [] : fieldsOf[format];
  return [formatField(page), ...fields.map((field) => columnField(page, field))];
}

function formatField(page: TrainPage): HTMLElement {
  const { format, task = "causal" } = page.draft.data;
  const { preview } = page;
  const found = format === undefined && preview ? text.asFound(text.formats[preview.format]) : "";
  return selectField<DataFormat | "">(
    {
      ...{ id: "format", label: text.format, value: format ?? "" },
      options: [
        ["", found === "" ? text.told : found],
        ...formatsOf[task].map((each) => [each, text.formats[each]] as const),
      ],
    },
    (next) => page.change(withData(page.draft, { format: next === "" ? undefined : next }), true),
  );
}

function columnField(page: TrainPage, field: DataField): HTMLElement {
  const { fields = {} } = page.draft.data;
  const columns = page.columns?.columns ?? [];
  const chosen = fields[field] ?? "";
  const found = page.preview?.fields[field];
  const none = optional.includes(field) ? text.noColumn : text.chooseColumn;
  const usual = found !== undefined && chosen === "" ? text.asFound(found) : none;
  const isGone = chosen !== "" && !columns.some(({ name }) => name === chosen);
  const sample = columns.find(({ name }) => name === (chosen === "" ? found : chosen))?.sample;
  return selectField(
    {
      ...{ id: `column-${field}`, label: text.columns[field], value: chosen },
      ...(sample !== undefined && sample !== "" && { hint: sample }),
      options: [
        ["", usual],
        ...(isGone ? [[chosen, chosen] as const] : []),
        ...columns.map(({ name }) => [name, name] as const),
      ],
    },
    (column) => {
      const { [field]: _before, ...others } = fields;
      const next = column === "" ? others : { ...others, [field]: column };
      const isEmpty = Object.keys(next).length === 0;
      page.change(withData(page.draft, { fields: isEmpty ? undefined : next }), true);
    },
  );
}

/** What one text of a text file is; only there it is asked. */
function textUnitField(page: TrainPage): HTMLElement | null {
  if (page.columns?.hasPlainText !== true) return null;
  return selectField<NonNullable<TrainingData["textUnit"]>>(
    {
      ...{ id: "textUnit", label: text.textUnit, value: page.draft.data.textUnit ?? "paragraph" },
      options: [
        ["paragraph", text.textUnits.paragraph],
        ["line", text.textUnits.line],
        ["document", text.textUnits.document],
      ],
    },
    (unit) =>
      page.change(withData(page.draft, { textUnit: unit === "paragraph" ? undefined : unit })),
  );
}

/** A heading over what is learned from the records, and what their fields mean. */
export function recordsGroup(page: TrainPage, task: HTMLElement): HTMLElement {
  const fields = [task, ...formatFields(page), textUnitField(page)].filter((each) => each !== null);
  return element(
    "div",
    { class: "group", attributes: { role: "group", "aria-labelledby": "records-title" } },
    element("h3", { attributes: { id: "records-title" } }, text.records),
    element("div", { class: "fields" }, ...fields),
  );
}
