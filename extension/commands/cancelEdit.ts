import type { Command } from "../context.ts";
import { ThreadComment } from "../views/inlineConversation.ts";

/** Leaves an edited question as it was asked. */
export const cancelEdit: Command = {
  id: "graft.cancelEdit",
  run(_, argument) {
    if (argument instanceof ThreadComment) argument.conversation.edit(argument, false);
  },
};
