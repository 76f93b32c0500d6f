import * as path from "node:path";
import * as vscode from "vscode";
import type { Command, Graft } from "../context.ts";
import { HostError } from "../failure.ts";
import { type Link, readLink, splitLink } from "../links.ts";
import { formatBytes } from "../views/format.ts";
import { presentError } from "../views/errors.ts";
import { withProgress } from "../views/progress.ts";
import { loadFromHub } from "./hubSteps.ts";
import { exists, requireTrust } from "./steps.ts";

/** Opens what a link names; the editor's own links come through the handler below. */
export const openLink: Command = {
  id: "graft.openLink",
  async run(graft, argument) {
    const text = typeof argument === "string" ? argument : await askForLink();
    if (text === undefined) return;
    const parts = splitLink(text);
    await follow(
      graft,
      parts
        ? readLink(parts)
        : { kind: "refused", reason: vscode.l10n.t("it is no link to Graft") },
    );
  },
};

export function handleLinks(graft: Graft): vscode.Disposable {
  return vscode.window.registerUriHandler({
    handleUri: (uri) =>
      follow(graft, readLink(uri)).catch((thrown: unknown) => void presentError(graft, thrown)),
  });
}

async function follow(graft: Graft, link: Link): Promise<void> {
  switch (link.kind) {
    case "refused":
      throw new HostError(
        "bad-request",
        vscode.l10n.t(
          "The link was not followed: {0}. Links are described in docs/links.md.",
          link.reason,
        ),
      );
    case "path":
      return openFolder(graft, link.path);
    case "hub":
      return openFromHub(graft, link);
    default:
      return link satisfies never;
  }
}

/** Shows what the folder holds. Loading is the user's own step: a link comes from anywhere. */
async function openFolder(graft: Graft, folder: string): Promise<void> {
  if (!(await exists(vscode.Uri.file(path.join(folder, "adapter_config.json"))))) {
    const text = vscode.l10n.t(
      "The link names {0}, which holds no adapter_config.json on this machine. Ask whoever sent it for the adapter's Hub id.",
      folder,
    );
    throw new HostError("not-found", text);
  }
  graft.log.info(`A link opens ${folder}.`);
  graft.inspectors.show(folder);
}

async function openFromHub(
  graft: Graft,
  { id, revision }: { id: string; revision?: string },
): Promise<void> {
  if (!requireTrust()) return;
  const place = { id, ...(revision !== undefined && { revision }) };
  const asking = vscode.l10n.t("A link names {0} on the Hugging Face Hub.", id);
  const ask = vscode.l10n.t("Ask the Hub");
  // Nothing leaves this machine before the user agrees, not even the question how large it is.
  const detail = vscode.l10n.t(
    "Graft asks the Hub how large it is and shows that before it downloads.",
  );
  const agreed = await vscode.window.showInformationMessage(asking, { modal: true, detail }, ask);
  if (agreed !== ask) return;
  const title = vscode.l10n.t("Asking the Hub about {0}", id);
  const plan = await withProgress(title, ({ signal }) =>
    graft.hub.ask("planDownload", { ...place, withBase: false }, { signal }),
  );
  const download = vscode.l10n.t("Download and Load");
  const size = formatBytes(plan.allBytes);
  const text =
    plan.allBytes === 0
      ? vscode.l10n.t("{0} ({1}) is on this machine already.", id, plan.kind)
      : vscode.l10n.t("Download {0} ({1}, {2}) and load it?", id, plan.kind, size);
  const load = plan.allBytes === 0 ? vscode.l10n.t("Load") : download;
  if ((await vscode.window.showInformationMessage(text, { modal: true }, load)) !== load) return;
  await loadFromHub(graft, place, plan.kind === "adapter");
}

function askForLink(): Thenable<string | undefined> {
  return vscode.window.showInputBox({
    title: vscode.l10n.t("Open Link"),
    prompt: vscode.l10n.t("A link to an adapter in a folder or on the Hub"),
    placeHolder: "vscode://graft.graft/adapter?id=owner/name",
    ignoreFocusOut: true,
  });
}
