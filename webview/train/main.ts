import "./train.css";
import type {
  BaseModules,
  TrainPageContract,
  TrainPageHostContract,
  TrainPageState,
} from "../../extension/protocol/trainPageContract.ts";
import type { RunConfig } from "../../extension/protocol/trainingContract.ts";
import { element, setAttribute } from "../shared/element.ts";
import { keepFocus } from "../shared/focus.ts";
import { connectToHost, loadState, saveState } from "../shared/host.ts";
import { registerToolkit } from "../shared/toolkit.ts";
import { dataSection } from "./dataSection.ts";
import { missing, type Problems, withData } from "./draft.ts";
import { type EstimateState, footerView } from "./footer.ts";
import { field } from "./fields.ts";
import { baseField, methodSection } from "./methodSection.ts";
import type { TrainPage } from "./page.ts";
import { type PreviewState, previewView } from "./previewView.ts";
import { settingsSection } from "./settingsSection.ts";
import { text } from "./strings.ts";

registerToolkit();

/** Typing is over when nothing was typed for this long, in milliseconds. */
const quiet = 400;

const saved = (loadState() ?? {}) as { draft?: RunConfig; open?: unknown };
const open = new Set(
  Array.isArray(saved.open) ? saved.open.filter((id) => typeof id === "string") : [],
);
const typedProblems = new Map<string, string>();
let state: TrainPageState;
let modules: BaseModules | null = null;
let preview: PreviewState = { kind: "none" };
let estimate: EstimateState = { kind: "none" };
/** What is missing is said once the user has tried to go on. */
let isTried = false;
let startProblem: string | null = null;
let reading: AbortController | undefined;
let estimating: AbortController | undefined;
let timer = 0;

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
  pickFiles: () => void host.request("pickFiles", null).then(addFiles, failed),
  drop: (uris) => void host.request("droppedFiles", { uris }).then(addFiles, failed),
} satisfies TrainPage;

function addFiles(files: string[] | null): void {
  if (files === null || files.length === 0) return;
  const all = [...new Set([...page.draft.data.files, ...files])];
  page.change(withData(page.draft, { files: all }), true);
}

function failed(thrown: unknown): void {
  startProblem = thrown instanceof Error ? thrown.message : String(thrown);
  drawFooter();
}

/** The host's panel serializer reads the draft after a reload of the window. */
function save(): void {
  saveState({ draft: page.draft, open: [...open] });
}

const waiting = new Set<() => Promise<void>>();

/** Asks the host once typing is over. */
function later(read: () => Promise<void>): void {
  waiting.add(read);
  clearTimeout(timer);
  timer = window.setTimeout(() => {
    const now = [...waiting];
    waiting.clear();
    for (const each of now) void each();
  }, quiet);
}

async function readBase(): Promise<void> {
  const { base, adapter } = page.draft;
  if (base === "") return;
  const config = adapter.kind === "new" ? adapter.config : {};
  const found = await host.request("describeBase", { base, config }).catch((thrown: Error) => ({
    names: [],
    chosen: null,
    problem: { message: thrown.message, field: "base" },
  }));
  if (page.draft.base !== base || page.draft.adapter !== adapter) return;
  // Other names are other boxes; else only the count is another.
  const isOther = JSON.stringify(found.names) !== JSON.stringify(modules?.names);
  modules = found;
  if (isOther) draw();
  else drawProblems();
}

async function readData(): Promise<void> {
  reading?.abort();
  const { base, data } = page.draft;
  if (base === "" || data.files.length === 0) return drawPreview({ kind: "none" });
  const controller = new AbortController();
  reading = controller;
  drawPreview({ kind: "reading" });
  const { signal } = controller;
  const next = await host.request("preview", { base, data }, { signal }).then(
    (found): PreviewState => ({ kind: "shown", preview: found }),
    (thrown: Error): PreviewState => ({ kind: "failed", message: thrown.message }),
  );
  if (!signal.aborted) drawPreview(next);
}

function problems(): Problems {
  const named = modules?.problem;
  const isNew = page.draft.adapter.kind === "new";
  return {
    ...(isTried ? missing(page.draft) : {}),
    ...(named && (isNew || named.field === "base") && { [placeOf(named.field)]: named.message }),
    ...(modules?.chosen === 0 && isNew && { target_modules: text.noTargets }),
    ...Object.fromEntries(typedProblems),
  };
}

/** Where a field's problem is said; what is of no field, or of none that is seen, at the method. */
function placeOf(name: string | null): string {
  const found = [name ?? "", `field-${name ?? ""}`].find((id) =>
    document.getElementById(`problem-${id}`),
  );
  return found ?? "method";
}

function drawProblems(): void {
  const found = problems();
  for (const line of main.querySelectorAll<HTMLElement>('[id^="problem-"]')) {
    const id = line.id.slice("problem-".length);
    const said = found[id] ?? "";
    if (line.textContent !== said) line.textContent = said;
    const widget = document.getElementById(id);
    if (widget?.matches("input, select, textarea"))
      setAttribute(widget, "aria-invalid", said === "" ? null : "true");
  }
  const count = document.getElementById("target-count");
  if (count) count.textContent = modules?.chosen ? text.targetCount(modules.chosen) : "";
}

function drawPreview(next: PreviewState): void {
  preview = next;
  const openFile = (file: string, line: number): void =>
    void host.request("openFile", { file, line }).catch(failed);
  previewBox.replaceChildren(...previewView(preview, openFile));
}

function drawFooter(): void {
  const on = { estimate: () => void measure(), start: () => void start() };
  keepFocus(() => footer.replaceChildren(...footerView(estimate, startProblem, on)));
}

/** Whether a config can be sent; else the first field that is wrong has the focus. */
function check(): boolean {
  isTried = true;
  drawProblems();
  const wrong = main.querySelector<HTMLElement>('[id^="problem-"]:not(:empty)');
  if (!wrong) return true;
  const widget = document.getElementById(wrong.id.slice("problem-".length));
  for (let at = wrong.closest("details"); at; at = at.parentElement?.closest("details") ?? null)
    at.open = true;
  (widget ?? wrong).focus();
  wrong.scrollIntoView({ block: "center" });
  return false;
}

async function measure(): Promise<void> {
  if (!check()) return;
  const config = page.draft;
  const controller = new AbortController();
  estimating = controller;
  estimate = { kind: "measuring", step: text.estimating };
  drawFooter();
  const { signal } = controller;
  const onEvent = ({ step }: { step: string }): void => {
    if (signal.aborted) return;
    estimate = { kind: "measuring", step };
    drawFooter();
  };
  const next = await host.request("estimate", { config }, { signal, onEvent }).then(
    (found): EstimateState => ({ kind: "measured", estimate: found }),
    (thrown: Error): EstimateState => ({ kind: "failed", message: thrown.message }),
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
  const { draft } = page;
  const isNew = draft.adapter.kind === "new";
  const name = element("input", {
    attributes: {
      id: "name",
      type: "text",
      value: draft.name,
      "aria-describedby": "hint-name problem-name",
    },
    on: { input: () => page.change({ ...page.draft, name: name.value }) },
  });
  const named = { id: "name", label: text.name, hint: text.nameHint(state.place) };
  keepFocus(() =>
    form.replaceChildren(
      element(
        "header",
        {},
        element("h1", {}, isNew ? text.title : text.continueTitle),
        element("div", { class: "fields" }, field(named, name), baseField(page)),
      ),
      methodSection(page),
      dataSection(page, previewBox),
      settingsSection(page),
      footer,
    ),
  );
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
