import {
  elementScroll,
  observeElementOffset,
  observeElementRect,
  Virtualizer,
} from "@tanstack/virtual-core";

export interface VirtualList {
  /** Draws anew, for another number of rows or other rows. */
  update(count: number): void;
  /** Scrolls as little as needed to have a row in view. */
  reveal(index: number): void;
  /** Draws one row anew where it is drawn at all. */
  redraw(index: number): void;
  /** How many rows fit into view. */
  pageSize(): number;
  dispose(): void;
}

/**
 * Keeps only the rows of a long list in the page that are in view, and a few around them. All rows
 * are of one height; `body` stands inside `scroller` and gets the height of all.
 */
export function virtualList(options: {
  scroller: HTMLElement;
  body: HTMLElement;
  rowHeight: number;
  /** Height of what stays in sight above the rows. */
  headHeight?: number;
  row(index: number): HTMLElement;
}): VirtualList {
  const { scroller, body, rowHeight, headHeight = 0, row } = options;
  let drawn = new Map<number, HTMLElement>();
  let count = 0;
  const setup = (): ConstructorParameters<typeof Virtualizer<HTMLElement, HTMLElement>>[0] => ({
    count,
    getScrollElement: () => scroller,
    estimateSize: () => rowHeight,
    scrollToFn: elementScroll,
    observeElementRect,
    observeElementOffset,
    overscan: 10,
    scrollPaddingStart: headHeight,
    onChange: () => draw(),
  });
  const virtualizer = new Virtualizer<HTMLElement, HTMLElement>(setup());
  const draw = (): void => {
    const next = new Map<number, HTMLElement>();
    for (const { index, start } of virtualizer.getVirtualItems()) {
      const made = drawn.get(index) ?? row(index);
      made.style.transform = `translateY(${start}px)`;
      next.set(index, made);
    }
    for (const [index, old] of drawn) if (next.get(index) !== old) old.remove();
    // In the order of the list, whichever way it was scrolled: screen readers follow the page.
    [...next.values()].forEach((made, at) => {
      if (body.children[at] !== made) body.insertBefore(made, body.children[at] ?? null);
    });
    drawn = next;
  };
  const unmount = virtualizer._didMount();
  virtualizer._willUpdate();
  return {
    update(newCount) {
      count = newCount;
      body.style.height = `${count * rowHeight}px`;
      virtualizer.setOptions(setup());
      for (const old of drawn.values()) old.remove();
      drawn = new Map();
      virtualizer.measure();
      draw();
    },
    reveal: (index) => virtualizer.scrollToIndex(index, { align: "auto" }),
    redraw(index) {
      const old = drawn.get(index);
      if (!old) return;
      const made = row(index);
      made.style.transform = old.style.transform;
      old.replaceWith(made);
      drawn.set(index, made);
    },
    pageSize: () => Math.max(1, Math.floor((scroller.clientHeight - headHeight) / rowHeight)),
    dispose: unmount,
  };
}
