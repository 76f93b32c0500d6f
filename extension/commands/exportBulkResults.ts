import type { Command } from "../context.ts";

/** Writes the results of a bulk run as JSONL, CSV or a Markdown table. */
export const exportBulkResults: Command = {
  id: "graft.exportBulkResults",
  async run(_graft, argument) {
    const { exportBulk } = await import("../views/bulkResults.ts");
    await exportBulk(argument);
  },
};
