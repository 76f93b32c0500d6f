import type { Command } from "../context.ts";
import { wake } from "../wake.ts";
import { pathsOf } from "./pickers.ts";
import { requireTrust, withAdapters } from "./steps.ts";

/** Shows all loaded adapters side by side; those that it is called for are loaded first. */
export const compareStatus: Command = {
  id: "graft.compareStatus",
  async run(graft, argument, selected) {
    if (!requireTrust()) return;
    await wake(graft.session);
    const paths = pathsOf(argument, selected);
    await withAdapters(graft, paths, () => Promise.resolve(graft.status.show()));
  },
};
