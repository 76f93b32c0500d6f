import type { Command } from "../context.ts";
import { ThreadComment } from "../views/inlineConversation.ts";

export const editQuestion: Command = {
  id: "graft.editQuestion",
  run(_, argument) {
    if (argument instanceof ThreadComment) argument.conversation.edit(argument, true);
  },
};
