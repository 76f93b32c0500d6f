import type { ActiveAdapter, Sampling } from "../../extension/protocol/engineContract.ts";
import type { HostState } from "../../extension/protocol/webviewContract.ts";
import { element } from "../shared/element.ts";
import { scale } from "../shared/format.ts";
import { parseSetting, type Setting, settings } from "./settings.ts";
import { text } from "./strings.ts";

export interface ToolbarActions {
  loadBase(): void;
  loadAdapter(): void;
  setAdapters(adapters: readonly ActiveAdapter[]): void;
}

/** Base and adapters: what will answer. */
export function whoAnswers(
  host: HostState,
  active: readonly ActiveAdapter[],
  actions: ToolbarActions,
): HTMLElement[] {
  const { base, engine, adapters } = host;
  const status = text.engine[engine];
  const baseName = base ? `${base.name} · ${base.dtype}` : text.noBase;
  return [
    element(
      "div",
      { class: "bar-row" },
      element("span", { class: "base-name" }, baseName),
      status !== "" && element("span", { class: "muted" }, status),
      button("load-base", base ? text.changeBase : text.loadBase, actions.loadBase),
    ),
    base &&
      element(
        "div",
        { class: "bar-row", attributes: { role: "group", "aria-label": text.adapters } },
        element("span", { class: "bar-label muted" }, text.adapters),
        adapters.length === 0 && element("span", { class: "muted" }, text.noAdapters),
        ...adapters.map(({ name, method }) => adapterChoice(name, { method, active, actions })),
        button("add-adapter", text.addAdapter, actions.loadAdapter),
      ),
  ].filter((row) => row !== null);
}

function adapterChoice(
  name: string,
  {
    method,
    active,
    actions,
  }: { method: string; active: readonly ActiveAdapter[]; actions: ToolbarActions },
): HTMLElement {
  const own = active.find((each) => each.name === name);
  const change = (weight: number | null): void => {
    const others = active.filter((each) => each.name !== name);
    actions.setAdapters(weight === null ? others : [...others, { ...own, name, weight }]);
  };
  const id = `adapter-${name}`;
  const box = element("input", {
    attributes: { type: "checkbox", id, checked: own !== undefined },
    on: { change: () => change(own ? null : 1) },
  });
  const shown = element("output", { class: "weight" }, own ? `×${scale(own.weight)}` : "");
  const slider = element("input", {
    attributes: {
      type: "range",
      id: `${id}-weight`,
      min: 0,
      max: 2,
      step: 0.05,
      value: own?.weight ?? 1,
      "aria-label": text.weightOf(name),
    },
    on: {
      input: () => (shown.textContent = `×${scale(Number(slider.value))}`),
      change: () => change(Number(slider.value)),
    },
  });
  slider.hidden = own === undefined;
  return element(
    "div",
    { class: own ? "adapter active" : "adapter" },
    box,
    element("label", { attributes: { for: id, title: method } }, name),
    slider,
    shown,
  );
}

/** The sampling settings as labelled number fields; a wrong value says why and is not taken. */
export function samplingFields(
  sampling: Sampling,
  { set, reset }: { set: (sampling: Sampling) => void; reset: () => void },
): HTMLElement {
  let current = sampling;
  const problem = element("div", { class: "problem", attributes: { role: "alert" } });
  const fields = settings.map((setting) =>
    samplingField(setting, current, (parsed) => {
      problem.textContent = "problem" in parsed ? parsed.problem : "";
      if ("problem" in parsed) return;
      current = { ...current, [setting.key]: parsed.value };
      set(current);
    }),
  );
  return element(
    "div",
    { class: "sampling" },
    ...fields,
    button("reset-sampling", text.reset, reset),
    problem,
  );
}

function samplingField(
  setting: Setting,
  sampling: Sampling,
  take: (parsed: ReturnType<typeof parseSetting>) => void,
): HTMLElement {
  const { key, label, hint, min, max, step } = setting;
  const id = `sampling-${key}`;
  const value = sampling[key];
  const input = element("input", {
    attributes: {
      type: "number",
      id,
      min,
      max,
      step,
      title: hint,
      value: value === null ? "" : value,
    },
    on: {
      change: () => {
        const parsed = parseSetting(setting, input.value);
        input.setAttribute("aria-invalid", String("problem" in parsed));
        take(parsed);
      },
    },
  });
  return element(
    "div",
    { class: "field" },
    element("label", { attributes: { for: id, title: hint } }, label),
    input,
  );
}

export function button(id: string, label: string, click: () => void): HTMLElement {
  return element(
    "button",
    { class: "text-button", attributes: { type: "button", id }, on: { click } },
    label,
  );
}
