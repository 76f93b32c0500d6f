import { element } from "../shared/element.ts";
import { text } from "./strings.ts";

export interface Composer {
  readonly root: HTMLElement;
  value: string;
  focus(): void;
  update(at: { isBusy: boolean; hasBase: boolean }): void;
}

/** The prompt box with its buttons: Enter sends, Shift+Enter breaks the line, Up recalls. */
export function createComposer(on: {
  send(prompt: string): void;
  stop(): void;
  draft(words: string): void;
  /** Prompts sent before, the latest first. */
  recall(): readonly string[];
}): Composer {
  let recalled = -1;
  const area = element("vscode-text-area", {
    class: "prompt",
    attributes: {
      ...{ id: "prompt", placeholder: text.placeholder, rows: 3, resize: "vertical" },
      "aria-label": text.prompt,
    },
  });
  const submit = (): void => {
    recalled = -1;
    on.send(area.value.trim());
  };
  const send = element(
    "vscode-button",
    { attributes: { id: "send" }, on: { click: submit } },
    text.send,
  );
  const stop = element(
    "vscode-button",
    { attributes: { id: "stop", appearance: "secondary" }, on: { click: on.stop } },
    text.stop,
  );
  /** Up in an empty box, or in one that shows a recalled prompt as it was, goes one back. */
  const walk = (event: KeyboardEvent, by: number): void => {
    const before = on.recall();
    const isOwn = area.value !== "" && area.value !== before[recalled];
    if (isOwn || (by < 0 && recalled < 0)) return;
    event.preventDefault();
    recalled = Math.min(recalled + by, before.length - 1);
    area.value = before[recalled] ?? "";
    on.draft(area.value);
  };
  area.addEventListener("input", () => on.draft(area.value));
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submit();
    } else if (event.key === "ArrowUp") walk(event, 1);
    else if (event.key === "ArrowDown") walk(event, -1);
  });
  return {
    root: element(
      "div",
      { class: "composer" },
      area,
      element("div", { class: "composer-buttons" }, stop, send),
    ),
    get value() {
      return area.value;
    },
    set value(words) {
      area.value = words;
    },
    focus: () => area.focus(),
    update: ({ isBusy, hasBase }) => {
      stop.hidden = !isBusy;
      send.disabled = isBusy || !hasBase;
    },
  };
}
