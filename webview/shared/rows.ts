import { exactCount } from "./format.ts";
import { element } from "./element.ts";

const cap = 200;
const batch = 400;
/** Which filling of a body is the latest: an older one stops appending. */
const latest = new WeakMap<HTMLTableSectionElement, object>();

/**
 * Fills a table body with the first rows and a button for the rest, which then come in batches, a
 * frame each: a list of any length leaves the page responsive.
 */
export function fillRows<T>(
  body: HTMLTableSectionElement,
  items: readonly T[],
  options: { columns: number; row: (item: T) => HTMLElement; showAll: (all: string) => string },
): void {
  const { columns, row, showAll } = options;
  const filling = {};
  latest.set(body, filling);
  body.replaceChildren(...items.slice(0, cap).map(row));
  if (items.length <= cap) return;

  const appendFrom = (start: number): void => {
    if (latest.get(body) !== filling) return;
    body.append(...items.slice(start, start + batch).map(row));
    if (start + batch < items.length) requestAnimationFrame(() => appendFrom(start + batch));
  };
  const more = element(
    "tr",
    { class: "more" },
    element(
      "td",
      { attributes: { colspan: columns } },
      element(
        "vscode-button",
        {
          attributes: { appearance: "secondary" },
          on: {
            click: () => {
              more.remove();
              appendFrom(cap);
              const next = body.children.item(cap);
              // The button that had the focus is gone; go on where its rows begin.
              if (next instanceof HTMLElement) {
                next.tabIndex = -1;
                next.focus();
              }
            },
          },
        },
        showAll(exactCount(items.length)),
      ),
    ),
  );
  body.append(more);
}

/** A table with a header row; the caller fills the returned body. */
export function table(
  label: string,
  headings: readonly { text: string; class?: string }[],
): { root: HTMLTableElement; body: HTMLTableSectionElement } {
  const body = element("tbody");
  const root = element(
    "table",
    { class: "data", attributes: { "aria-label": label } },
    element(
      "thead",
      {},
      element(
        "tr",
        {},
        ...headings.map((heading) =>
          element("th", { class: heading.class ?? "", attributes: { scope: "col" } }, heading.text),
        ),
      ),
    ),
    body,
  );
  return { root, body };
}
