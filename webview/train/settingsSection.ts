import type { TrainingSettings } from "../../extension/protocol/trainingContract.ts";
import { element } from "../shared/element.ts";
import { type NumberRule, promptsOf, withSetting } from "./draft.ts";
import { details, field, numberField, section, selectField, switchField } from "./fields.ts";
import type { TrainPage } from "./page.ts";
import { text } from "./strings.ts";

type NumberKey = {
  [K in keyof Required<TrainingSettings>]: Required<TrainingSettings>[K] extends number ? K : never;
}[keyof TrainingSettings];

interface NumberSetting {
  key: NumberKey;
  label: string;
  rule: NumberRule;
  hint?: string;
}

const whole = { isWhole: true, minimum: 1 } as const;
const count = { isWhole: true, minimum: 0 } as const;

const common: readonly NumberSetting[] = [
  { key: "epochs", label: text.epochs, rule: { minimum: 0, isAbove: true } },
  {
    ...{ key: "maxSteps", label: text.maxSteps, rule: { ...whole, isOptional: true } },
    hint: text.stepsWin,
  },
  { key: "batchSize", label: text.batchSize, rule: whole, hint: text.batchHint },
  { key: "learningRate", label: text.learningRate, rule: { minimum: 0, isAbove: true }, hint: "" },
];

const others: readonly NumberSetting[] = [
  { key: "gradientAccumulation", label: text.gradientAccumulation, rule: whole },
  { key: "warmupSteps", label: text.warmupSteps, rule: count },
  { key: "weightDecay", label: text.weightDecay, rule: { minimum: 0 } },
  {
    ...{ key: "maxGradientNorm", label: text.maxGradientNorm, rule: { minimum: 0 } },
    hint: text.zeroNoClip,
  },
  {
    ...{ key: "loraPlusRatio", label: text.loraPlusRatio },
    rule: { minimum: 0, isAbove: true, isOptional: true },
  },
  { key: "seed", label: text.seed, rule: count },
  { key: "evaluateEvery", label: text.evaluateEvery, rule: count, hint: text.zeroNever },
  { key: "saveEvery", label: text.saveEvery, rule: count, hint: text.zeroNever },
  { key: "keepCheckpoints", label: text.keepCheckpoints, rule: count, hint: text.zeroAll },
  { key: "earlyStopping", label: text.earlyStopping, rule: count, hint: text.zeroNever },
  {
    ...{ key: "earlyStoppingThreshold", label: text.earlyStoppingThreshold },
    rule: { minimum: 0, isOptional: true },
  },
];

/** Yes or no, and what is meant where a run's config does not say. */
const switches = [
  { key: "loadBest", usual: false },
  { key: "gradientCheckpointing", usual: false },
  { key: "groupByLength", usual: false },
  { key: "baseDropout", usual: true, hint: text.baseDropoutHint },
] as const;

/** How it is trained: what most runs set, then the rest. */
export function settingsSection(page: TrainPage): HTMLElement {
  const { settings } = page.draft;
  const number = ({ key, label, rule, hint }: NumberSetting): HTMLElement =>
    numberField(
      { id: key, label, rule, value: settings[key], ...(hint !== undefined && { hint }) },
      { take: (value) => page.change(withSetting(page.draft, key, value)), host: page },
    );
  return section(
    "settings",
    text.settings,
    element("div", { class: "fields" }, ...common.map(number)),
    details(
      {
        ...{ id: "all-settings", summary: text.moreSettings, isOpen: page.isOpen("all-settings") },
        toggle: (isOpen) => page.setOpen("all-settings", isOpen),
      },
      scheduleField(page),
      optimizerField(page),
      precisionField(page),
      ...others.map(number),
      ...switches.map(({ key, usual, ...hinted }) =>
        switchField(
          { id: key, label: text[key], value: settings[key] ?? usual, ...hinted },
          (value) => page.change(withSetting(page.draft, key, value)),
        ),
      ),
    ),
    promptsField(page),
  );
}

function scheduleField(page: TrainPage): HTMLElement {
  const { schedules } = text;
  return selectField(
    {
      ...{ id: "schedule", label: text.schedule, value: page.draft.settings.schedule },
      options: [
        ["linear", schedules.linear],
        ["cosine", schedules.cosine],
        ["constant", schedules.constant],
        ["constant_with_warmup", schedules.constant_with_warmup],
      ],
    },
    (schedule) => page.change(withSetting(page.draft, "schedule", schedule)),
  );
}

function optimizerField(page: TrainPage): HTMLElement {
  return selectField(
    {
      ...{ id: "optimizer", label: text.optimizer, value: page.draft.settings.optimizer },
      options: [
        ["adamw", "AdamW"],
        ["sgd", "SGD"],
      ],
    },
    (optimizer) => page.change(withSetting(page.draft, "optimizer", optimizer)),
  );
}

/** What the frozen base is kept in: less memory for a base that is not trained itself. */
function precisionField(page: TrainPage): HTMLElement {
  const kinds = ["fp32", "bf16", "int8", "int4", "nf4"].map((each) => [each, each] as const);
  return selectField(
    {
      ...{ id: "dtype", label: text.precision, value: page.draft.dtype ?? "" },
      options: [["", text.asStored], ...kinds],
    },
    (dtype) => {
      const { dtype: _before, ...others } = page.draft;
      page.change(dtype === "" ? others : { ...others, dtype });
    },
  );
}

function promptsField(page: TrainPage): HTMLElement {
  const area = element("textarea", {
    attributes: { id: "prompts", rows: 3, "aria-describedby": "hint-prompts" },
    on: { input: () => page.change({ ...page.draft, samplePrompts: promptsOf(area.value) }) },
  });
  area.value = page.draft.samplePrompts.join("\n");
  const labelled = { id: "prompts", label: text.prompts, hint: text.promptsHint };
  const made = field(labelled, area);
  made.classList.add("wide");
  return made;
}
