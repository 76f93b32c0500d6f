import type { Column } from "../../extension/protocol/playgroundContract.ts";
import { element } from "../shared/element.ts";
import type { IconName } from "../shared/icon.ts";
import { columnName } from "./columnHead.ts";
import type { Page } from "./page.ts";
import { button, openMenu } from "./parts.ts";
import { openCopyMenu, openHistory, openPresets } from "./shelves.ts";
import { text } from "./strings.ts";

export interface BarActions {
  loadBase(): void;
  addColumn(adapters: Column["adapters"]): void;
  compareAll(): void;
  clear(): void;
}

/** The top line: the base, and what can be done with the whole page. */
export function bar(page: Page, actions: BarActions): HTMLElement {
  const { host } = page.state;
  const { showTokens, isSettingsOpen, isSystemOpen, exchanges } = page.conversation;
  const status = text.engine[host.engine];
  const set = (fields: Partial<Page["conversation"]>): void => {
    page.change({ kind: "set", fields });
    page.redraw();
  };
  return element(
    "div",
    { class: "bar" },
    element(
      "div",
      { class: "who" },
      element(
        "span",
        { class: "base-name" },
        host.base ? `${host.base.name} · ${host.base.dtype}` : text.noBase,
      ),
      status !== "" && element("span", { class: "muted" }, status),
      host.base?.hasChatTemplate === false &&
        element("span", { class: "muted", attributes: { title: text.asTextMeaning } }, text.asText),
      button(host.base ? text.changeBase : text.loadBase, actions.loadBase, { id: "load-base" }),
    ),
    element(
      "div",
      { class: "tools", attributes: { role: "toolbar", "aria-label": text.tools } },
      opens("add-column", text.addColumn, {
        icon: "columns",
        run: (at) => addMenu(at, page, actions),
      }),
      toggle("show-tokens", text.showTokens, {
        icon: "tokens",
        isOn: showTokens,
        run: () => set({ showTokens: !showTokens }),
      }),
      toggle("open-sampling", text.settings, {
        icon: "settings",
        opens: true,
        isOn: isSettingsOpen,
        run: () => set({ isSettingsOpen: !isSettingsOpen }),
      }),
      toggle("open-system", text.system, {
        icon: "edit",
        opens: true,
        isOn: isSystemOpen,
        run: () => set({ isSystemOpen: !isSystemOpen }),
      }),
      opens("presets", text.presets, { icon: "bookmark", run: (at) => openPresets(at, page) }),
      opens("history", text.history, { icon: "history", run: (at) => openHistory(at, page) }),
      exchanges.length > 0 &&
        opens("copy-as", text.copyAs, { icon: "copy", run: (at) => openCopyMenu(at, page) }),
      exchanges.length > 0 &&
        button(text.clear, actions.clear, tool("clear", text.clear, "newChat")),
    ),
  );
}

/** Narrow pages show icons alone, so the words are said in any case. */
function tool(id: string, words: string, name: IconName) {
  return { id, icon: name, class: "tool", label: words, title: words };
}

function opens(
  id: string,
  words: string,
  { icon, run }: { icon: IconName; run(anchor: HTMLElement): void },
): HTMLElement {
  const made: HTMLElement = button(words, () => run(made), {
    ...tool(id, words, icon),
    attributes: { "aria-haspopup": "dialog", "aria-expanded": "false" },
  });
  return made;
}

function toggle(
  id: string,
  words: string,
  { icon, isOn, run, ...at }: { icon: IconName; isOn: boolean; opens?: boolean; run(): void },
): HTMLElement {
  const state = at.opens === true ? "aria-expanded" : "aria-pressed";
  return button(words, run, { ...tool(id, words, icon), attributes: { [state]: String(isOn) } });
}

/** Who else could answer: the base and each loaded adapter that has no column of its own yet. */
function addMenu(anchor: HTMLElement, page: Page, actions: BarActions): void {
  const { columns } = page.conversation;
  const { adapters } = page.state.host;
  const taken = new Set(columns.map((column) => columnName(column.adapters)));
  openMenu(anchor, text.newColumn, [
    !taken.has(text.base) && {
      words: text.base,
      id: "add-base",
      run: () => actions.addColumn([]),
    },
    ...adapters
      .filter(({ name }) => !taken.has(name))
      .map(({ name, path }) => ({
        words: name,
        id: `add-${name}`,
        run: () => actions.addColumn([{ name, weight: 1, path }]),
      })),
    adapters.length > 0 && {
      words: text.compareAll,
      id: "compare-all",
      run: actions.compareAll,
    },
    taken.has(text.base) && {
      words: text.anotherBase,
      id: "add-another",
      run: () => actions.addColumn([]),
    },
  ]);
}
