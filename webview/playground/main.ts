import "./playground.css";
import type {
  ColumnAdapter,
  PlaygroundContract,
  PlaygroundHostContract,
  PlaygroundState,
} from "../../extension/protocol/playgroundContract.ts";
import { element } from "../shared/element.ts";
import { keepFocus } from "../shared/focus.ts";
import { connectToHost, loadState, saveState } from "../shared/host.ts";
import { registerToolkit } from "../shared/toolkit.ts";
import { columnName } from "./columnHead.ts";
import { createComposer } from "./composer.ts";
import { type Change, changed, type Conversation, savedOf } from "./conversation.ts";
import type { Page } from "./page.ts";
import { button } from "./parts.ts";
import { showRawPrompt } from "./rawPrompt.ts";
import { freshColumnId, newId, restore } from "./restore.ts";
import { Runner } from "./run.ts";
import { schemaProblem } from "./settings.ts";
import { settingsPanel, systemField } from "./settingsPanel.ts";
import { createStage } from "./stage.ts";
import { text } from "./strings.ts";
import { bar } from "./toolbar.ts";

registerToolkit();

const saved = loadState();
let conversation = restore(saved);
let state: PlaygroundState = {
  host: { engine: "stopped", base: null, adapters: [], active: [] },
  available: [],
  presets: [],
};
let saving: ReturnType<typeof setTimeout> | undefined;

const header = element("header");
const hint = element("div", { class: "hint muted", attributes: { role: "status" } });
const announcer = element("div", {
  class: "visually-hidden announcer",
  attributes: { "aria-live": "polite" },
});

const host = connectToHost<PlaygroundContract, PlaygroundHostContract>({
  update: (next) => {
    follow(next);
    return null;
  },
  focusPrompt: ({ text: draft, adapter }) => {
    if (draft !== null) page.change({ kind: "set", fields: { draft } });
    if (adapter !== null) showAdapter(adapter);
    composer.value = conversation.draft;
    composer.focus();
    return null;
  },
});

const page: Page = {
  get conversation() {
    return conversation;
  },
  get state() {
    return state;
  },
  host,
  change: (next: Change) => show(changed(conversation, next)),
  replace: (next: Conversation) => {
    show(next);
    page.redraw();
    stage.showLast();
  },
  notice: (words, undo) => {
    const back = (): void => {
      hint.replaceChildren();
      undo?.();
      composer.focus();
    };
    hint.replaceChildren(words, " ", ...(undo ? [button(text.undo, back, { id: "undo" })] : []));
  },
  announce: (words) => (announcer.textContent = words),
  redraw: () => keepFocus(drawHeader),
};

const runner = new Runner(page, () => {
  composer.update({ isBusy: runner.isBusy, hasBase: state.host.base !== null });
  if (!runner.isBusy) keep();
  page.redraw();
});

const composer = createComposer({
  send: (prompt) => void ask(prompt),
  stop: () => runner.stop(),
  draft: (draft) => page.change({ kind: "set", fields: { draft } }),
  recall: () => conversation.exchanges.map(({ prompt }) => prompt).reverse(),
});

const stage = createStage(page, {
  setAdapters,
  load: (column, path) => void load(column, path),
  move: (id, by) => page.change({ kind: "moveColumn", id, by }),
  duplicate: (id) => {
    const at = conversation.columns.findIndex((column) => column.id === id);
    addColumn(conversation.columns[at]?.adapters ?? [], at + 1);
  },
  remove: (id) => {
    const before = conversation;
    const who = columnName(before.columns.find((column) => column.id === id)?.adapters ?? []);
    page.change({ kind: "removeColumn", id });
    page.notice(text.columnRemoved(who), () => page.replace(before));
  },
  rerun: (exchange, prompt) => {
    if (!canAsk()) return;
    const before = conversation;
    const isLast = before.exchanges.at(-1)?.id === exchange;
    const answered = runner.rerun(exchange, prompt);
    stage.showLast();
    if (!isLast) page.notice(text.turnsRemoved, () => undoRun(before));
    void answered;
  },
  removeTurn: (exchange) => {
    if (runner.isBusy) return;
    const before = conversation;
    page.change({ kind: "delete", exchange });
    page.notice(text.turnDeleted, () => page.replace(before));
    keep();
  },
  regenerate: (exchange, column) => void (canAsk() && runner.again(exchange, column)),
  copy: (words) => void host.request("copy", { text: words }).catch(() => undefined),
  rawPrompt: (column, exchange) => void showRawPrompt(page, column, exchange),
  compareAll,
});

document.body.replaceChildren(
  element(
    "main",
    { class: "playground" },
    element("h1", { class: "visually-hidden" }, text.title),
    header,
    stage.root,
    hint,
    composer.root,
    announcer,
  ),
);

function drawHeader(): void {
  const { isSettingsOpen, isSystemOpen, settings } = conversation;
  const set = (fields: Partial<Conversation["settings"]>): void =>
    page.change({ kind: "settings", settings: fields });
  header.replaceChildren(
    bar(page, {
      loadBase: () => void host.request("loadBase", null).catch(() => undefined),
      addColumn,
      compareAll,
      clear,
    }),
    ...(isSettingsOpen ? [settingsPanel(settings, { set, redraw: page.redraw })] : []),
    ...(isSystemOpen ? [systemField(settings, set)] : []),
  );
}

/** Takes over a conversation and draws it; it is stored soon, not at every token. */
function show(next: Conversation): void {
  conversation = next;
  stage.update();
  saving ??= setTimeout(store, 400);
}

function store(): void {
  clearTimeout(saving);
  saving = undefined;
  saveState(conversation);
}

/** Puts the conversation into the history as it stands now. */
function keep(): void {
  conversation = { ...conversation, changed: Date.now() };
  store();
  if (conversation.exchanges.length === 0) return;
  void host.request("keepConversation", savedOf(conversation)).catch(() => undefined);
}

/** Takes over what the host says; a chat follows the adapters that are activated in the editor. */
function follow(next: PlaygroundState): void {
  const isNews = JSON.stringify(next.host.active) !== JSON.stringify(state.host.active);
  state = next;
  const [only, ...others] = conversation.columns;
  if (isNews && only && others.length === 0) setAdapters(only.id, withPaths(next.host.active));
  else stage.update();
  composer.update({ isBusy: runner.isBusy, hasBase: next.host.base !== null });
  page.redraw();
}

function withPaths(adapters: readonly ColumnAdapter[]): ColumnAdapter[] {
  const pathOf = (name: string): string | undefined =>
    state.host.adapters.find((each) => each.name === name)?.path;
  return adapters.map((each) => ({ ...each, path: each.path ?? pathOf(each.name) }));
}

function setAdapters(id: string, adapters: ColumnAdapter[]): void {
  page.change({ kind: "setAdapters", id, adapters });
  runner.weigh(id, adapters);
}

/** Shows what an adapter says: in the only column, or in one more. */
function showAdapter(name: string): void {
  const adapters = withPaths([{ name, weight: 1 }]);
  const [only, ...others] = conversation.columns;
  if (only && others.length === 0) setAdapters(only.id, adapters);
  else if (!conversation.columns.some((column) => columnName(column.adapters) === name)) {
    addColumn(adapters);
  }
}

function addColumn(adapters: ColumnAdapter[], at?: number): void {
  const column = { id: freshColumnId(conversation.columns), adapters };
  page.change({ kind: "addColumn", column, ...(at !== undefined && { at }) });
  document.getElementById(`adapters-${column.id}`)?.scrollIntoView({ inline: "nearest" });
}

/** The base and every loaded adapter, each with a column; columns that are there stay. */
function compareAll(): void {
  const names = (): string[] => conversation.columns.map(({ adapters }) => columnName(adapters));
  if (!names().includes(text.base)) addColumn([], 0);
  for (const { name, path } of state.host.adapters) {
    if (!names().includes(name)) addColumn([{ name, weight: 1, path }]);
  }
  composer.focus();
}

async function load(column: string, path: string | null): Promise<void> {
  const loaded = await host.request("loadAdapter", { path }).catch(() => null);
  const adapters = conversation.columns.find(({ id }) => id === column)?.adapters;
  if (!loaded || !adapters) return;
  const others = adapters.filter((each) => each.path !== loaded.path && each.name !== loaded.name);
  setAdapters(column, [...others, loaded]);
}

/** Whether a prompt can be answered now; says what is missing when not. */
function canAsk(): boolean {
  if (runner.isBusy) return false;
  if (state.host.base === null) {
    void host.request("loadBase", null).catch(() => undefined);
    return false;
  }
  const { json } = conversation.settings;
  const problem = json.isOn ? schemaProblem(json.schema) : "";
  if (problem !== "") {
    page.change({ kind: "set", fields: { isSettingsOpen: true } });
    page.redraw();
    document.getElementById("json-schema")?.focus();
    return false;
  }
  const loaded = new Set(state.host.adapters.map(({ name }) => name));
  const missing = conversation.columns
    .flatMap(({ adapters }) => adapters.map(({ name }) => name))
    .filter((name) => !loaded.has(name));
  if (missing.length === 0) return true;
  page.notice(text.adapterMissing([...new Set(missing)].join(", ")));
  return false;
}

async function ask(prompt: string): Promise<void> {
  if (prompt === "" || !canAsk()) return;
  hint.replaceChildren();
  composer.value = "";
  const answered = runner.ask(prompt);
  stage.showLast();
  await answered;
}

function undoRun(before: Conversation): void {
  runner.stop();
  page.replace(before);
}

function clear(): void {
  if (runner.isBusy) return;
  const before = conversation;
  page.replace({ ...before, id: newId(), exchanges: [] });
  page.notice(text.cleared, () => page.replace(before));
  composer.focus();
}

document.addEventListener("keydown", (event) => {
  const isElsewhere = document.querySelector(":popover-open, dialog[open]") !== null;
  if (event.key === "Escape" && !isElsewhere) runner.stop();
});
window.addEventListener("pagehide", store);

composer.value = conversation.draft;
stage.update();
stage.showLast();
drawHeader();
composer.update({ isBusy: false, hasBase: false });
void host.request("ready", null).then(follow, () => undefined);
composer.focus();
