import type { Command } from "../context.ts";

export const showLog: Command = { id: "graft.showLog", run: ({ log }) => log.show() };
