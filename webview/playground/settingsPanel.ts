import type { PlaygroundSettings } from "../../extension/protocol/playgroundContract.ts";
import type { Sampling } from "../../extension/protocol/generationContract.ts";
import { element } from "../shared/element.ts";
import { button } from "./parts.ts";
import {
  defaultSampling,
  formatStops,
  parseSetting,
  parseStops,
  schemaProblem,
  type Setting,
  settings,
} from "./settings.ts";
import { text } from "./strings.ts";

type Set = (fields: Partial<PlaygroundSettings>) => void;

/** Sampling, stop sequences and JSON mode; a wrong value says why and is not taken. */
export function settingsPanel(
  current: PlaygroundSettings,
  on: { set: Set; redraw(): void },
): HTMLElement {
  return element(
    "div",
    { class: "panel", attributes: { role: "group", "aria-label": text.settings } },
    samplingFields(current.sampling, on),
    element("div", { class: "outputs" }, stopField(current, on.set), jsonFields(current, on)),
  );
}

export function systemField(current: PlaygroundSettings, set: Set): HTMLElement {
  const area = element("textarea", {
    class: "system",
    attributes: {
      ...{ id: "system", rows: 2 },
      "aria-label": text.system,
      placeholder: text.systemHint,
    },
    on: { input: () => set({ system: area.value }) },
  });
  area.value = current.system;
  return area;
}

function samplingFields(
  sampling: Sampling,
  { set, redraw }: { set: Set; redraw(): void },
): HTMLElement {
  let current = sampling;
  const problem = element("div", { class: "problem", attributes: { role: "alert" } });
  const fields = settings.map((setting) =>
    samplingField(setting, current, (parsed) => {
      problem.textContent = "problem" in parsed ? parsed.problem : "";
      if ("problem" in parsed) return;
      current = { ...current, [setting.key]: parsed.value };
      set({ sampling: current });
    }),
  );
  const reset = (): void => {
    set({ sampling: defaultSampling });
    redraw();
  };
  return element(
    "div",
    { class: "sampling" },
    ...fields,
    button(text.reset, reset, { id: "reset-sampling" }),
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
      ...{ type: "number", id, min, max, step, title: hint },
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

function stopField({ stop, json }: PlaygroundSettings, set: Set): HTMLElement {
  const area = element("textarea", {
    attributes: { id: "stops", rows: 2, "aria-describedby": "stops-hint", disabled: json.isOn },
    on: { input: () => set({ stop: parseStops(area.value) }) },
  });
  area.value = formatStops(stop);
  return element(
    "div",
    { class: "field wide" },
    element("label", { attributes: { for: "stops" } }, text.stopSequences),
    area,
    element(
      "div",
      { class: "muted", attributes: { id: "stops-hint" } },
      json.isOn ? text.stopNotWithJson : text.stopHint,
    ),
  );
}

function jsonFields(
  { json }: PlaygroundSettings,
  { set, redraw }: { set: Set; redraw(): void },
): HTMLElement {
  const box = element("input", {
    attributes: { type: "checkbox", id: "json-mode", checked: json.isOn },
    on: {
      change: () => {
        set({ json: { schema: area.value, isOn: box.checked } });
        redraw();
      },
    },
  });
  const problem = element("div", {
    class: "problem",
    attributes: { role: "alert", id: "schema-problem" },
  });
  const check = (): void => {
    problem.textContent = schemaProblem(area.value);
    area.setAttribute("aria-invalid", String(problem.textContent !== ""));
  };
  const area = element("textarea", {
    class: "schema",
    attributes: {
      ...{ id: "json-schema", rows: 3, spellcheck: "false" },
      "aria-label": text.jsonSchema,
      "aria-describedby": "schema-problem",
      placeholder: text.schemaHint,
    },
    on: {
      input: () => {
        set({ json: { schema: area.value, isOn: box.checked } });
        check();
      },
    },
  });
  area.value = json.schema;
  check();
  return element(
    "div",
    { class: "field wide" },
    element(
      "div",
      { class: "choice-row" },
      box,
      element("label", { attributes: { for: "json-mode" } }, text.jsonMode),
    ),
    json.isOn && area,
    json.isOn && problem,
  );
}
