import * as vscode from "vscode";
import type { Command } from "../context.ts";
import { wake } from "../wake.ts";
import { pathsOf } from "./pickers.ts";
import { requireBase, requireTrust, withAdapters } from "./steps.ts";

/** Makes several adapters take part in answers together, each with an equal share of the whole. */
export const mixAdapters: Command = {
  id: "graft.mixAdapters",
  async run(graft, argument, selected) {
    if (!requireTrust()) return;
    await wake(graft.session);
    const { session } = graft;
    const title = vscode.l10n.t("Mixing adapters");
    const given = pathsOf(argument, selected);
    if (given.length === 0 && !(await requireBase(graft, title))) return;
    const paths = given.length > 1 ? given : await choose();
    if (paths.length === 0) return;
    await withAdapters(graft, paths, async (loaded) => {
      const weight = Math.round(1000 / loaded.length) / 1000;
      await session.activate(loaded.map(({ name }) => ({ name, weight })));
      const names = loaded.map(({ name }) => `${name} ×${weight}`).join(" + ");
      vscode.window.setStatusBarMessage(`$(check) ${names}`, 5000);
    });

    async function choose(): Promise<string[]> {
      const { adapters, fits, loaded } = session.state;
      const items = adapters
        .filter((a) => loaded.some((l) => l.path === a.path) || fits.get(a.path)?.fits === true)
        .map((a) => ({
          label: a.name,
          description: a.method,
          picked: given.includes(a.path),
          path: a.path,
        }));
      const placeHolder = vscode.l10n.t("Adapters to mix");
      const chosen = await vscode.window.showQuickPick(items, { placeHolder, canPickMany: true });
      return (chosen ?? []).map(({ path }) => path);
    }
  },
};
