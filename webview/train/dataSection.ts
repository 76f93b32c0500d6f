import type { TrainingData } from "../../extension/protocol/trainingContract.ts";
import { element } from "../shared/element.ts";
import { icon } from "../shared/icon.ts";
import { withData } from "./draft.ts";
import { details, numberField, problemLine, section, selectField, switchField } from "./fields.ts";
import type { TrainPage } from "./page.ts";
import { text } from "./strings.ts";

/** Which files are learned from, and how; `preview` is drawn by itself. */
export function dataSection(page: TrainPage, preview: HTMLElement): HTMLElement {
  const { data } = page.draft;
  const set = (change: Partial<TrainingData>): void => page.change(withData(page.draft, change));
  const share = data.evaluationShare === undefined ? 0 : data.evaluationShare * 100;
  return section(
    "data",
    text.data,
    filesField(page),
    element(
      "div",
      { class: "fields" },
      taskField(page),
      selectField(
        {
          ...{ id: "learn", label: text.learn, value: data.learn ?? "answers" },
          options: [
            ["answers", text.answers],
            ["all", text.everything],
          ],
        },
        (learn) => set({ learn: learn === "answers" ? undefined : learn }),
      ),
      numberField(
        {
          ...{ id: "maxLength", label: text.maxLength, value: data.maxLength },
          rule: { isWhole: true, minimum: 1, isOptional: true },
        },
        { take: (maxLength) => set({ maxLength }), host: page },
      ),
      numberField(
        {
          ...{ id: "evaluationShare", label: text.evaluationShare },
          value: Number(share.toPrecision(6)),
          rule: { minimum: 0, maximum: 90 },
        },
        {
          take: (percent) => set({ evaluationShare: percent ? percent / 100 : undefined }),
          host: page,
        },
      ),
    ),
    details(
      {
        ...{ id: "more-data", summary: text.moreData, isOpen: page.isOpen("more-data") },
        toggle: (isOpen) => page.setOpen("more-data", isOpen),
      },
      ...moreFields(data, set),
    ),
    preview,
  );
}

function moreFields(
  data: TrainingData,
  set: (change: Partial<TrainingData>) => void,
): HTMLElement[] {
  return [
    selectField(
      {
        ...{ id: "template", label: text.template, value: data.template ?? "auto" },
        options: [
          ["auto", text.templates.auto],
          ["chat", text.templates.chat],
          ["plain", text.templates.plain],
        ],
      },
      (template) => set({ template }),
    ),
    selectField(
      {
        ...{ id: "overlong", label: text.overlong, value: data.overlong ?? "cut" },
        options: [
          ["cut", text.cut],
          ["split", text.split],
        ],
      },
      (overlong) => set({ overlong }),
    ),
    selectField(
      {
        ...{ id: "packing", label: text.packing, value: data.packing ?? "none" },
        options: [
          ["none", text.packings.none],
          ["fit", text.packings.fit],
          ["wrap", text.packings.wrap],
        ],
      },
      (packing) => set({ packing }),
    ),
    switchField(
      { id: "skipBroken", label: text.skipBroken, value: data.skipBroken ?? false },
      (skipBroken) => set({ skipBroken: skipBroken || undefined }),
    ),
  ];
}

const taskTypes = {
  causal: "CAUSAL_LM",
  "sequence-classification": "SEQ_CLS",
  "token-classification": "TOKEN_CLS",
} as const;

/** The task goes into the adapter's config too, where Python PEFT looks for it. */
function taskField(page: TrainPage): HTMLElement {
  const { task = "causal" } = page.draft.data;
  return selectField(
    {
      ...{ id: "task", label: text.task, value: task },
      options: [
        ["causal", text.tasks.causal],
        ["sequence-classification", text.tasks["sequence-classification"]],
        ["token-classification", text.tasks["token-classification"]],
      ],
    },
    (next) => {
      const draft = withData(page.draft, { task: next });
      const { adapter } = draft;
      if (adapter.kind === "continue") return page.change(draft);
      const config = { ...adapter.config, task_type: taskTypes[next] };
      page.change({ ...draft, adapter: { kind: "new", config } });
    },
  );
}

function filesField(page: TrainPage): HTMLElement {
  const { files } = page.draft.data;
  const remove = (file: string): void => {
    const rest = files.filter((each) => each !== file);
    page.change(withData(page.draft, { files: rest }), true);
  };
  const rows = files.map((file, at) =>
    element(
      "li",
      {},
      element("span", { class: "path" }, file),
      element(
        "button",
        {
          class: "tool",
          attributes: {
            ...{ type: "button", id: `remove-${at}` },
            "aria-label": text.remove(file),
            title: text.remove(file),
          },
          on: { click: () => remove(file) },
        },
        icon("close"),
      ),
    ),
  );
  const list = element(
    "div",
    {
      class: "drop",
      attributes: { id: "files", role: "group", "aria-label": text.files },
      on: {
        dragover: (event) => event.preventDefault(),
        drop: (event) => {
          event.preventDefault();
          page.drop(urisOf(event.dataTransfer));
        },
      },
    },
    rows.length > 0 && element("ul", {}, ...rows),
    element(
      "vscode-button",
      {
        attributes: { id: "add-files", appearance: "secondary" },
        on: { click: () => page.pickFiles() },
      },
      text.addFiles,
    ),
    element("p", { class: "hint" }, text.filesHint),
    problemLine("files"),
  );
  return list;
}

/** What VS Code's explorer, or a file manager, says of what is dragged. */
function urisOf(transfer: DataTransfer | null): string[] {
  const lists = ["application/vnd.code.uri-list", "text/uri-list"].map(
    (type) => transfer?.getData(type) ?? "",
  );
  const list = lists.find((each) => each !== "") ?? "";
  return list.split(/\r?\n/).filter((line) => line !== "" && !line.startsWith("#"));
}
