import { append, element } from "../shared/element.ts";
import { icon, type IconName } from "../shared/icon.ts";

type Child = Parameters<typeof append>[1];

/** Small things that every part of the page is built from. */

export interface ButtonOptions {
  id?: string;
  icon?: IconName;
  /** The name alone is not enough, or is not shown. */
  label?: string;
  title?: string;
  class?: string;
  attributes?: Record<string, string | number | boolean | undefined>;
}

/** A quiet button: its words, an icon, or both. */
export function button(
  words: string,
  click: (event: MouseEvent) => void,
  options: ButtonOptions = {},
): HTMLButtonElement {
  const { id, title, label } = options;
  return element(
    "button",
    {
      class: `text-button ${options.class ?? ""}`.trim(),
      attributes: { type: "button", id, title, "aria-label": label, ...options.attributes },
      on: { click },
    },
    options.icon && icon(options.icon),
    words !== "" && element("span", { class: "words" }, words),
  );
}

/** A button of an icon alone; its name is said and shown on hover. */
export function iconButton(
  name: IconName,
  label: string,
  options: { click(): void } & Omit<ButtonOptions, "icon" | "label" | "title">,
): HTMLButtonElement {
  const { click, ...rest } = options;
  const given = { ...rest, icon: name, label, title: label };
  return button("", click, { ...given, class: `icon-button ${options.class ?? ""}` });
}

/**
 * Opens a panel at an element; Esc, a click elsewhere and `close` shut it and give the focus back.
 * @param fill builds the content anew; called again by `refresh`
 */
export function openPopover(
  anchor: HTMLElement,
  label: string,
  fill: (panel: { close(): void; refresh(): void }) => Child[],
): void {
  const root = element("div", {
    class: "popover",
    attributes: { popover: "auto", role: "dialog", "aria-label": label },
  });
  const panel = {
    close: () => root.hidePopover(),
    refresh: () => {
      const focused = document.activeElement?.id ?? "";
      root.replaceChildren();
      append(root, ...fill(panel));
      if (focused !== "") root.querySelector<HTMLElement>(`#${CSS.escape(focused)}`)?.focus();
      place(root, anchor);
    },
  };
  root.addEventListener("toggle", (event) => {
    if (event.newState === "closed") {
      anchor.setAttribute("aria-expanded", "false");
      root.remove();
    }
  });
  root.addEventListener("keydown", walk);
  document.body.append(root);
  append(root, ...fill(panel));
  root.showPopover();
  place(root, anchor);
  anchor.setAttribute("aria-expanded", "true");
  root.querySelector<HTMLElement>("[autofocus], button, input")?.focus();
}

/** Below the anchor where there is room, inside the window in any case. */
function place(root: HTMLElement, anchor: HTMLElement): void {
  const at = anchor.getBoundingClientRect();
  const { width, height } = root.getBoundingClientRect();
  const left = Math.max(8, Math.min(at.left, window.innerWidth - width - 8));
  const below = at.bottom + 4;
  const isBelow = below + height <= window.innerHeight - 8 || at.top < height;
  const top = isBelow ? Math.min(below, window.innerHeight - height - 8) : at.top - height - 4;
  root.style.left = `${left}px`;
  root.style.top = `${Math.max(8, top)}px`;
}

/** Up and down walk through what a panel offers, as in a menu. */
function walk(this: HTMLElement, event: KeyboardEvent): void {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (by === undefined || event.target instanceof HTMLTextAreaElement) return;
  if (event.target instanceof HTMLInputElement && event.target.type === "range") return;
  const stops = [...this.querySelectorAll<HTMLElement>("button:not(:disabled), input")];
  const at = stops.indexOf(document.activeElement as HTMLElement);
  stops[(at + by + stops.length) % stops.length]?.focus();
  event.preventDefault();
}

/** A menu of few words each. */
export function openMenu(
  anchor: HTMLElement,
  label: string,
  items: readonly ({ words: string; id?: string; run(): void; disabled?: boolean } | false)[],
): void {
  openPopover(anchor, label, ({ close }) =>
    items.map(
      (item) =>
        item &&
        button(
          item.words,
          () => {
            close();
            item.run();
          },
          {
            class: "menu-item",
            ...(item.id !== undefined && { id: item.id }),
            attributes: { disabled: item.disabled === true },
          },
        ),
    ),
  );
}
