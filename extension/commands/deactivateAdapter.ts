import type { Command } from "../context.ts";
import { pathOf } from "./pickers.ts";

/** Takes one adapter out of the answers; it stays loaded, and others that are active stay so. */
export const deactivateAdapter: Command = {
  id: "graft.deactivateAdapter",
  async run({ session }, argument) {
    const { loaded, active } = session.state;
    const own = loaded.find(({ path }) => path === pathOf(argument));
    await session.activate(active.filter(({ name }) => name !== own?.name));
  },
};
