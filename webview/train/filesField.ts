import { element } from "../shared/element.ts";
import { icon } from "../shared/icon.ts";
import { withData } from "./draft.ts";
import { problemLine } from "./fields.ts";
import type { FileList, TrainPage } from "./page.ts";
import { text } from "./strings.ts";

/** A list of files that grows by a dialog, or by what is dragged onto it. */
export function filesField(page: TrainPage, list: FileList, label: string): HTMLElement {
  const files = page.draft.data[list] ?? [];
  const remove = (file: string): void => {
    const rest = files.filter((each) => each !== file);
    page.change(withData(page.draft, { [list]: rest }), true);
  };
  const isMain = list === "files";
  return element(
    "div",
    {
      class: "drop",
      attributes: { id: list, role: "group", "aria-label": label },
      on: {
        dragover: (event) => event.preventDefault(),
        drop: (event) => {
          event.preventDefault();
          page.drop(list, urisOf(event.dataTransfer));
        },
      },
    },
    files.length > 0 &&
      element("ul", {}, ...files.map((file, at) => row(file, `remove-${list}-${at}`, remove))),
    element(
      "vscode-button",
      {
        attributes: { id: isMain ? "add-files" : "add-evaluation-files", appearance: "secondary" },
        on: { click: () => page.pickFiles(list) },
      },
      text.addFiles,
    ),
    isMain && element("p", { class: "hint" }, text.filesHint),
    problemLine(list),
  );
}

function row(file: string, id: string, remove: (file: string) => void): HTMLElement {
  const label = text.remove(file);
  return element(
    "li",
    {},
    element("span", { class: "path" }, file),
    element(
      "button",
      {
        class: "tool",
        attributes: { type: "button", id, "aria-label": label, title: label },
        on: { click: () => remove(file) },
      },
      icon("close"),
    ),
  );
}

/** What VS Code's explorer, or a file manager, says of what is dragged. */
function urisOf(transfer: DataTransfer | null): string[] {
  const lists = ["application/vnd.code.uri-list", "text/uri-list"].map(
    (type) => transfer?.getData(type) ?? "",
  );
  const list = lists.find((each) => each !== "") ?? "";
  return list.split(/\r?\n/).filter((line) => line !== "" && !line.startsWith("#"));
}
