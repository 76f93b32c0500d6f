import { element } from "../shared/element.ts";
import { answerCell, type CellView } from "./answerCell.ts";
import { columnName, labelOf } from "./columnHead.ts";
import { type Conversation, isRunning } from "./conversation.ts";
import type { Exchange } from "../../extension/protocol/playgroundContract.ts";
import { divergence } from "./divergence.ts";
import { button } from "./parts.ts";
import { text } from "./strings.ts";

export interface TranscriptActions {
  rerun(exchange: string, prompt: string): void;
  removeTurn(exchange: string): void;
  regenerate(exchange: string, column: string): void;
  copy(content: string): void;
  rawPrompt(column: string, exchange: string): void;
}

interface ExchangeView {
  readonly root: HTMLElement;
  update(at: { conversation: Conversation; base: string }, exchange: Exchange): void;
}

/** All exchanges, one below the other; each is built once and brought up to date. */
export function transcriptView(root: HTMLElement, actions: TranscriptActions) {
  let views = new Map<string, ExchangeView>();
  return {
    update(conversation: Conversation, base: string): void {
      const { exchanges } = conversation;
      const order = exchanges.map(({ id }) => id).join("\n");
      const isSame = order === [...views.keys()].join("\n");
      if (!isSame) {
        const known = views;
        views = new Map(
          exchanges.map(({ id }) => [id, known.get(id) ?? exchangeView(id, actions)]),
        );
        root.replaceChildren(...[...views.values()].map((view) => view.root));
      }
      for (const exchange of exchanges)
        views.get(exchange.id)?.update({ conversation, base }, exchange);
    },
    last: (): HTMLElement | undefined => [...views.values()].at(-1)?.root,
  };
}

function exchangeView(id: string, actions: TranscriptActions): ExchangeView {
  let cells = new Map<string, CellView>();
  const asked = promptView({
    rerun: (prompt) => actions.rerun(id, prompt),
    remove: () => actions.removeTurn(id),
  });
  const grid = element("div", { class: "cells" });
  const root = element("section", { class: "exchange" }, asked.root, grid);
  const cell = (column: string): CellView =>
    answerCell({
      regenerate: () => actions.regenerate(id, column),
      copy: actions.copy,
      rawPrompt: () => actions.rawPrompt(column, id),
    });
  return {
    root,
    update: ({ conversation, base }, exchange) => {
      const { columns, exchanges, showTokens } = conversation;
      const order = columns.map((column) => column.id);
      if (order.join("\n") !== [...cells.keys()].join("\n")) {
        const known = cells;
        cells = new Map(order.map((each) => [each, known.get(each) ?? cell(each)]));
        grid.replaceChildren(...[...cells.values()].map((view) => view.root));
      }
      const isBusy = isRunning(conversation);
      asked.update(exchange.prompt, isBusy);
      root.setAttribute("aria-label", exchange.prompt);
      const isLast = exchanges.at(-1)?.id === id;
      columns.forEach((column, index) =>
        cells.get(column.id)?.update(exchange.answers[column.id], {
          column: columnName(column.adapters),
          label: labelOf(base, column.adapters),
          ...{ isLast, isBusy, showTokens },
          comparison: index === 0 ? null : comparison(exchange, conversation, column.id),
        }),
      );
    },
  };
}

function comparison(
  { answers }: Exchange,
  { columns }: Conversation,
  column: string,
): ReturnType<typeof divergence> | "same" {
  const first = answers[columns[0]?.id ?? ""];
  const own = answers[column];
  if (!first?.details.length || !own?.details.length) return null;
  const isDone = first.state !== "running" && own.state !== "running";
  return divergence(first.details, own.details, isDone) ?? (isDone ? "same" : null);
}

function promptView(on: { rerun(prompt: string): void; remove(): void }): {
  root: HTMLElement;
  update(prompt: string, isBusy: boolean): void;
} {
  let current = "";
  const words = element("div", { class: "turn-text" });
  const area = element("textarea", {
    class: "edit",
    attributes: { "aria-label": text.editPrompt },
  });
  const openEditor = (isOpen: boolean): void => {
    root.classList.toggle("editing", isOpen);
    if (!isOpen) return edit.focus();
    area.value = current;
    area.rows = Math.min(12, current.split("\n").length + 1);
    area.focus();
  };
  const submit = (): void => {
    const prompt = area.value.trim();
    openEditor(false);
    if (prompt !== "") on.rerun(prompt);
  };
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submit();
    } else if (event.key === "Escape") {
      event.stopPropagation();
      openEditor(false);
    }
  });
  const edit = button(text.edit, () => openEditor(true), { icon: "edit", class: "edit-turn" });
  const again = button(text.rerun, () => on.rerun(current), { icon: "play", class: "rerun-turn" });
  const remove = button(text.delete, on.remove, { icon: "trash", class: "delete-turn" });
  const tools = element("div", { class: "turn-tools" }, edit, again, remove);
  const root = element(
    "article",
    { class: "turn user", attributes: { "aria-label": text.you } },
    element("div", { class: "turn-head" }, element("span", { class: "turn-you" }, text.you), tools),
    words,
    element(
      "div",
      { class: "editor" },
      area,
      button(text.rerun, submit, { icon: "play", class: "save-edit" }),
      button(text.cancel, () => openEditor(false)),
    ),
  );
  return {
    root,
    update: (prompt, isBusy) => {
      current = prompt;
      if (words.textContent !== prompt) words.textContent = prompt;
      tools.classList.toggle("waiting", isBusy);
    },
  };
}
