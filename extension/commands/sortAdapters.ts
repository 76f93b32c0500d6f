import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { type Order, orders } from "../views/arrangement.ts";
import { chooseOne } from "./chooseOne.ts";

/** Chooses the order of the Adapters view; the view's menu has an entry for each. */
const sortAdapters: Command = {
  id: "graft.sortAdapters",
  async run({ layout }) {
    const labels: Record<Order, string> = {
      name: vscode.l10n.t("Name"),
      size: vscode.l10n.t("Size"),
      date: vscode.l10n.t("Date"),
      effect: vscode.l10n.t("Effect"),
    };
    const title = vscode.l10n.t("Sort Adapters By");
    const order = await chooseOne(orders, { title, labels, now: layout.current.order });
    if (order) layout.change({ order });
  },
};

export const sortCommands: readonly Command[] = [
  sortAdapters,
  sortBy("graft.sortAdaptersByName", "name"),
  sortBy("graft.sortAdaptersBySize", "size"),
  sortBy("graft.sortAdaptersByDate", "date"),
  sortBy("graft.sortAdaptersByEffect", "effect"),
];

function sortBy(id: Command["id"], order: Order): Command {
  return { id, run: ({ layout }) => layout.change({ order }) };
}
