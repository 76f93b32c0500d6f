import type { Command } from "../context.ts";

export const stopAnswer: Command = {
  id: "graft.stopAnswer",
  run: ({ threads }, argument) => threads.find(argument)?.stop(),
};
