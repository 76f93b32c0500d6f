import { element } from "../shared/element.ts";
import { dataSection } from "./dataSection.ts";
import { field } from "./fields.ts";
import { baseField, methodSection } from "./methodSection.ts";
import type { TrainPage } from "./page.ts";
import { settingsSection } from "./settingsSection.ts";
import { text } from "./strings.ts";

/** The form from top to bottom; preview and footer are drawn by themselves. */
export function formView(
  page: TrainPage,
  { preview, footer }: { preview: HTMLElement; footer: HTMLElement },
): HTMLElement[] {
  const isNew = page.draft.adapter.kind === "new";
  const heading = element("h1", {}, isNew ? text.title : text.continueTitle);
  const fields = element("div", { class: "fields" }, nameField(page), baseField(page));
  return [
    element("header", {}, heading, fields),
    methodSection(page),
    dataSection(page, preview),
    settingsSection(page),
    footer,
  ];
}

function nameField(page: TrainPage): HTMLElement {
  const input = element("input", {
    attributes: {
      ...{ id: "name", type: "text", value: page.draft.name },
      "aria-describedby": "hint-name problem-name",
    },
    on: { input: () => page.change({ ...page.draft, name: input.value }) },
  });
  return field({ id: "name", label: text.name, hint: text.nameHint(page.state.place) }, input);
}
