import "./run.css";
import type {
  RunPageContract,
  RunPageHostContract,
  RunPageState,
  ShownRun,
} from "../../extension/protocol/runPageContract.ts";
import { element } from "../shared/element.ts";
import { keepFocus } from "../shared/focus.ts";
import { connectToHost, loadState, saveState } from "../shared/host.ts";
import { registerToolkit } from "../shared/toolkit.ts";
import { type Curves, type CurvesPage, curvesView } from "./curves.ts";
import { buttonsView, headerView, type RunAction } from "./header.ts";
import {
  checkpointsSection,
  dataSection,
  metricsSection,
  samplesSection,
  settingsSection,
} from "./sections.ts";
import { append } from "./series.ts";
import { text } from "./strings.ts";

registerToolkit();

const saved = (loadState() ?? {}) as { tables?: unknown };
const tables = Array.isArray(saved.tables)
  ? saved.tables.filter((id) => typeof id === "string")
  : [];
let sampleStep: number | null = null;
let state: RunPageState = { runs: [], others: [], problem: null };
let curves: Curves | undefined;
let drawing = 0;
/** What buttons and sections were drawn for: steps alone leave them, so that they can be clicked. */
let drawnFor = { buttons: "", sections: "" };

const head = element("div");
const buttons = element("div", { class: "actions" });
const middle = element("div");
const rest = element("div", { class: "sections" });
const main = element("main", {}, head, buttons, middle, rest);
document.body.replaceChildren(main);
head.append(element("p", { class: "loading" }, text.reading));

const host = connectToHost<RunPageContract, RunPageHostContract>({
  update: (next) => {
    show(next);
    return null;
  },
  append: (more) => {
    state = { ...state, runs: append(state.runs, more) };
    draw();
    return null;
  },
});

const page: CurvesPage = {
  get state() {
    return state;
  },
  tables,
  setTable: (id, isTable) => {
    page.tables = isTable ? [...page.tables, id] : page.tables.filter((each) => each !== id);
    save();
  },
  saveFile: (file) => void host.request("saveFile", file).catch(() => undefined),
  compareWith: (folder, isShown) =>
    void host.request("compareWith", { folder, isShown }).catch(() => undefined),
};

const act = (action: RunAction): void => void host.request(action, null).catch(() => undefined);
const inspect = (path: string): void =>
  void host.request("inspect", { path }).catch(() => undefined);

function newestAdapter(): string | null {
  return state.runs[0]?.summary.adapter ?? null;
}

/** The host's panel serializer reads the folders after a reload of the window. */
function save(): void {
  const folders = state.runs.map(({ summary }) => summary.folder);
  saveState({ folders, tables: page.tables });
}

function show(next: RunPageState): void {
  state = next;
  save();
  draw();
}

/** A run of small steps reports faster than anybody reads: at most one picture a frame. */
function draw(): void {
  if (drawing !== 0) return;
  drawing = requestAnimationFrame(() => {
    drawing = 0;
    render();
  });
}

function render(): void {
  const [run] = state.runs;
  if (state.problem !== null || !run) {
    const problem = element("p", { attributes: { role: "alert" } }, state.problem ?? "");
    head.replaceChildren(element("h1", {}, text.noRun), problem);
    buttons.replaceChildren();
    middle.replaceChildren();
    rest.replaceChildren();
    curves = undefined;
    drawnFor = { buttons: "", sections: "" };
    return;
  }
  keepFocus(() => {
    head.replaceChildren(headerView(run));
    const { state: runState, adapter, process } = run.summary;
    // Not which adapter: a button that a new checkpoint replaced under the pointer would lose its click.
    const actions = JSON.stringify([runState, adapter !== null, process !== null]);
    if (actions !== drawnFor.buttons)
      buttons.replaceChildren(buttonsView(run, act, () => inspect(newestAdapter() ?? "")));
    if (curves) curves.update();
    else middle.replaceChildren((curves = curvesView(page)).root);
    const told = run.events.filter(({ kind }) => kind !== "step" && kind !== "progress").length;
    const sections = JSON.stringify([run.summary.folder, told, sampleStep]);
    if (sections !== drawnFor.sections) drawSections(run);
    drawnFor = { buttons: actions, sections };
  });
}

function drawSections(run: ShownRun): void {
  const isOpen = rest.querySelector("details")?.open === true;
  const choose = (step: number | null): void => {
    sampleStep = step;
    draw();
  };
  const sections = [
    samplesSection(run, { step: sampleStep, choose }),
    metricsSection(run),
    checkpointsSection(run, inspect),
    dataSection(run),
    settingsSection(run),
  ];
  rest.replaceChildren(...sections.filter((each) => each !== null));
  const details = rest.querySelector("details");
  if (details) details.open = isOpen;
}

void host.request("ready", null).then(show, (thrown: Error) => {
  show({ runs: [], others: [], problem: thrown.message });
});
