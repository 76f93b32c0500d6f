import type { Command } from "../context.ts";
import { wake } from "../wake.ts";
import { pathOf } from "./pickers.ts";
import { withAdapter } from "./steps.ts";

/** Opens the playground; with an adapter, loads and activates it there. */
export const openPlayground: Command = {
  id: "graft.openPlayground",
  async run(graft, argument) {
    const { playground, session } = graft;
    const path = pathOf(argument);
    if (path === undefined) {
      playground.show({ text: null, adapter: null });
      return wake(session);
    }
    await wake(session);
    const adapter = session.state.adapters.find((a) => a.path === path);
    if (!adapter) return playground.show({ text: null, adapter: null });
    return withAdapter(graft, adapter, async ({ name }) => {
      await session.activate([{ name, weight: 1 }]);
      playground.show({ text: null, adapter: name });
    });
  },
};
