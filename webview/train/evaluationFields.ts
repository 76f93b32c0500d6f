import type { TrainingData } from "../../extension/protocol/trainingContract.ts";
import { choice } from "../shared/choice.ts";
import { element } from "../shared/element.ts";
import { type EvaluationKind, evaluationKind, withData } from "./draft.ts";
import { numberField } from "./fields.ts";
import { filesField } from "./filesField.ts";
import type { TrainPage } from "./page.ts";
import { text } from "./strings.ts";

const usualShare = 0.05;

/** A part of the texts, files of their own, or nothing. */
export function evaluationFields(page: TrainPage): HTMLElement {
  const { data } = page.draft;
  const kind = evaluationKind(data);
  const set = (change: Partial<TrainingData>, redraws = false): void =>
    page.change(withData(page.draft, change), redraws);
  const none = { evaluationFiles: undefined, evaluationShare: undefined };
  const changes: Record<EvaluationKind, Partial<TrainingData>> = {
    none,
    share: { ...none, evaluationShare: usualShare },
    files: { ...none, evaluationFiles: [] },
  };
  return element(
    "div",
    { class: "group" },
    choice<EvaluationKind>({
      ...{ id: "evaluation", label: text.evaluationOn, value: kind },
      items: [
        { value: "share", label: text.evaluationKinds.share },
        { value: "files", label: text.evaluationKinds.files },
        { value: "none", label: text.evaluationKinds.none },
      ],
      onChange: (next) => set(changes[next], true),
    }),
    kind === "share" && element("div", { class: "fields" }, shareField(page, set)),
    kind === "files" && filesField(page, "evaluationFiles", text.evaluationFiles),
  );
}

function shareField(page: TrainPage, set: (change: Partial<TrainingData>) => void): HTMLElement {
  const percent = (page.draft.data.evaluationShare ?? 0) * 100;
  return numberField(
    {
      ...{ id: "evaluationShare", label: text.evaluationShare, hint: text.evaluationHint },
      value: Number(percent.toPrecision(6)),
      rule: { minimum: 0, isAbove: true, maximum: 90 },
    },
    { take: (next) => set({ evaluationShare: (next ?? 0) / 100 }), host: page },
  );
}
