import { element } from "../shared/element.ts";
import { factLine, speed } from "../shared/format.ts";
import type { Turn } from "./conversation.ts";
import { text } from "./strings.ts";

export interface TranscriptActions {
  regenerate(): void;
  copy(content: string): void;
}

/** One turn as it is first shown; `update` brings an answer up to date without building it again. */
export interface TurnView {
  readonly root: HTMLElement;
  update(turn: Turn, isLast: boolean): void;
}

export function turnView(turn: Turn, actions: TranscriptActions): TurnView {
  return turn.kind === "user" ? userView(turn.text) : answerView(actions);
}

function userView(content: string): TurnView {
  const root = element(
    "article",
    { class: "turn user", attributes: { "aria-label": text.you } },
    element("div", { class: "turn-head" }, text.you),
    element("div", { class: "turn-text" }, content),
  );
  return { root, update: () => undefined };
}

function answerView(actions: TranscriptActions): TurnView {
  const label = element("span", { class: "turn-label" });
  const facts = element("span", { class: "turn-facts muted" });
  const content = element("div", { class: "turn-text" });
  const problem = element("div", { class: "turn-problem", attributes: { role: "alert" } });
  let current = "";
  const copy = textButton(text.copy, () => actions.copy(current));
  const regenerate = textButton(text.regenerate, actions.regenerate);
  const tools = element("div", { class: "turn-tools" }, copy, regenerate);
  const root = element(
    "article",
    { class: "turn answer" },
    element("div", { class: "turn-head" }, label, facts),
    content,
    problem,
    tools,
  );
  return {
    root,
    update: (turn, isLast) => {
      if (turn.kind !== "assistant") return;
      current = turn.text;
      const isRunning = turn.state === "running";
      label.textContent = turn.label;
      facts.textContent = factsOf(turn);
      content.textContent = isRunning && turn.text === "" ? text.thinking : turn.text;
      content.classList.toggle("muted", isRunning && turn.text === "");
      root.classList.toggle("running", isRunning);
      root.setAttribute("aria-label", turn.label);
      root.setAttribute("aria-busy", String(isRunning));
      problem.hidden = turn.problem === "";
      problem.textContent = turn.problem === "" ? "" : text.failed(turn.problem);
      tools.hidden = isRunning;
      regenerate.hidden = !isLast;
      copy.hidden = turn.text === "";
    },
  };
}

function factsOf(turn: Extract<Turn, { kind: "assistant" }>): string {
  const ends: Partial<Record<typeof turn.state, string>> = {
    cancelled: text.stopped,
    interrupted: text.interrupted,
    length: text.lengthReached,
    context: text.contextFull,
  };
  return factLine(
    turn.tokensPerSecond > 0 && speed(turn.tokensPerSecond),
    turn.tokens > 0 && text.tokens(turn.tokens),
    turn.seed !== null && text.seed(turn.seed),
    ends[turn.state],
  );
}

function textButton(label: string, click: () => void): HTMLElement {
  return element(
    "button",
    { class: "text-button", attributes: { type: "button" }, on: { click } },
    label,
  );
}
