import type { ConversationSummary, Preset } from "../../extension/protocol/playgroundContract.ts";
import { element } from "../shared/element.ts";
import { factLine } from "../shared/format.ts";
import { columnName } from "./columnHead.ts";
import type { Page } from "./page.ts";
import { button, iconButton, openMenu, openPopover } from "./parts.ts";
import { restore, restoreColumn, restoreSettings } from "./restore.ts";
import { text } from "./strings.ts";

/** Panels with what is kept elsewhere: presets, earlier conversations, ways to take this one along. */

export function openPresets(anchor: HTMLElement, page: Page): void {
  let presets: readonly Preset[] = page.state.presets;
  openPopover(anchor, text.presets, ({ close, refresh }) => {
    const show = (next: readonly Preset[]): void => {
      presets = next;
      refresh();
    };
    const apply = (preset: Preset): void => {
      close();
      const before = page.conversation;
      const columns = preset.columns.flatMap(restoreColumn);
      page.replace({ ...before, columns, settings: restoreSettings(preset.settings) });
      page.notice(text.presetApplied(preset.name), () => page.replace(before));
    };
    return [
      presets.length === 0 && element("p", { class: "muted" }, text.noPresets),
      ...presets.map((preset) =>
        element(
          "div",
          { class: "shelf-row" },
          shelfItem(preset.name, factLine(...preset.columns.map((c) => columnName(c.adapters))), {
            label: text.applyPreset(preset.name),
            run: () => apply(preset),
          }),
          iconButton("trash", text.deletePreset(preset.name), {
            click: () =>
              void page.host.request("deletePreset", { name: preset.name }).then(show, () => null),
          }),
        ),
      ),
      presetForm(page, show),
    ];
  });
}

function presetForm(page: Page, show: (presets: readonly Preset[]) => void): HTMLElement {
  const name = element("input", {
    attributes: {
      ...{ id: "preset-name", type: "text", maxlength: 60, autofocus: true },
      placeholder: text.presetName,
      "aria-label": text.presetName,
    },
  });
  const save = (): void => {
    const { columns, settings } = page.conversation;
    const preset = { name: name.value.trim(), columns, settings };
    if (preset.name === "") return name.focus();
    void page.host.request("savePreset", preset).then(
      (presets) => {
        show(presets);
        page.announce(text.presetSaved(preset.name));
      },
      () => undefined,
    );
  };
  name.addEventListener("keydown", (event) => {
    if (event.key === "Enter") save();
  });
  const saver = button(text.savePreset, save, { id: "save-preset", icon: "bookmark" });
  return element("div", { class: "shelf-form" }, name, saver);
}

export function openHistory(anchor: HTMLElement, page: Page): void {
  let found: readonly ConversationSummary[] | undefined;
  let isSure = false;
  const search = element("input", {
    attributes: {
      ...{ id: "history-search", type: "search", autofocus: true },
      placeholder: text.search,
      "aria-label": text.search,
    },
  });
  openPopover(anchor, text.history, ({ close, refresh }) => {
    const look = async (): Promise<void> => {
      found = await page.host.request("listConversations", { search: search.value });
      refresh();
    };
    search.oninput = () => void look().catch(() => undefined);
    if (!found) void look().catch(() => undefined);
    const clearAll = async (): Promise<void> => {
      if (!isSure) {
        isSure = true;
        return refresh();
      }
      const { deleted } = await page.host.request("clearConversations", null);
      close();
      page.notice(text.historyCleared(deleted));
    };
    const isEmpty = found?.length === 0;
    return [
      search,
      isEmpty &&
        element("p", { class: "muted" }, search.value === "" ? text.noHistory : text.noMatches),
      element(
        "div",
        { class: "shelf" },
        ...(found ?? []).map((each) => historyRow(each, page, { close, look })),
      ),
      !isEmpty &&
        button(isSure ? text.reallyClear : text.clearHistory, () => void clearAll(), {
          id: "clear-history",
          icon: "trash",
        }),
    ];
  });
}

function historyRow(
  { id, title, changed, columns, exchanges }: ConversationSummary,
  page: Page,
  panel: { close(): void; look(): Promise<void> },
): HTMLElement {
  const open = async (): Promise<void> => {
    const saved = await page.host.request("openConversation", { id });
    panel.close();
    if (saved) page.replace({ ...page.conversation, ...kept(restore(saved)) });
  };
  const forget = async (): Promise<void> => {
    await page.host.request("deleteConversation", { id });
    await panel.look();
  };
  const when = new Date(changed).toLocaleString(document.documentElement.lang || undefined, {
    dateStyle: "medium",
    timeStyle: "short",
  });
  const facts = factLine(when, columns.join(" | "), text.prompts(exchanges));
  return element(
    "div",
    { class: "shelf-row" },
    shelfItem(title, facts, { label: text.reopen(title), run: () => void open() }),
    iconButton("trash", text.forget(title), { click: () => void forget() }),
  );
}

/** Of a conversation that comes back: all but what belongs to the page. */
function kept({ id, changed, columns, settings, exchanges }: ReturnType<typeof restore>) {
  return { id, changed, columns, settings, exchanges };
}

function shelfItem(
  title: string,
  facts: string,
  { label, run }: { label: string; run(): void },
): HTMLElement {
  return element(
    "button",
    {
      class: "menu-item shelf-item",
      attributes: { type: "button", title: label },
      on: { click: run },
    },
    element("span", { class: "shelf-title" }, title),
    element("span", { class: "muted shelf-facts" }, facts),
  );
}

/** @param copy asks the host for a form of the conversation as one column has it */
export function openCopyMenu(anchor: HTMLElement, page: Page): void {
  const { conversation } = page;
  const { columns } = conversation;
  const formats = [
    { format: "promptFile", words: text.copyPromptFile },
    { format: "promptDocument", words: text.openPromptFile },
    { format: "python", words: text.copyPython },
    { format: "typescript", words: text.copyTypeScript },
    { format: "markdown", words: text.copyMarkdown },
  ] as const;
  const { changed, id, settings, exchanges } = conversation;
  const saved = { changed, id, columns, settings, exchanges };
  const copy = (format: (typeof formats)[number]["format"], words: string): void => {
    // All columns go into Markdown; into the others the last one, which is what was built up to.
    const column = columns.at(-1)?.id ?? "";
    void page.host.request("copyAs", { format, conversation: saved, column }).then(
      () => format !== "promptDocument" && page.notice(text.copied(words)),
      () => undefined,
    );
  };
  openMenu(
    anchor,
    text.copyAs,
    formats.map(({ format, words }) => ({
      words,
      id: `copy-${format}`,
      run: () => copy(format, words),
    })),
  );
}
