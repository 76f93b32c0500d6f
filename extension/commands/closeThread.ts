import type { Command } from "../context.ts";

export const closeThread: Command = {
  id: "graft.closeThread",
  run({ threads }, argument) {
    const conversation = threads.find(argument);
    if (conversation) threads.close(conversation);
  },
};
