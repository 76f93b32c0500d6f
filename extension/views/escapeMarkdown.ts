/**
 * A text as one line of Markdown: whatever it holds, it becomes no Markdown, icon or link. Unlike
 * `MarkdownString.appendText` it leaves spaces as they are, at which long texts break.
 */
export function escapeMarkdown(text: string): string {
  return text.replace(/\s+/g, " ").replace(/[\\`*_{}[\]()#+\-.!|<>$~&]/g, (sign) => {
    return sign === "&" ? "&amp;" : sign === "<" ? "&lt;" : `\\${sign}`;
  });
}

/** A row of a table of two columns; a name that broke would be two lines beside one of value. */
export function markdownRow(name: string, value: string): string {
  const whole = `${escapeMarkdown(name)} `.replaceAll(" ", "&nbsp;");
  return `| ${whole} | ${escapeMarkdown(value)} |`;
}
