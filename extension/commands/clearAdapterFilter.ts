import type { Command } from "../context.ts";

export const clearAdapterFilter: Command = {
  id: "graft.clearAdapterFilter",
  run: ({ layout }) => layout.change({ filter: "" }),
};
