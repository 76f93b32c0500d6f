import type * as vscode from "vscode";
import { type Arrangement, groupings, orders, usualArrangement } from "./views/arrangement.ts";

const mementoKey = "graft.adapterArrangement";

/**
 * How the Adapters view is laid out in this window. Grouping and order are remembered; the filter is
 * not: one that was forgotten would hide adapters.
 */
export class Layout {
  private arrangement: Arrangement;
  private readonly listeners = new Set<(arrangement: Arrangement) => void>();

  constructor(private readonly memory: Pick<vscode.Memento, "get" | "update">) {
    const kept = memory.get<Partial<Arrangement>>(mementoKey) ?? {};
    this.arrangement = {
      ...usualArrangement,
      // What another version has left may not be known here.
      ...(kept.grouping && groupings.includes(kept.grouping) && { grouping: kept.grouping }),
      ...(kept.order && orders.includes(kept.order) && { order: kept.order }),
    };
  }

  get current(): Arrangement {
    return this.arrangement;
  }

  change(change: Partial<Arrangement>): void {
    this.arrangement = { ...this.arrangement, ...change };
    const { grouping, order } = this.arrangement;
    void this.memory.update(mementoKey, { grouping, order });
    for (const listener of [...this.listeners]) listener(this.arrangement);
  }

  onDidChange(listener: (arrangement: Arrangement) => void): { dispose(): void } {
    this.listeners.add(listener);
    return { dispose: () => void this.listeners.delete(listener) };
  }
}
