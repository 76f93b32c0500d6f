import * as vscode from "vscode";
import type { Command, Graft } from "../context.ts";
import { wake } from "../wake.ts";
import { chooseAdapter } from "./pickers.ts";
import { requireTrust, withAdapter } from "./steps.ts";

/** Mixes an adapter into the active ones with a weight; 0 takes it out. */
export const setAdapterWeight: Command = {
  id: "graft.setAdapterWeight",
  async run(graft, argument) {
    if (!requireTrust()) return;
    await wake(graft.session);
    const adapter = await chooseAdapter(graft, argument, {
      placeHolder: vscode.l10n.t("Adapter to mix in"),
    });
    if (!adapter) return;
    await withAdapter(graft, adapter, async ({ name }) => {
      const weight = await askWeight(graft, name);
      if (weight !== undefined) await setWeight(graft, name, weight);
    });
  },
};

async function askWeight(graft: Graft, name: string): Promise<number | undefined> {
  const now = graft.session.state.active.find((a) => a.name === name)?.weight ?? 1;
  const text = await vscode.window.showInputBox({
    title: vscode.l10n.t("Weight of {0}", name),
    prompt: vscode.l10n.t("1 is as trained, 0 takes it out of the answers"),
    value: String(now),
    ignoreFocusOut: true,
    validateInput: (value) =>
      value.trim() !== "" && Number.isFinite(Number(value))
        ? undefined
        : vscode.l10n.t("A number, such as 0.5"),
  });
  return text === undefined ? undefined : Number(text);
}

async function setWeight({ session }: Graft, name: string, weight: number): Promise<void> {
  const { active } = session.state;
  const known = active.some((a) => a.name === name);
  const changed = known
    ? active.map((a) => (a.name === name ? { ...a, weight } : a))
    : [...active, { name, weight }];
  await session.activate(changed.filter((a) => a.weight !== 0));
}
