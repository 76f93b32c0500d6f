import "./train.css";
import type {
  BaseModules,
  TrainPageContract,
  TrainPageHostContract,
  TrainPageState,
} from "../../extension/protocol/trainPageContract.ts";
import type { DataColumns, RunConfig } from "../../extension/protocol/trainingContract.ts";
import type { Progress } from "../shared/computing.ts";
import { failureOf } from "../shared/failure.ts";
import { element } from "../shared/element.ts";
import { keepFocus } from "../shared/focus.ts";
import { connectToHost, loadState, saveState } from "../shared/host.ts";
import { registerToolkit } from "../shared/toolkit.ts";
import { conflicts, missing, type Problems, withData } from "./draft.ts";
import { type EstimateState, footerView } from "./footer.ts";
import { formView } from "./formView.ts";
import {
  lengthHint,
  memoryAdvice,
  previewProblems,
  type PreviewState,
  rateHint,
  trainableLine,
} from "./hints.ts";
import { later } from "./later.ts";
import { markProblems, placeOf, sayHints, visitProblem } from "./marks.ts";
import type { FileList, TrainPage } from "./page.ts";
import { type PreviewActions, previewView } from "./previewView.ts";
import { text } from "./strings.ts";

registerToolkit();

const saved = (loadState() ?? {}) as { draft?: RunConfig; open?: unknown };
const open = new Set(
  Array.isArray(saved.open) ? saved.open.filter((id) => typeof id === "string") : [],
);
const typedProblems = new Map<string, string>();
let state: TrainPageState;
let modules: BaseModules | null = null;
let columns: DataColumns | null = null;
let preview: PreviewState = { kind: "none" };
let estimate: EstimateState = { kind: "none" };
/** What is missing is said once the user has tried to go on. */
let isTried = false;
let startProblem: string | null = null;
let reading: AbortController | undefined;
let estimating: AbortController | undefined;

const previewBox = element("div", { class: "preview", attributes: { id: "preview" } });
const footer = element("footer", { class: "footer" });
const form = element("div", { class: "sections" });
const main = element("main", {}, form);
document.body.replaceChildren(main);
form.append(element("p", { class: "loading" }, text.reading));

const host = connectToHost<TrainPageContract, TrainPageHostContract>({
  bases: ({ bases }) => {
    if (!page.draft) return null;
    state = { ...state, bases };
    draw();
    return null;
  },
});

const page = {
  get state() {
    return state;
  },
  get modules() {
    return modules;
  },
  get columns() {
    return columns;
  },
  get preview() {
    return preview.kind === "shown" ? preview.preview : null;
  },
  draft: undefined as unknown as RunConfig,
  change(draft, redraws = false) {
    const before = page.draft;
    page.draft = draft;
    startProblem = null;
    estimating?.abort();
    estimate = { kind: "none" };
    save();
    if (redraws) draw();
    else drawProblems();
    drawFooter();
    if (before.base !== draft.base || before.adapter !== draft.adapter) later(readBase);
    if (before.base !== draft.base || before.data !== draft.data) later(readData);
    if (before.data.files !== draft.data.files) later(readColumns);
  },
  typed(id, problem) {
    if (problem === null) typedProblems.delete(id);
    else typedProblems.set(id, problem);
    drawProblems();
  },
  isOpen: (id) => open.has(id),
  setOpen(id, isOpen) {
    if (isOpen) open.add(id);
    else open.delete(id);
    save();
  },
  browseBase: () =>
    void host.request("browseBase", null).then((base) => {
      if (base !== null) page.change({ ...page.draft, base }, true);
    }, failed),
  pickFiles: (list) =>
    void host.request("pickFiles", null).then((files) => addFiles(list, files), failed),
  drop: (list, uris) =>
    void host.request("droppedFiles", { uris }).then((files) => addFiles(list, files), failed),
} satisfies TrainPage;

function addFiles(list: FileList, files: string[] | null): void {
  if (files === null || files.length === 0) return;
  const all = [...new Set([...(page.draft.data[list] ?? []), ...files])];
  page.change(withData(page.draft, { [list]: all }), true);
}

function failed(thrown: unknown): void {
  startProblem = thrown instanceof Error ? thrown.message : String(thrown);
  drawFooter();
}

/** The host's panel serializer reads the draft after a reload of the window. */
function save(): void {
  saveState({ draft: page.draft, open: [...open] });
}

async function readBase(): Promise<void> {
  const { base, adapter } = page.draft;
  if (base === "") return;
  const found = await host.request("describeBase", { base, adapter }).catch((thrown: Error) => ({
    ...{ names: [], divisor: null, chosen: null, count: null },
    problem: { message: thrown.message, field: "base" },
  }));
  if (page.draft.base !== base || page.draft.adapter !== adapter) return;
  // Other names are other boxes; else only the counts are others.
  const isOther = JSON.stringify(found.names) !== JSON.stringify(modules?.names);
  modules = found;
  if (isOther) draw();
  else drawProblems();
}

async function readColumns(): Promise<void> {
  const { files } = page.draft.data;
  // What keeps a file from being read is said by the preview.
  const found =
    files.length === 0 ? null : await host.request("describeData", { files }).catch(() => null);
  if (page.draft.data.files !== files) return;
  const isOther = JSON.stringify(found) !== JSON.stringify(columns);
  columns = found;
  if (isOther) draw();
}

async function readData(): Promise<void> {
  reading?.abort();
  const { base, data } = page.draft;
  if (base === "" || data.files.length === 0) return showPreview({ kind: "none" });
  const controller = new AbortController();
  reading = controller;
  drawPreview({ kind: "reading" });
  const { signal } = controller;
  const next = await host.request("preview", { base, data }, { signal }).then(
    (found): PreviewState => ({ kind: "shown", preview: found }),
    (thrown: Error): PreviewState => ({ kind: "failed", message: thrown.message }),
  );
  if (!signal.aborted) showPreview(next);
}

/** Fields that were found in other places are drawn anew; what is typed stays. */
function showPreview(next: PreviewState): void {
  const before = JSON.stringify([page.preview?.format, page.preview?.fields]);
  drawPreview(next);
  const isOther = before !== JSON.stringify([page.preview?.format, page.preview?.fields]);
  if (isOther && typedProblems.size === 0) draw();
  else drawProblems();
}

function problems(): Problems {
  const named = modules?.problem;
  const isNew = page.draft.adapter.kind === "new";
  return {
    ...previewProblems(preview, page.draft.data.skipBroken ?? false),
    ...(isTried ? missing(page.draft) : {}),
    ...conflicts(page.draft),
    ...(named && (isNew || named.field === "base") && { [placeOf(named.field)]: named.message }),
    ...(modules?.chosen === 0 && isNew && { target_modules: text.noTargets }),
    ...Object.fromEntries(typedProblems),
  };
}

function drawProblems(): void {
  markProblems(main, problems());
  const count = modules?.count ?? null;
  sayHints({
    "target-count": modules?.chosen ? text.targetCount(modules.chosen) : "",
    trainable: count ? trainableLine(count) : "",
    "hint-maxLength": lengthHint(page.preview, count),
    "hint-learningRate": rateHint(page.draft, count),
  });
}

function drawPreview(next: PreviewState): void {
  preview = next;
  const isLeftOut = page.draft.data.skipBroken === true;
  const leaveOut = (): void => page.change(withData(page.draft, { skipBroken: true }), true);
  const actions: PreviewActions = {
    openFile: (file, line) => void host.request("openFile", { file, line }).catch(failed),
    leaveOut: isLeftOut ? null : leaveOut,
  };
  previewBox.replaceChildren(...previewView(preview, actions));
}

function drawFooter(): void {
  const on = {
    estimate: () => void measure(),
    cancel: () => {
      estimating?.abort();
      estimate = { kind: "none" };
      drawFooter();
    },
    start: () => void start(),
    exportJob: () => {
      if (check()) void host.request("exportJob", { config: page.draft }).catch(failed);
    },
    advice: memoryAdvice(page.draft).map(({ apply, ...each }) => ({
      ...each,
      take: () => page.change(apply(page.draft), true),
    })),
  };
  keepFocus(() => footer.replaceChildren(...footerView(estimate, startProblem, on)));
}

/** Whether a config can be sent; else the first field that is wrong has the focus. */
function check(): boolean {
  isTried = true;
  drawProblems();
  return visitProblem(main);
}

async function measure(): Promise<void> {
  if (!check()) return;
  const config = page.draft;
  const controller = new AbortController();
  estimating = controller;
  estimate = { kind: "measuring", progress: null };
  drawFooter();
  const { signal } = controller;
  const onEvent = (progress: Progress): void => {
    if (signal.aborted) return;
    estimate = { kind: "measuring", progress };
    drawFooter();
  };
  const next = await host.request("estimate", { config }, { signal, onEvent }).then(
    (found): EstimateState => ({ kind: "measured", estimate: found }),
    (thrown: unknown): EstimateState => {
      const { code, message } = failureOf(thrown);
      return { kind: "failed", message, isTooLarge: code === "no-memory" };
    },
  );
  if (signal.aborted) return;
  estimate = next;
  drawFooter();
}

async function start(): Promise<void> {
  if (estimate.kind === "starting" || !check()) return;
  estimating?.abort();
  const before = estimate;
  estimate = { kind: "starting" };
  startProblem = null;
  drawFooter();
  try {
    await host.request("start", { config: page.draft });
  } catch (thrown) {
    estimate = before.kind === "measured" ? before : { kind: "none" };
    failed(thrown);
  }
}

function draw(): void {
  // Fields are made anew, with values that are.
  typedProblems.clear();
  keepFocus(() => form.replaceChildren(...formView(page, { preview: previewBox, footer })));
  drawProblems();
}

void host.request("ready", { draft: saved.draft ?? null }).then(
  (ready) => {
    state = ready;
    page.draft = ready.draft;
    save();
    draw();
    drawPreview(preview);
    drawFooter();
    void readBase();
    void readData();
    void readColumns();
  },
  (thrown: Error) => {
    const problem = element(
      "p",
      { class: "problem", attributes: { role: "alert" } },
      thrown.message,
    );
    form.replaceChildren(element("h1", {}, text.notThere), problem);
  },
);
