import "./inspector.css";
import type { PageFile } from "../../extension/protocol/picturesContract.ts";
import {
  type InspectorContract,
  type InspectorHostContract,
  type InspectorState,
} from "../../extension/protocol/webviewContract.ts";
import { element, setAttribute } from "../shared/element.ts";
import { failureOf } from "../shared/failure.ts";
import { keepFocus } from "../shared/focus.ts";
import { connectToHost, loadState, saveState } from "../shared/host.ts";
import { registerToolkit } from "../shared/toolkit.ts";
import { changesSection, computingLine } from "./changes.ts";
import { configSection } from "./configSection.ts";
import { costSection } from "./costSection.ts";
import { filesSection } from "./filesSection.ts";
import { headerView, type InspectorAction, menuContext } from "./header.ts";
import { AdapterNumbers } from "./numbers.ts";
import { type Page } from "./page.ts";
import { remarksSection } from "./remarks.ts";
import { spectrumSection } from "./spectrum.ts";
import { tokensSection } from "./tokensSection.ts";
import { restoreUi } from "./ui.ts";
import { wordsSection } from "./wordsSection.ts";

registerToolkit();

const ui = restoreUi(loadState());
const save = (): void => saveState(ui);

let state: InspectorState | null = null;
let busy: InspectorAction | null = null;
let failure: string | null = null;
/** The report that the sections below the header show, to leave them alone when it is the same. */
let shownReport = "";

const header = element("header");
/** Everything that numbers change; below it stands what the files' headers tell. */
const telling = element("div", { class: "sections" });
const reading = element("div", { class: "sections" });
document.body.replaceChildren(element("main", {}, header, telling, reading));

const host = connectToHost<InspectorContract, InspectorHostContract>({
  update: (next) => {
    show(next);
    return null;
  },
});

const numbers = new AdapterNumbers(
  {
    analyze: (work) => host.request("analyze", null, work),
    measureModule: (module, work) => host.request("measureModule", { module }, work),
    findIntruders: (work) => host.request("findIntruders", null, work),
  },
  (what) => {
    if (what === "numbers") keepFocus(renderTelling);
    else keepFocus(renderComputing);
  },
);

/** What is being computed; meanwhile nothing offers to compute it. */
function renderComputing(): void {
  document.getElementById("computing")?.replaceWith(computingLine(numbers));
  const offer = document.getElementById("intruder-line");
  if (offer) offer.hidden = numbers.computing.kind === "running";
}

const page: Page = {
  ui,
  numbers,
  save,
  choose: (module, from) => {
    ui.module = module;
    save();
    const { report } = state ?? {};
    if (!report) return;
    keepFocus(() => {
      if (from === "map") {
        document.getElementById("spectrum")?.replaceWith(spectrumSection(report, page));
      } else renderTelling();
    });
    if (module !== null) showSpectrum();
  },
  saveFile: (file: PageFile) => void attempt(() => host.request("saveFile", file)),
  act: (action, { rank = 0, file = "" }) =>
    void attempt(() => {
      if (action === "resize") return host.request("resize", { rank });
      if (action === "openTensors") return host.request("openTensors", { file });
      return host.request("reduceIntruders", null);
    }),
};

function show(next: InspectorState): void {
  state = next;
  if (next.report) ui.path = next.report.summary.path;
  save();
  keepFocus(renderHeader);
  const key = JSON.stringify(next.report);
  if (key === shownReport) return;
  const isFirst = shownReport === "";
  shownReport = key;
  const scroll = isFirst ? ui.scroll : window.scrollY;
  keepFocus(() => {
    renderTelling();
    renderReading();
  });
  if (!next.report) return;
  window.scrollTo({ top: scroll });
  if (next.report.summary.problem === undefined) void numbers.refresh();
}

function renderHeader(): void {
  if (!state) return;
  setAttribute(header, "data-vscode-context", menuContext(state) ?? null);
  header.replaceChildren(
    ...headerView(state, { busy, failure, run: (action) => void run(action) }),
  );
}

function renderTelling(): void {
  const report = state?.report;
  if (!report) return telling.replaceChildren();
  const { analysis } = numbers;
  const { name } = report.summary;
  const tokens = analysis?.virtualTokens;
  telling.replaceChildren(
    wordsSection(report, page),
    ...[
      remarksSection(analysis?.advice ?? [], page),
      tokens ? tokensSection(tokens, page, name) : changesSection(report, page),
      spectrumSection(report, page),
      analysis && costSection(analysis.cost, page, name),
    ].filter((section) => section !== null),
  );
}

function renderReading(): void {
  const report = state?.report;
  reading.replaceChildren(
    ...(report ? [configSection(report, page), filesSection(report, page)] : []),
  );
}

/** Brings what was asked for into view, no further than it must. */
function showSpectrum(): void {
  // A figure has its height once it is laid out.
  requestAnimationFrame(() =>
    document.getElementById("spectrum")?.scrollIntoView({ block: "nearest" }),
  );
}

async function run(action: InspectorAction): Promise<void> {
  busy = action;
  failure = null;
  keepFocus(renderHeader);
  await attempt(() => host.request(action, null));
  busy = null;
  keepFocus(renderHeader);
}

/** What fails is said at the top of the page; what the user has left is not. */
async function attempt(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (thrown) {
    const { code, message } = failureOf(thrown);
    if (code === "cancelled") return;
    failure = message;
    keepFocus(renderHeader);
  }
}

window.addEventListener("scroll", () => {
  ui.scroll = window.scrollY;
  clearTimeout(scrollTimer);
  scrollTimer = setTimeout(save, 250);
});
let scrollTimer: ReturnType<typeof setTimeout> | undefined;

void host.request("ready", null).then(show, (thrown: unknown) => {
  show({
    name: "",
    report: null,
    problem: failureOf(thrown).message,
    host: { engine: "failed", base: null, adapters: [], active: [] },
  });
});
