import type { Answer } from "../../extension/protocol/playgroundContract.ts";
import { element } from "../shared/element.ts";
import { factLine, speed } from "../shared/format.ts";
import { icon } from "../shared/icon.ts";
import type { Divergence } from "./divergence.ts";
import { button } from "./parts.ts";
import { text } from "./strings.ts";
import { type TokensView, tokensView } from "./tokens.ts";

export interface CellActions {
  regenerate(): void;
  copy(content: string): void;
  rawPrompt(): void;
}

export interface CellView {
  readonly root: HTMLElement;
  update(answer: Answer | undefined, at: CellSurroundings): void;
}

export interface CellSurroundings {
  readonly column: string;
  /** Who would answer now: a head says it already, so an answer says only what differs. */
  readonly label: string;
  readonly isLast: boolean;
  readonly isBusy: boolean;
  readonly showTokens: boolean;
  /** How it compares with the first column; null where it is the first, or nothing is known yet. */
  readonly comparison: Divergence | "same" | null;
}

/** What one column said to one prompt; brought up to date without being built again. */
export function answerCell(actions: CellActions): CellView {
  const label = element("span", { class: "turn-label" });
  const facts = element("span", { class: "turn-facts muted" });
  const verdict = element("span", { class: "turn-verdict" });
  const body = answerBody();
  const problem = element("div", { class: "turn-problem", attributes: { role: "alert" } });
  let current = "";
  const copy = button(text.copy, () => actions.copy(current), { icon: "copy" });
  const regenerate = button(text.regenerate, actions.regenerate, { icon: "refresh" });
  const raw = button(text.rawPrompt, actions.rawPrompt, { icon: "eye" });
  const tools = element("div", { class: "turn-tools" }, copy, regenerate, raw);
  const root = element(
    "article",
    { class: "turn answer" },
    element("div", { class: "turn-head" }, label),
    body.root,
    problem,
    verdict,
    element("div", { class: "turn-foot" }, facts, tools),
  );
  return {
    root,
    update: (answer, at) => {
      const { isLast, isBusy, comparison } = at;
      current = answer?.text ?? "";
      const isRunning = answer?.state === "running";
      label.textContent = answer?.label ?? at.column;
      facts.textContent = answer ? factsOf(answer) : "";
      facts.title = answer?.saved ? savedOf(answer.saved) : "";
      paintVerdict(verdict, comparison);
      body.update(answer, at);
      root.classList.toggle("running", isRunning);
      root.classList.toggle("as-headed", answer === undefined || answer.label === at.label);
      root.classList.toggle("missing-answer", answer === undefined);
      root.setAttribute("aria-label", answer?.label ?? at.column);
      root.setAttribute("aria-busy", String(isRunning));
      problem.hidden = !answer?.problem;
      problem.textContent = answer?.problem ? text.failed(answer.problem) : "";
      // Its room is kept, so that nothing moves when the answer is complete.
      tools.classList.toggle("waiting", isRunning || isBusy);
      copy.hidden = current === "";
      regenerate.hidden = answer !== undefined && !isLast;
      const words = regenerate.querySelector(".words");
      if (words) words.textContent = answer ? text.regenerate : text.answerHere;
    },
  };
}

function paintVerdict(verdict: HTMLElement, comparison: CellSurroundings["comparison"]): void {
  verdict.hidden = comparison === null;
  if (comparison === null) return;
  const differs = comparison !== "same";
  const words = differs ? text.differsAt(comparison.token + 1) : text.same;
  if (verdict.textContent === words) return;
  verdict.classList.toggle("differs", differs);
  verdict.replaceChildren(differs ? parting() : icon("check"), words);
}

/** The sign for "differs", drawn in text and beside the words that say the same. */
function parting(): HTMLElement {
  return element("span", { class: "parting-sign", attributes: { "aria-hidden": "true" } }, "≠");
}

interface Body {
  readonly root: HTMLElement;
  update(answer: Answer | undefined, at: CellSurroundings): void;
}

function answerBody(): Body {
  const before = document.createTextNode("");
  const after = document.createTextNode("");
  const mark = element(
    "span",
    { class: "parting-mark", attributes: { title: text.differsHere } },
    parting(),
    element("span", { class: "visually-hidden" }, ` ${text.differsHere}: `),
  );
  const plain = element("span", { class: "plain" }, before, mark, after);
  let tokens: TokensView | undefined;
  const root = element("div", { class: "turn-text" }, plain);
  return {
    root,
    update: (answer, { showTokens, comparison, column }) => {
      const isWaiting = answer?.state === "running" && answer.text === "";
      root.classList.toggle("muted", isWaiting || answer === undefined);
      const parts = comparison !== null && comparison !== "same" ? comparison : null;
      const asTokens = showTokens && (answer?.details.length ?? 0) > 0;
      if (asTokens && !tokens) root.append((tokens = tokensView()).root);
      if (tokens) {
        tokens.root.hidden = !asTokens;
        tokens.root.setAttribute("aria-label", text.answerTokens(answer?.label ?? column));
        if (asTokens) tokens.update(answer?.details ?? [], parts?.token ?? null);
      }
      plain.hidden = asTokens;
      if (asTokens) return;
      const words = isWaiting ? text.thinking : (answer?.text ?? text.notAsked);
      const offset = parts ? Math.min(parts.offset, words.length) : words.length;
      mark.hidden = parts === null;
      if (before.data !== words.slice(0, offset)) before.data = words.slice(0, offset);
      after.data = words.slice(offset);
    },
  };
}

function savedOf({ reusedTokens, drafted, accepted }: NonNullable<Answer["saved"]>): string {
  return [
    ...(reusedTokens > 0 ? [text.reused(reusedTokens)] : []),
    ...(accepted > 0 ? [text.readAhead(accepted, drafted)] : []),
  ].join("\n");
}

function factsOf(answer: Answer): string {
  const ends: Partial<Record<typeof answer.state, string>> = {
    cancelled: text.stopped,
    interrupted: text.interrupted,
    length: text.lengthReached,
    context: text.contextFull,
  };
  const { seconds, changes } = answer;
  return factLine(
    answer.tokensPerSecond > 0 && speed(answer.tokensPerSecond),
    answer.tokens > 0 && text.tokens(answer.tokens),
    seconds > 0 && text.seconds(seconds < 10 ? seconds.toFixed(2) : seconds.toFixed(1)),
    answer.seed !== null && text.seed(answer.seed),
    changes.length > 0 && text.changedAt((changes.at(-1) ?? 0) + 1),
    ends[answer.state],
  );
}
