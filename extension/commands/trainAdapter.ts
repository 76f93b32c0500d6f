import type { Command } from "../context.ts";
import { newDraft } from "../training/draft.ts";
import { wake } from "../wake.ts";
import { untrusted } from "../training/trust.ts";
import { pathOf } from "./pickers.ts";
import { requireTrust } from "./steps.ts";

/** Opens the form that trains a new adapter; of a row of the Base Models view, on that base. */
export const trainAdapter: Command = {
  id: "graft.trainAdapter",
  async run(graft, argument) {
    if (!requireTrust(untrusted().message)) return;
    await wake(graft.session);
    const path = pathOf(argument);
    const base = graft.session.state.bases.find((each) => each.path === path);
    await graft.trainPanels.show(base && newDraft(base));
  },
};
