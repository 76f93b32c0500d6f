import type { TensorRef } from "../../extension/protocol/tensorContract.ts";
import { choice } from "../shared/choice.ts";
import { toCsv } from "../shared/csv.ts";
import { element } from "../shared/element.ts";
import * as format from "../shared/format.ts";
import { icon } from "../shared/icon.ts";
import type { DetailsActions, DetailsUi } from "./details.ts";
import { problemNotice } from "./notice.ts";
import { text } from "./strings.ts";
import { type Digits, parseIndex } from "./valueCells.ts";
import { type ValueGrid, valueGrid } from "./valueGrid.ts";

/** The values of one slice: the plane of the last two axes, at indices of those before. */
export function valuesSection(
  tensor: TensorRef,
  { actions, ui }: { actions: DetailsActions; ui: DetailsUi },
): HTMLElement {
  const { shape } = tensor;
  const [rows = 1, columns = 1] = shape.length < 2 ? shape : shape.slice(-2);
  const leading = shape.slice(0, -2).map(() => 0);
  const problem = element("div", { attributes: { "aria-live": "polite" } });
  const head = (...controls: HTMLElement[]): HTMLElement =>
    element(
      "div",
      { class: "section-head" },
      element("h3", { attributes: { id: "values-title" } }, text.values),
      element("div", { class: "section-controls" }, ...controls),
    );
  const section = (...content: HTMLElement[]): HTMLElement =>
    element(
      "section",
      { class: "values", attributes: { "aria-labelledby": "values-title" } },
      ...content,
    );
  if (shape.includes(0)) return section(head(), element("p", { class: "muted" }, text.noValues));
  const grid = valueGrid({
    rows,
    columns,
    dtype: tensor.dtype,
    digits: () => ui.digits,
    read: (window, signal) => actions.values(tensor, { ...window, leading: [...leading] }, signal),
    onProblem: (thrown) => {
      grid.root.hidden = true;
      problem.replaceChildren(problemNotice(thrown));
    },
  });
  const axes = leading.map((_, axis) =>
    axisField(axis, shape[axis] ?? 1, (index) => {
      leading[axis] = index;
      grid.reload();
    }),
  );
  return section(
    head(digitsChoice(grid, { actions, ui }), saveButton(tensor, { grid, leading, actions })),
    element(
      "div",
      { class: "value-controls" },
      ...axes.map(({ root }) => root),
      goToField(tensor, { grid, leading, setAxes: (at) => axes.forEach(({ set }, i) => set(at[i] ?? 0)) }), // prettier-ignore
    ),
    problem,
    grid.root,
  );
}

function axisField(
  axis: number,
  size: number,
  onIndex: (index: number) => void,
): { root: HTMLElement; set(index: number): void } {
  const label = text.axis(axis, String(size - 1));
  const attributes = { type: "number", min: 0, max: size - 1, value: 0, id: `axis-${axis}` };
  const input = element("input", {
    class: "field",
    attributes,
    on: {
      input: () => {
        const index = Number(input.value);
        const isInside = Number.isInteger(index) && index >= 0 && index < size;
        input.setAttribute("aria-invalid", String(!isInside || input.value === ""));
        if (isInside && input.value !== "") onIndex(index);
      },
    },
  });
  return {
    root: element("label", { class: "axis" }, label, input),
    set: (index) => {
      input.value = String(index);
    },
  };
}

function goToField(
  { shape }: TensorRef,
  at: { grid: ValueGrid; leading: number[]; setAxes(leading: readonly number[]): void },
): HTMLElement {
  const example = shape.map((size) => Math.floor((size - 1) / 2)).join(", ") || "0";
  const said = element("span", { class: "field-problem", attributes: { role: "status" } });
  const input = element("input", {
    class: "field",
    attributes: {
      ...{ type: "text", id: "go-to", placeholder: example },
      title: text.goToHint(example),
    },
    on: {
      keydown: (event) => {
        if (event.key !== "Enter") return;
        const index = parseIndex(input.value, shape);
        said.textContent = index ? "" : text.noSuchIndex(format.shape(shape));
        if (!index) return;
        const plane = Math.min(2, shape.length);
        const before = index.slice(0, Math.max(0, index.length - plane));
        if (before.length > 0) {
          const from = at.leading.length - before.length;
          before.forEach((each, i) => (at.leading[from + i] = each));
          at.setAxes(at.leading);
          at.grid.reload();
        }
        const last = index.slice(-plane);
        if (shape.length < 2) at.grid.goTo(last[0] ?? 0, 0);
        else at.grid.goTo(last.length === 2 ? (last[0] ?? 0) : 0, last.at(-1) ?? 0);
      },
    },
  });
  return element("label", { class: "axis" }, text.goTo, input, said);
}

function digitsChoice(
  grid: ValueGrid,
  { actions, ui }: { actions: DetailsActions; ui: DetailsUi },
): HTMLElement {
  return choice<Digits>({
    id: "digits",
    label: text.digits,
    items: [
      { value: "4", label: "4" },
      { value: "8", label: "8" },
      { value: "all", label: text.allDigits },
    ],
    value: ui.digits,
    onChange: (digits) => {
      ui.digits = digits;
      actions.keep();
      grid.redraw();
    },
  });
}

function saveButton(
  tensor: TensorRef,
  { grid, leading, actions }: { grid: ValueGrid; leading: number[]; actions: DetailsActions },
): HTMLElement {
  const save = (): void => {
    const { row, column, cells } = grid.inView();
    const headings = ["", ...(cells[0] ?? []).map((_, i) => String(column + i))];
    // Places are no numbers to calculate with, values are; NaN and Inf stay words.
    const rows = cells.map((line, i) => [String(row + i), ...line]);
    const place = [...leading, row, column].join("_");
    actions.save({
      name: `${tensor.name}-${place}`,
      kind: "csv",
      content: toCsv(headings, rows),
    });
  };
  const attributes = {
    ...{ type: "button", id: "save-window" },
    title: text.saveWindow,
    "aria-label": text.saveWindow,
  };
  return element(
    "button",
    { class: "quiet-button", attributes, on: { click: save } },
    icon("save"),
    text.csv,
  );
}
