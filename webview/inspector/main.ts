import "./inspector.css";
import { asGraftError } from "../../extension/core/base/errors.ts";
import {
  type InspectorContract,
  type InspectorHostContract,
  type InspectorState,
} from "../../extension/protocol/webviewContract.ts";
import { element, setAttribute } from "../shared/element.ts";
import { keepFocus } from "../shared/focus.ts";
import { connectToHost, loadState, saveState } from "../shared/host.ts";
import { registerToolkit } from "../shared/toolkit.ts";
import { changesSection } from "./changes.ts";
import { configSection } from "./configSection.ts";
import { filesSection } from "./filesSection.ts";
import { headerView, type InspectorAction, menuContext } from "./header.ts";
import { restoreUi } from "./ui.ts";

registerToolkit();

const ui = restoreUi(loadState());
const save = (): void => saveState(ui);

let state: InspectorState | null = null;
let busy: InspectorAction | null = null;
let failure: string | null = null;
/** The report that the sections below the header show, to leave them alone when it is the same. */
let shownReport = "";

const header = element("header");
const sections = element("div", { class: "sections" });
document.body.replaceChildren(element("main", {}, header, sections));

const host = connectToHost<InspectorContract, InspectorHostContract>({
  update: (next) => {
    show(next);
    return null;
  },
});

function show(next: InspectorState): void {
  state = next;
  if (next.report) ui.path = next.report.summary.path;
  save();
  keepFocus(() => {
    renderHeader();
    renderSections(next);
  });
}

function renderHeader(): void {
  if (!state) return;
  setAttribute(header, "data-vscode-context", menuContext(state) ?? null);
  header.replaceChildren(
    ...headerView(state, { busy, failure, run: (action) => void run(action) }),
  );
}

function renderSections({ report }: InspectorState): void {
  const key = JSON.stringify(report);
  if (key === shownReport) return;
  const isFirst = shownReport === "";
  shownReport = key;
  const scroll = isFirst ? ui.scroll : window.scrollY;
  sections.replaceChildren(
    ...(report
      ? [
          changesSection(report, ui, save),
          configSection(report.config, ui, save),
          filesSection(report, ui, save),
        ]
      : []),
  );
  if (report) window.scrollTo({ top: scroll });
}

async function run(action: InspectorAction): Promise<void> {
  busy = action;
  failure = null;
  keepFocus(renderHeader);
  try {
    await host.request(action, null);
  } catch (thrown) {
    const error = asGraftError(thrown);
    if (error.code !== "cancelled") failure = error.message;
  }
  busy = null;
  keepFocus(renderHeader);
}

window.addEventListener("scroll", () => {
  ui.scroll = window.scrollY;
  clearTimeout(scrollTimer);
  scrollTimer = setTimeout(save, 250);
});
let scrollTimer: ReturnType<typeof setTimeout> | undefined;

void host.request("ready", null).then(show, (thrown: unknown) => {
  show({
    report: null,
    problem: asGraftError(thrown).message,
    host: { engine: "failed", base: null, adapters: [], active: [] },
  });
});
