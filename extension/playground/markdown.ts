import { t } from "@vscode/l10n";
import type { SavedConversation } from "../protocol/playgroundContract.ts";
import { columnTitle } from "./columnTitle.ts";

/** The whole conversation: a chat as turns, a comparison as one table for each prompt. */
export function markdownOf(conversation: SavedConversation, base: string): string {
  const { columns, exchanges, settings } = conversation;
  const parts = [`# ${base}: ${columns.map(columnTitle).join(" | ")}`];
  if (settings.system.trim() !== "") parts.push(`> ${settings.system.replaceAll("\n", "\n> ")}`);
  for (const { prompt, answers } of exchanges) {
    parts.push(`## ${prompt.replace(/\s*\n\s*/g, " ")}`);
    const said = columns.map((column) => ({
      title: answers[column.id]?.label ?? columnTitle(column),
      text: answers[column.id]?.text ?? t("not asked"),
    }));
    if (columns.length === 1) parts.push(`**${said[0]?.title}**`, said[0]?.text ?? "");
    else parts.push(table(said));
  }
  return `${parts.join("\n\n")}\n`;
}

function table(rows: readonly { title: string; text: string }[]): string {
  const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", "<br>");
  return [
    `| ${t("Model")} | ${t("Answer")} |`,
    "| --- | --- |",
    ...rows.map(({ title, text }) => `| ${cell(title)} | ${cell(text)} |`),
  ].join("\n");
}
