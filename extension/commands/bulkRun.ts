import type { Command } from "../context.ts";

/** Answers the prompts of a JSONL or CSV file under any adapters; can be stopped and gone on with. */
export const bulkRun: Command = {
  id: "graft.bulkRun",
  async run(graft, argument) {
    const { bulkRun: run } = await import("../views/bulkRun.ts");
    await run(graft, argument);
  },
};
