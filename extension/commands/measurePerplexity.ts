import type { Command } from "../context.ts";

/** How surprising a text, or the selection of it, is to the base and to adapters. */
export const measurePerplexity: Command = {
  id: "graft.measurePerplexity",
  async run(graft, argument) {
    const { measurePerplexity: run } = await import("../views/perplexity.ts");
    await run(graft, argument);
  },
};
