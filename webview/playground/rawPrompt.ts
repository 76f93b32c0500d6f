import { pageFailure } from "../../extension/protocol/pageFailure.ts";
import type { RenderedPrompt } from "../../extension/protocol/generationContract.ts";
import { choice } from "../shared/choice.ts";
import { element } from "../shared/element.ts";
import { exactCount } from "../shared/format.ts";
import { columnName } from "./columnHead.ts";
import { messagesOf } from "./conversation.ts";
import type { Page } from "./page.ts";
import { text } from "./strings.ts";

/** Shows what the chat template makes of a column's conversation: the text and its tokens. */
export async function showRawPrompt(page: Page, column: string, exchange?: string): Promise<void> {
  const { conversation, host } = page;
  const adapters = conversation.columns.find(({ id }) => id === column)?.adapters ?? [];
  const messages = messagesOf(conversation, column, exchange);
  const body = element("div", { class: "raw-body" }, text.reading);
  const dialog = openDialog(text.rawTitle(columnName(adapters)), body);
  try {
    const prompt = await host.request("renderPrompt", { messages, adapters });
    show(body, prompt, "text");
  } catch (thrown) {
    const { message } = pageFailure(thrown);
    body.replaceChildren(element("p", { class: "problem" }, message));
  }
  dialog.querySelector<HTMLElement>("button")?.focus();
}

function show(body: HTMLElement, prompt: RenderedPrompt, form: "text" | "tokens"): void {
  const { tokens, count, contextLength } = prompt;
  body.replaceChildren(
    element(
      "div",
      { class: "raw-bar" },
      choice({
        id: "raw",
        label: text.rawShow,
        items: [
          { value: "text", label: text.rawText },
          { value: "tokens", label: text.rawTokens },
        ],
        value: form,
        onChange: (next) => {
          show(body, prompt, next);
          document.getElementById(`raw-${next}`)?.focus();
        },
      }),
      element(
        "span",
        { class: "muted" },
        text.rawCount(exactCount(count), exactCount(contextLength)),
      ),
    ),
    form === "text"
      ? element("pre", { class: "raw-text", attributes: { tabindex: 0 } }, prompt.text)
      : element(
          "ol",
          { class: "raw-text raw-tokens", attributes: { tabindex: 0 } },
          ...tokens.map(({ id, text: words }) =>
            element(
              "li",
              {},
              element("code", {}, words.replaceAll("\n", "⏎")),
              element("span", { class: "muted" }, String(id)),
            ),
          ),
        ),
  );
}

function openDialog(title: string, body: HTMLElement): HTMLDialogElement {
  const close = element(
    "vscode-button",
    { attributes: { appearance: "secondary" }, on: { click: () => dialog.close() } },
    text.close,
  );
  const dialog = element(
    "dialog",
    { class: "raw", attributes: { "aria-labelledby": "raw-title" } },
    element("h2", { attributes: { id: "raw-title" } }, title),
    body,
    element("div", { class: "raw-close" }, close),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
