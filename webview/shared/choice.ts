import { element } from "./element.ts";

/** A row of mutually exclusive options, as a radio group that arrow keys walk through. */
export function choice<T extends string>(options: {
  id: string;
  label: string;
  items: readonly { value: T; label: string; disabled?: boolean }[];
  value: T;
  onChange: (value: T) => void;
}): HTMLElement {
  const { id, label, items, onChange } = options;
  let selected = options.value;
  const buttons = items.map((item) =>
    element(
      "button",
      {
        class: "choice-item",
        attributes: {
          type: "button",
          role: "radio",
          id: `${id}-${item.value}`,
          disabled: item.disabled,
        },
        on: { click: () => select(item.value) },
      },
      item.label,
    ),
  );
  const paint = (): void => {
    items.forEach((item, index) => {
      const isSelected = item.value === selected;
      buttons[index]?.setAttribute("aria-checked", String(isSelected));
      buttons[index]?.setAttribute("tabindex", isSelected ? "0" : "-1");
    });
  };
  const select = (value: T): void => {
    if (value === selected) return;
    selected = value;
    paint();
    onChange(value);
  };
  const step = (by: number): void => {
    const enabled = items.filter((item) => item.disabled !== true);
    const at = enabled.findIndex((item) => item.value === selected);
    const next = enabled[(at + by + enabled.length) % enabled.length];
    if (!next) return;
    select(next.value);
    buttons[items.indexOf(next)]?.focus();
  };
  const onKey = (event: KeyboardEvent): void => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    step(by);
  };
  paint();
  return element(
    "div",
    { class: "choice" },
    element("span", { class: "choice-label", attributes: { id: `${id}-label` } }, label),
    element(
      "div",
      {
        class: "choice-items",
        attributes: { role: "radiogroup", "aria-labelledby": `${id}-label` },
        on: { keydown: onKey },
      },
      ...buttons,
    ),
  );
}
