import "./compare.css";
import type {
  CompareContract,
  CompareHostContract,
  CompareState,
} from "../../extension/protocol/picturesContract.ts";
import { element } from "../shared/element.ts";
import { failureOf } from "../shared/failure.ts";
import { keepFocus } from "../shared/focus.ts";
import { connectToHost, loadState, saveState } from "../shared/host.ts";
import { registerToolkit } from "../shared/toolkit.ts";
import { computingLine, modulesSection, overlapSection } from "./grid.ts";
import { headerView, notice } from "./header.ts";
import { type Page, restoreUi } from "./page.ts";
import { configSection, mergeSection, remarksSection, wordsSection } from "./sections.ts";
import { text } from "./strings.ts";

registerToolkit();

const ui = restoreUi(loadState());
let state: CompareState | null = null;
let failure: string | null = null;
let shown = "";
let controller: AbortController | null = null;

const header = element("header");
const sections = element("div", { class: "sections" });
const loading = element(
  "div",
  { class: "loading", attributes: { role: "status" } },
  element("vscode-progress-ring"),
  text.reading,
);
document.body.replaceChildren(element("main", {}, loading, header, sections));

const host = connectToHost<CompareContract, CompareHostContract>({
  update: (next) => {
    show(next);
    return null;
  },
});

const page: Page = {
  ui,
  comparison: null,
  computing: { kind: "none" },
  save: () => saveState(ui),
  choose: (module) => {
    ui.module = module;
    page.save();
    const section = overlapSection(page);
    document.getElementById("overlap")?.replaceWith(section);
    if (module !== null) section.scrollIntoView({ block: "nearest" });
  },
  saveFile: (file) => void attempt(() => host.request("saveFile", file)),
  compute: () => void compute(),
  cancel: () => controller?.abort(),
  act: (action) => void attempt(() => host.request(action, null)),
  inspect: (path) => void attempt(() => host.request("inspect", { path })),
  chooseSide: (side) => void attempt(() => host.request("choose", { side })),
};

function show(next: CompareState): void {
  state = next;
  loading.remove();
  const [a, b] = next.sides;
  ui.pair = [a.path, b.path];
  page.save();
  keepFocus(renderHeader);
  const key = JSON.stringify(next.sides);
  if (key === shown) return;
  const isFirst = shown === "";
  shown = key;
  page.comparison = null;
  keepFocus(renderSections);
  if (isFirst) window.scrollTo({ top: ui.scroll });
  if (a.report && b.report) void compute();
}

function renderHeader(): void {
  if (state) header.replaceChildren(...headerView(state, page, failure));
}

function renderSections(): void {
  if (!state || state.sides.some(({ report }) => report === null)) {
    return sections.replaceChildren();
  }
  const { comparison } = page;
  const made = [
    wordsSection(state, page),
    remarksSection(comparison?.advice ?? []),
    modulesSection(state, page),
    overlapSection(page),
    mergeSection(comparison),
    configSection(state, page),
  ];
  sections.replaceChildren(...made.filter((section) => section !== null));
}

/** Asks for the numbers; what the headers tell is readable all the while. */
async function compute(): Promise<void> {
  controller?.abort();
  const own = new AbortController();
  controller = own;
  const isLatest = (): boolean => controller === own;
  const set = (computing: Page["computing"]): void => {
    page.computing = computing;
    keepFocus(() => document.getElementById("computing")?.replaceWith(computingLine(page)));
  };
  set({ kind: "running", progress: null });
  try {
    const comparison = await host.request("compare", null, {
      signal: own.signal,
      onEvent: (progress) => {
        if (isLatest()) set({ kind: "running", progress });
      },
    });
    if (!isLatest()) return;
    page.comparison = comparison;
    page.computing = { kind: "none" };
    keepFocus(renderSections);
  } catch (thrown) {
    if (!isLatest()) return;
    const { code, message } = failureOf(thrown);
    set(code === "cancelled" ? { kind: "cancelled" } : { kind: "failed", message });
  }
}

async function attempt(work: () => Promise<unknown>): Promise<void> {
  try {
    failure = null;
    await work();
  } catch (thrown) {
    const { code, message } = failureOf(thrown);
    if (code !== "cancelled") failure = message;
  }
  keepFocus(renderHeader);
}

window.addEventListener("scroll", () => {
  ui.scroll = window.scrollY;
  clearTimeout(scrollTimer);
  scrollTimer = setTimeout(page.save, 250);
});
let scrollTimer: ReturnType<typeof setTimeout> | undefined;

void host.request("ready", null).then(show, (thrown: unknown) => {
  loading.replaceWith(notice(text.failed, failureOf(thrown).message));
});
