import type { TokenDetail } from "../../extension/protocol/generationContract.ts";
import { element } from "../shared/element.ts";
import { percent } from "../shared/format.ts";
import { text } from "./strings.ts";

/** An answer as its tokens: how likely each was by its shade and line, all of it on hover and focus. */
export interface TokensView {
  readonly root: HTMLElement;
  /** @param mark the token at which it parts from the first column */
  update(details: readonly TokenDetail[], mark: number | null): void;
}

const card = element("div", { class: "token-card", attributes: { role: "tooltip", id: "token" } });
card.hidden = true;
let described: HTMLElement | null = null;

export function tokensView(): TokensView {
  let shown: readonly TokenDetail[] = [];
  let marked: number | null = null;
  const root = element("span", {
    class: "tokens",
    attributes: { role: "list" },
    on: {
      pointerover: ({ target }) => showAt(target),
      pointerleave: () => hideCard(),
      focusin: ({ target }) => showAt(target),
      focusout: () => hideCard(),
      keydown: (event) => step(event),
    },
  });
  const spanAt = (index: number): HTMLElement | null => {
    const span = root.children.item(index);
    return span instanceof HTMLElement ? span : null;
  };
  const showAt = (target: EventTarget | null): void => {
    const span = target instanceof HTMLElement ? target.closest<HTMLElement>(".token") : null;
    const detail = span && shown[[...root.children].indexOf(span)];
    if (span && detail) showCard(span, detail);
  };
  const step = (event: KeyboardEvent): void => {
    const at = [...root.children].indexOf(document.activeElement as Element);
    const ends = { Home: 0, End: root.childElementCount - 1 }[event.key];
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const next = spanAt(ends ?? at + (by ?? 0));
    if (at < 0 || (ends === undefined && by === undefined) || !next) return;
    event.preventDefault();
    spanAt(at)?.setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus();
  };
  return {
    root,
    update: (details, mark) => {
      const kept = shown.findIndex((each, i) => each !== details[i]);
      const from = kept < 0 ? shown.length : kept;
      while (root.childElementCount > from) root.lastElementChild?.remove();
      for (const [i, detail] of details.entries()) {
        if (i >= from) root.append(tokenSpan(detail, i === 0));
      }
      shown = details;
      if (marked !== null) spanAt(marked)?.classList.remove("parting");
      if (mark !== null) spanAt(mark)?.classList.add("parting");
      marked = mark;
    },
  };
}

function tokenSpan(detail: TokenDetail, isFirst: boolean): HTMLElement {
  const { piece, probability, text: alone } = detail;
  const doubt = probability < 0.2 ? " unlikely" : probability < 0.7 ? " unsure" : "";
  return element(
    "span",
    {
      class: `token${doubt}`,
      attributes: {
        role: "listitem",
        tabindex: isFirst ? 0 : -1,
        "aria-label": text.tokenLabel(visible(alone), percent(probability)),
      },
      variables: { doubt: Math.round((1 - probability) * 100) / 100 },
    },
    // A token that adds nothing, or a line break alone, still needs a place to point at.
    piece === "" ? "·" : piece.replaceAll("\n", "⏎\n"),
  );
}

function showCard(span: HTMLElement, detail: TokenDetail): void {
  described?.removeAttribute("aria-describedby");
  described = span;
  span.setAttribute("aria-describedby", "token");
  card.replaceChildren(
    element(
      "div",
      { class: "card-head" },
      element("code", {}, visible(detail.text)),
      element("span", {}, percent(detail.probability)),
      element("span", { class: "muted" }, text.tokenId(detail.id)),
    ),
    element("div", { class: "card-title muted" }, text.alternatives),
    ...detail.alternatives.map((each) => alternativeRow(each, each.id === detail.id)),
  );
  if (!card.isConnected) document.body.append(card);
  card.hidden = false;
  const at = span.getClientRects()[0] ?? span.getBoundingClientRect();
  const { width, height } = card.getBoundingClientRect();
  const isBelow = at.bottom + height + 6 < window.innerHeight;
  card.style.left = `${Math.max(4, Math.min(at.left, window.innerWidth - width - 4))}px`;
  card.style.top = `${isBelow ? at.bottom + 4 : Math.max(4, at.top - height - 4)}px`;
}

function alternativeRow(
  { text: words, probability }: { text: string; probability: number },
  isChosen: boolean,
): HTMLElement {
  return element(
    "div",
    { class: isChosen ? "card-row chosen" : "card-row", variables: { share: probability } },
    element("code", {}, visible(words)),
    element("span", { class: "card-bar" }),
    element("span", { class: "number" }, percent(probability)),
    element("span", { class: "card-chosen" }, isChosen ? `✓ ${text.chosen}` : ""),
  );
}

export function hideCard(): void {
  described?.removeAttribute("aria-describedby");
  described = null;
  card.hidden = true;
}

/** White space at the ends of a token matters, so it is drawn. */
function visible(token: string): string {
  return token.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replaceAll(" ", "␣");
}
