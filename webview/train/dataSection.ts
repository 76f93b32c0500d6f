import type { TrainingData } from "../../extension/protocol/trainingContract.ts";
import { element } from "../shared/element.ts";
import { withData } from "./draft.ts";
import { evaluationFields } from "./evaluationFields.ts";
import { details, numberField, section, selectField, switchField } from "./fields.ts";
import { filesField } from "./filesField.ts";
import { recordsGroup } from "./formatFields.ts";
import { usualLength } from "./hints.ts";
import type { TrainPage } from "./page.ts";
import { text } from "./strings.ts";

/** Which files are learned from, and how; `preview` is drawn by itself. */
export function dataSection(page: TrainPage, preview: HTMLElement): HTMLElement {
  const { data } = page.draft;
  const set = (change: Partial<TrainingData>): void => page.change(withData(page.draft, change));
  return section(
    "data",
    text.data,
    filesField(page, "files", text.files),
    recordsGroup(page, taskField(page)),
    element(
      "div",
      { class: "fields" },
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
          ...{ id: "maxLength", label: text.maxLength, value: data.maxLength, hint: "" },
          placeholder: String(usualLength(page.modules?.count ?? null)),
          rule: { isWhole: true, minimum: 1, isOptional: true },
        },
        { take: (maxLength) => set({ maxLength }), host: page },
      ),
      packingField(data, set),
    ),
    evaluationFields(page),
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
    switchField(
      { id: "skipBroken", label: text.skipBroken, value: data.skipBroken ?? false },
      (skipBroken) => set({ skipBroken: skipBroken || undefined }),
    ),
  ];
}

function packingField(
  data: TrainingData,
  set: (change: Partial<TrainingData>) => void,
): HTMLElement {
  return selectField(
    {
      ...{ id: "packing", label: text.packing, value: data.packing ?? "none" },
      hint: text.packingHint,
      options: [
        ["none", text.packings.none],
        ["fit", text.packings.fit],
        ["wrap", text.packings.wrap],
      ],
    },
    (packing) => set({ packing: packing === "none" ? undefined : packing }),
  );
}

const taskTypes = {
  causal: "CAUSAL_LM",
  seq2seq: "SEQ_2_SEQ_LM",
  "sequence-classification": "SEQ_CLS",
  "token-classification": "TOKEN_CLS",
  "question-answering": "QUESTION_ANS",
} as const;

/** The task goes into the adapter's config too, where Python PEFT looks for it. */
function taskField(page: TrainPage): HTMLElement {
  const { task = "causal" } = page.draft.data;
  return selectField(
    {
      ...{ id: "task", label: text.task, value: task },
      options: [
        ["causal", text.tasks.causal],
        ["seq2seq", text.tasks.seq2seq],
        ["sequence-classification", text.tasks["sequence-classification"]],
        ["token-classification", text.tasks["token-classification"]],
        ["question-answering", text.tasks["question-answering"]],
      ],
    },
    (next) => {
      // Another task reads its records in other ways.
      const draft = withData(page.draft, { task: next, format: undefined, fields: undefined });
      const { adapter } = draft;
      if (adapter.kind === "continue") return page.change(draft, true);
      const config = { ...adapter.config, task_type: taskTypes[next] };
      page.change({ ...draft, adapter: { kind: "new", config } }, true);
    },
  );
}
