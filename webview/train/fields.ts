import { element } from "../shared/element.ts";
import { type NumberRule, type Parsed, parseNumber } from "./draft.ts";

/** Widgets of the form: each has a label, a place for what is wrong, and tells what was typed. */

/** What a page does with what a field says. */
export interface FieldHost {
  /** Marks a field whose text is no value; null takes the mark away. */
  typed(id: string, problem: string | null): void;
}

interface Labelled {
  id: string;
  label: string;
  hint?: string | undefined;
}

function describedBy({ id, hint }: Labelled): string {
  return hint === undefined ? `problem-${id}` : `hint-${id} problem-${id}`;
}

/** A label over a widget, with what is wrong below. */
export function field(
  labelled: Labelled,
  widget: HTMLElement,
  ...more: HTMLElement[]
): HTMLElement {
  const { id, label, hint } = labelled;
  return element(
    "div",
    { class: "field" },
    element("label", { attributes: { for: id } }, label),
    element("div", { class: "widget" }, widget, ...more),
    hint !== undefined && element("p", { class: "hint", attributes: { id: `hint-${id}` } }, hint),
    problemLine(id),
  );
}

export function problemLine(id: string): HTMLElement {
  return element("p", { class: "problem", attributes: { id: `problem-${id}`, role: "alert" } });
}

/** A line of text whose value is taken when it is one. */
export function textField<T>(
  labelled: Labelled & { value: string; isNumber?: boolean; placeholder?: string },
  parse: (typed: string) => Parsed<T>,
  on: { take(value: T): void; host: FieldHost },
): HTMLElement {
  const { id, value, isNumber = false, placeholder } = labelled;
  const input = element("input", {
    attributes: {
      ...{ id, type: "text", value, placeholder, spellcheck: "false" },
      ...(isNumber && { inputmode: "decimal", class: "number-input" }),
      "aria-describedby": describedBy(labelled),
    },
    on: {
      input: () => {
        const parsed = parse(input.value);
        on.host.typed(id, "problem" in parsed ? parsed.problem : null);
        if ("value" in parsed) on.take(parsed.value);
      },
    },
  });
  return field(labelled, input);
}

export function numberField(
  labelled: Labelled & { value: number | undefined; rule: NumberRule; placeholder?: string },
  on: { take(value: number | undefined): void; host: FieldHost },
): HTMLElement {
  const { value, rule, ...rest } = labelled;
  const shown = { ...rest, value: value === undefined ? "" : String(value), isNumber: true };
  return textField(shown, (typed) => parseNumber(typed, rule), on);
}

export function selectField<T extends string>(
  labelled: Labelled & { value: T; options: readonly (readonly [value: T, label: string])[] },
  take: (value: T) => void,
): HTMLElement {
  const { id, value, options } = labelled;
  const select = element("select", {
    class: "select",
    attributes: { id, "aria-describedby": describedBy(labelled) },
    on: { change: () => take(select.value as T) },
  });
  for (const [each, label] of options)
    select.append(element("option", { attributes: { value: each } }, label));
  select.value = value;
  return field(labelled, select);
}

export function switchField(
  { id, label, hint, value }: Labelled & { value: boolean },
  take: (value: boolean) => void,
): HTMLElement {
  const box = element("input", {
    attributes: { id, type: "checkbox", checked: value, "aria-describedby": `problem-${id}` },
    on: { change: () => take(box.checked) },
  });
  return element(
    "div",
    { class: "field switch" },
    element(
      "div",
      { class: "widget" },
      box,
      element("label", { attributes: { for: id, title: hint } }, label),
    ),
    problemLine(id),
  );
}

export function section(
  id: string,
  title: string,
  ...content: (HTMLElement | null)[]
): HTMLElement {
  const heading = element("h2", { attributes: { id: `${id}-title` } }, title);
  return element(
    "section",
    { attributes: { id, "aria-labelledby": `${id}-title` } },
    heading,
    ...content,
  );
}

/** What most people leave as it is. */
export function details(
  options: { id: string; summary: string; isOpen: boolean; toggle(isOpen: boolean): void },
  ...content: HTMLElement[]
): HTMLElement {
  const { id, summary, isOpen, toggle } = options;
  const made = element(
    "details",
    { attributes: { id, open: isOpen }, on: { toggle: () => toggle(made.open) } },
    element("summary", {}, summary),
    element("div", { class: "fields" }, ...content),
  );
  return made;
}
