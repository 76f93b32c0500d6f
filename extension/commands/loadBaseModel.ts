import type { Command } from "../context.ts";
import { chooseBase } from "./pickers.ts";
import { loadBase, requireTrust } from "./steps.ts";

export const loadBaseModel: Command = {
  id: "graft.loadBaseModel",
  async run(graft, argument) {
    if (!requireTrust()) return;
    const base = await chooseBase(graft, argument);
    if (base) await loadBase(graft, base.path);
  },
};
