import type { MethodField } from "../../extension/protocol/trainPageContract.ts";
import { choice } from "../shared/choice.ts";
import { element } from "../shared/element.ts";
import * as format from "../shared/format.ts";
import { fieldText, foundFields, parseField, withField, withMethod } from "./draft.ts";
import {
  details,
  field,
  problemLine,
  section,
  selectField,
  switchField,
  textField,
} from "./fields.ts";
import type { TrainPage } from "./page.ts";
import { text } from "./strings.ts";

type Config = Record<string, unknown>;

/** A new adapter by its method's own fields, or the one that is trained on. */
export function methodSection(page: TrainPage): HTMLElement {
  const { adapter } = page.draft;
  if (adapter.kind === "continue") {
    const from = element("p", { class: "path", attributes: { id: "start" } }, adapter.path);
    const hint = element("p", { class: "hint" }, text.start);
    return section("adapter", text.adapter, hint, from, problemLine("adapter"), trainedLine());
  }
  const { config } = adapter;
  const { methods } = page.state;
  const method = methods.find(({ peftType }) => peftType === config["peft_type"]) ?? methods[0];
  if (!method) return section("adapter", text.adapter);
  const set = (next: Config, redraws = false): void =>
    page.change({ ...page.draft, adapter: { kind: "new", config: next } }, redraws);
  const draw = (each: MethodField): HTMLElement =>
    each.name === "target_modules"
      ? targetsField(page, each, set)
      : methodField(page, each, (value) => set(withField(configOf(page), each, value)));
  const common = method.fields.filter(({ isCommon }) => isCommon);
  const others = method.fields.filter(({ isCommon }) => !isCommon);
  const chosen = selectField(
    {
      id: "method",
      label: text.method,
      value: method.peftType,
      options: methods.map(({ peftType, label }) => [peftType, label] as const),
    },
    (peftType) => {
      const next = methods.find((each) => each.peftType === peftType);
      if (next) set(withMethod(configOf(page), next, page.modules?.divisor ?? null), true);
    },
  );
  return section(
    "adapter",
    text.adapter,
    element("div", { class: "fields" }, chosen, ...common.map(draw)),
    trainedLine(),
    others.length === 0 ? null : otherFields(page, others, draw),
  );
}

/** How much is trained; written where the base is described. */
function trainedLine(): HTMLElement {
  return element("p", { class: "trained", attributes: { id: "trainable", role: "status" } });
}

/** Fewer than these are found by eye. */
const searchable = 8;

/** Fields that most leave as they are, found by name or meaning. */
function otherFields(
  page: TrainPage,
  others: readonly MethodField[],
  draw: (each: MethodField) => HTMLElement,
): HTMLElement {
  const drawn = others.map((each) => ({ each, row: draw(each) }));
  const none = element("p", { class: "hint", attributes: { role: "status" } });
  const search = element("input", {
    attributes: {
      ...{ id: "search-fields", type: "text", placeholder: text.searchFields, spellcheck: "false" },
      "aria-label": text.searchFields,
    },
    on: {
      input: () => {
        const found = foundFields(others, search.value);
        for (const { each, row } of drawn) row.hidden = !found.has(each.name);
        none.textContent = found.size === 0 ? text.noField : "";
      },
    },
  });
  const made = details(
    {
      ...{ id: "all-fields", summary: text.allFields(others.length) },
      isOpen: page.isOpen("all-fields"),
      toggle: (isOpen) => page.setOpen("all-fields", isOpen),
    },
    ...drawn.map(({ row }) => row),
  );
  const box = element("div", { class: "widget search" }, search, none);
  if (others.length > searchable) made.querySelector("summary")?.after(box);
  return made;
}

function configOf({ draft }: TrainPage): Config {
  return draft.adapter.kind === "new" ? draft.adapter.config : {};
}

function methodField(
  page: TrainPage,
  each: MethodField,
  take: (value: unknown) => void,
): HTMLElement {
  const { name, meaning, kind, choices } = each;
  const value = configOf(page)[name] ?? each.default;
  const labelled = { id: `field-${name}`, label: name, hint: meaning };
  if (kind === "switch") return switchField({ ...labelled, value: value === true }, take);
  if (kind === "choice") {
    const options = choices.map((option) => [option, option] as const);
    return selectField({ ...labelled, value: String(value), options }, take);
  }
  const isNumber = kind === "integer" || kind === "number";
  return textField(
    { ...labelled, value: fieldText(value), isNumber },
    (typed) => parseField(typed, each),
    { take, host: page },
  );
}

type TargetKind = "all" | "usual" | "chosen" | "pattern";

/** All linear layers, what the method usually takes, names of this base, or a pattern. */
function targetsField(
  page: TrainPage,
  each: MethodField,
  set: (next: Config, redraws?: boolean) => void,
): HTMLElement {
  const { name } = each;
  const value = configOf(page)[name] ?? null;
  const take = (next: unknown, redraws = false): void =>
    set(withField(configOf(page), each, next), redraws);
  const kind = targetKind(value);
  const chooser = choice<TargetKind>({
    id: "targets",
    label: text.targets,
    value: kind,
    items: [
      { value: "all", label: text.allLinear },
      { value: "usual", label: text.usual },
      { value: "chosen", label: text.chosen },
      { value: "pattern", label: text.pattern },
    ],
    onChange: (next) => {
      const names = page.modules?.names.map((module) => module.name) ?? [];
      const values = { all: "all-linear", usual: null, chosen: names, pattern: ".*" };
      take(values[next], true);
    },
  });
  return element(
    "div",
    { class: "field wide targets" },
    chooser,
    kind === "chosen" && nameBoxes(page, value as string[], take),
    kind === "pattern" &&
      textField(
        {
          ...{ id: "target-pattern", label: text.pattern, hint: text.patternHint },
          value: fieldText(value),
        },
        (typed) => parseField(typed, { ...each, kind: "names" }),
        { take, host: page },
      ),
    element("p", { class: "hint", attributes: { id: "target-count", role: "status" } }),
    problemLine("target_modules"),
  );
}

function targetKind(value: unknown): TargetKind {
  if (value === null) return "usual";
  if (value === "all-linear") return "all";
  return Array.isArray(value) ? "chosen" : "pattern";
}

function nameBoxes(
  page: TrainPage,
  value: readonly string[],
  take: (next: string[], redraws: boolean) => void,
): HTMLElement {
  let chosen = [...value];
  const known = page.modules?.names ?? [];
  const others = value.filter((name) => !known.some((each) => each.name === name));
  const all = [...known, ...others.map((name) => ({ name, count: 0, parameters: 0 }))];
  const boxes = all.map(({ name, count, parameters }) => {
    const id = `target-${name}`;
    const box = element("input", {
      attributes: { id, type: "checkbox", checked: chosen.includes(name) },
      on: {
        change: () => {
          chosen = box.checked ? [...chosen, name] : chosen.filter((each) => each !== name);
          take(chosen, false);
        },
      },
    });
    const size = format.factLine(
      count > 0 && `× ${count}`,
      parameters > 0 && format.count(parameters),
    );
    return element(
      "div",
      { class: "box" },
      box,
      element("label", { attributes: { for: id } }, name),
      size !== "" &&
        element("span", { class: "muted", attributes: { title: text.baseSize } }, size),
    );
  });
  return element(
    "div",
    { class: "boxes", attributes: { role: "group", "aria-label": text.targets } },
    ...boxes,
  );
}

/** The base: one that is known, or another folder. */
export function baseField(page: TrainPage): HTMLElement {
  const { bases } = page.state;
  const { base } = page.draft;
  const select = element("select", {
    class: "select",
    attributes: { id: "base", "aria-describedby": "problem-base" },
    on: { change: () => page.change({ ...page.draft, base: select.value }, true) },
  });
  const known = bases.some(({ path }) => path === base);
  if (base === "") select.append(element("option", { attributes: { value: "" } }, text.chooseBase));
  else if (!known) select.append(element("option", { attributes: { value: base } }, base));
  for (const { path, name, detail, isLoaded } of bases) {
    const words = [name, detail, isLoaded && text.loaded].filter(Boolean).join(" · ");
    select.append(element("option", { attributes: { value: path } }, words));
  }
  select.value = base;
  const browse = element(
    "vscode-button",
    {
      attributes: { id: "browse-base", appearance: "secondary" },
      on: { click: () => page.browseBase() },
    },
    text.browse,
  );
  return field({ id: "base", label: text.base }, select, browse);
}
