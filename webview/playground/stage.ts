import { element } from "../shared/element.ts";
import { type ColumnActions, type ColumnHead, columnHead } from "./columnHead.ts";
import type { Conversation } from "./conversation.ts";
import type { Page } from "./page.ts";
import { button } from "./parts.ts";
import { text } from "./strings.ts";
import { hideCard } from "./tokens.ts";
import { type TranscriptActions, transcriptView } from "./transcript.ts";

/** A column narrower than this scrolls sideways; where not even two have room, they stack. */
const columnWidth = 250;

export interface Stage {
  readonly root: HTMLElement;
  update(): void;
  /** Brings the last prompt to the top, with room below it for an answer that grows. */
  showLast(): void;
}

/** The conversation under the heads of its columns, one grid for both. */
export function createStage(
  page: Page,
  actions: ColumnActions & TranscriptActions & { compareAll(): void },
): Stage {
  let heads = new Map<string, ColumnHead>();
  const headRow = element("div", {
    class: "heads",
    attributes: { role: "group", "aria-label": text.columns },
  });
  const list = element("div", { class: "exchanges" });
  const empty = element("div", { class: "empty" });
  const scroller = element(
    "div",
    {
      class: "transcript",
      attributes: {
        ...{ id: "transcript", role: "log", tabindex: 0 },
        "aria-label": text.transcript,
        "aria-live": "off",
      },
    },
    headRow,
    empty,
    list,
  );
  const toEnd = button("", () => scroller.scrollTo({ top: scroller.scrollHeight }), {
    class: "to-end",
    icon: "down",
    label: text.jumpToEnd,
    title: text.jumpToEnd,
  });
  const root = element("div", { class: "stage" }, scroller, toEnd);
  const transcript = transcriptView(list, actions);
  const followScroll = (): void => {
    const left = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight;
    toEnd.hidden = left < 40;
  };
  const fit = (): void => {
    const { columns } = page.conversation;
    const isStacked = columns.length > 1 && scroller.clientWidth < 2 * columnWidth;
    root.classList.toggle("stacked", isStacked);
    root.classList.toggle("single", columns.length === 1);
    root.style.setProperty("--columns", String(columns.length));
    root.style.setProperty("--column-width", `${columnWidth}px`);
    root.style.setProperty("--room", `${scroller.clientHeight - headRow.offsetHeight}px`);
    followScroll();
  };
  new ResizeObserver(fit).observe(scroller);
  scroller.addEventListener("scroll", () => {
    hideCard();
    followScroll();
  });
  return {
    root,
    update: () => {
      const { conversation, state } = page;
      const { columns } = conversation;
      const order = columns.map(({ id }) => id);
      if (order.join("\n") !== [...heads.keys()].join("\n")) {
        const known = heads;
        heads = new Map(order.map((id) => [id, known.get(id) ?? columnHead(id, actions)]));
        headRow.replaceChildren(...[...heads.values()].map((head) => head.root));
      }
      columns.forEach((column, index) =>
        heads.get(column.id)?.update(column, {
          ...{ host: state.host, available: state.available, index },
          count: columns.length,
        }),
      );
      transcript.update(conversation, state.host.base?.name ?? "");
      paintEmpty(empty, page, actions.compareAll);
      fit();
    },
    showLast: () => {
      const last = transcript.last();
      for (const each of list.children) each.classList.toggle("latest", each === last);
      if (!last) return;
      scroller.scrollTop = last.offsetTop - headRow.offsetHeight;
      followScroll();
    },
  };
}

function paintEmpty(empty: HTMLElement, page: Page, compareAll: () => void): void {
  const { conversation, state } = page;
  empty.hidden = conversation.exchanges.length > 0;
  const { base, adapters } = state.host;
  const canCompare = base !== null && adapters.length > 0 && isOneColumn(conversation);
  const key = `${base?.path}|${canCompare}`;
  if (empty.dataset["key"] === key) return;
  empty.dataset["key"] = key;
  empty.replaceChildren(
    element("p", { class: "muted" }, base ? text.empty : text.emptyNoBase),
    ...(canCompare
      ? [button(text.startCompare, compareAll, { id: "start-compare", icon: "columns" })]
      : []),
  );
}

function isOneColumn({ columns }: Conversation): boolean {
  return columns.length === 1;
}
