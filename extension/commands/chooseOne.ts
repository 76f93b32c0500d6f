import * as vscode from "vscode";

/** One of a few fixed choices, the present one marked by a word; undefined when the user leaves. */
export async function chooseOne<T extends string>(
  choices: readonly T[],
  { title, labels, now }: { title: string; labels: Record<T, string>; now: T },
): Promise<T | undefined> {
  const items = choices.map((value) => ({
    label: labels[value],
    description: value === now ? vscode.l10n.t("now") : "",
    iconPath: new vscode.ThemeIcon(value === now ? "check" : "blank"),
    value,
  }));
  return (await vscode.window.showQuickPick(items, { title }))?.value;
}
