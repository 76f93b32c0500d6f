import type {
  AvailableAdapter,
  Column,
  ColumnAdapter,
} from "../../extension/protocol/playgroundContract.ts";
import type { HostState } from "../../extension/protocol/webviewContract.ts";
import { element } from "../shared/element.ts";
import { scale } from "../shared/format.ts";
import { icon } from "../shared/icon.ts";
import { button, iconButton, openMenu, openPopover } from "./parts.ts";
import { text } from "./strings.ts";
import { type WeightRow, weightRow } from "./weights.ts";

export interface ColumnActions {
  setAdapters(column: string, adapters: ColumnAdapter[]): void;
  /** Null asks which. */
  load(column: string, path: string | null): void;
  move(column: string, by: number): void;
  duplicate(column: string): void;
  remove(column: string): void;
}

/** What a head shows besides its own column. */
export interface ColumnSurroundings {
  readonly host: HostState;
  readonly available: readonly AvailableAdapter[];
  readonly index: number;
  readonly count: number;
}

export interface ColumnHead {
  readonly root: HTMLElement;
  update(column: Column, around: ColumnSurroundings): void;
}

/** "base", "pirate", "pirate + json": a column in short. */
export function columnName(adapters: readonly ColumnAdapter[]): string {
  return adapters.map(({ name }) => name).join(" + ") || text.base;
}

/** "graft-sample + pirate ×1.0": who answers, as it stands over an answer. */
export function labelOf(base: string, adapters: readonly ColumnAdapter[]): string {
  return [base, ...adapters.map(({ name, weight }) => `${name} ×${scale(weight)}`)].join(" + ");
}

/** The top of a column: who answers in it, with a slider for each adapter's weight. */
export function columnHead(id: string, actions: ColumnActions): ColumnHead {
  let column: Column = { id, adapters: [] };
  let around: ColumnSurroundings | undefined;
  let rows = new Map<string, WeightRow>();
  const name = element("span", { class: "column-name" });
  const choose = element(
    "button",
    {
      class: "column-choice",
      attributes: { type: "button", id: `adapters-${id}`, "aria-haspopup": "dialog" },
      on: {
        click: () => {
          if (around) openAdapters(choose, { column: () => column, around: () => around, actions });
        },
      },
    },
    name,
    icon("chevronDown"),
  );
  const more = iconButton("ellipsis", "", {
    id: `more-${id}`,
    attributes: { "aria-haspopup": "dialog" },
    click: () => openColumnMenu(more, column, { around, actions }),
  });
  const sliders = element("div", { class: "weights" });
  const root = element(
    "section",
    { class: "head" },
    element("div", { class: "head-row" }, choose, more),
    sliders,
  );
  return {
    root,
    update: (next, surroundings) => {
      column = next;
      around = surroundings;
      const who = columnName(column.adapters);
      name.textContent = who;
      choose.setAttribute("aria-label", text.chooseAdapters(who));
      root.setAttribute("aria-label", text.column(around.index + 1, who));
      more.setAttribute("aria-label", text.columnMenu(who));
      more.title = text.columnMenu(who);
      const names = column.adapters.map((adapter) => adapter.name);
      if (names.join("\n") !== [...rows.keys()].join("\n")) {
        rows = new Map(column.adapters.map((adapter) => [adapter.name, rowOf(adapter)]));
        sliders.replaceChildren(...[...rows.values()].map((row) => row.root));
      }
      const loaded = new Set(around.host.adapters.map((adapter) => adapter.name));
      for (const adapter of column.adapters) {
        rows.get(adapter.name)?.update(adapter, loaded.has(adapter.name));
      }
    },
  };

  function rowOf(adapter: ColumnAdapter): WeightRow {
    const set = (adapters: ColumnAdapter[]): void => actions.setAdapters(id, adapters);
    return weightRow(adapter, `weight-${id}-${adapter.name}`, {
      weigh: (weight) =>
        set(
          column.adapters.map((each) => (each.name === adapter.name ? { ...each, weight } : each)),
        ),
      remove: () => set(column.adapters.filter((each) => each.name !== adapter.name)),
      load: () => actions.load(id, adapter.path ?? null),
    });
  }
}

function openColumnMenu(
  anchor: HTMLElement,
  { id, adapters }: Column,
  at: { around: ColumnSurroundings | undefined; actions: ColumnActions },
): void {
  const { around, actions } = at;
  if (!around) return;
  const { index, count } = around;
  openMenu(anchor, text.columnMenu(columnName(adapters)), [
    { words: text.moveLeft, run: () => actions.move(id, -1), disabled: index === 0 },
    { words: text.moveRight, run: () => actions.move(id, 1), disabled: index === count - 1 },
    { words: text.duplicate, run: () => actions.duplicate(id) },
    { words: text.remove, run: () => actions.remove(id), disabled: count === 1 },
  ]);
}

function openAdapters(
  anchor: HTMLElement,
  at: {
    column(): Column;
    around(): ColumnSurroundings | undefined;
    actions: ColumnActions;
  },
): void {
  const { actions } = at;
  openPopover(anchor, text.adapters, ({ close, refresh }) => {
    const column = at.column();
    const around = at.around();
    const loaded = around?.host.adapters ?? [];
    const available = around?.available ?? [];
    const choose = (name: string, path: string): void => {
      const isIn = column.adapters.some((each) => each.name === name);
      const others = column.adapters.filter((each) => each.name !== name);
      actions.setAdapters(column.id, isIn ? others : [...others, { name, weight: 1, path }]);
      refresh();
    };
    const load = (path: string | null): void => {
      close();
      actions.load(column.id, path);
    };
    return [
      element("div", { class: "popover-title" }, text.loadedAdapters),
      loaded.length === 0 && element("p", { class: "muted" }, text.noAdapters),
      ...loaded.map(({ name, path, method }) =>
        adapterChoice(`adapter-${column.id}-${name}`, {
          ...{ name, method },
          checked: column.adapters.some((each) => each.name === name),
          toggle: () => choose(name, path),
        }),
      ),
      available.length > 0 && element("div", { class: "popover-title" }, text.fittingAdapters),
      ...available.map(({ name, path, method }) =>
        button(name, () => load(path), {
          class: "menu-item",
          label: text.load(name),
          title: method,
        }),
      ),
      button(text.loadAdapter, () => load(null), { class: "menu-item", icon: "add" }),
    ];
  });
}

function adapterChoice(
  id: string,
  at: { name: string; method: string; checked: boolean; toggle(): void },
): HTMLElement {
  const box = element("input", {
    attributes: { type: "checkbox", id, checked: at.checked },
    on: { change: at.toggle },
  });
  return element(
    "div",
    { class: "choice-row" },
    box,
    element("label", { attributes: { for: id } }, at.name),
    element("span", { class: "muted" }, at.method),
  );
}
