import * as vscode from "vscode";
import type { Command, Graft } from "../context.ts";
import { failureOf } from "../failure.ts";
import type { BaseModelInfo } from "../protocol/engineContract.ts";
import type { HubAdapterInfo, HubModelSummary } from "../protocol/hubContract.ts";
import { formatBytes, formatCount, formatMethod } from "../views/format.ts";
import { loadFromHub } from "./hubSteps.ts";
import { requireTrust } from "./steps.ts";

/** What is looked for. */
type Scope = "fitting" | "adapters" | "models";

/** How many rows are asked for, and of how many the size is asked. */
const limit = 30;
const detailed = 12;
const typingPause = 300;

/** Finds adapters for the loaded base, or any models, on the Hub; the one that is picked is loaded. */
export const searchHub: Command = {
  id: "graft.searchHub",
  async run(graft) {
    if (!requireTrust()) return;
    const chosen = await new HubSearch(graft).choose();
    if (chosen) await loadFromHub(graft, { id: chosen.id }, chosen.isAdapter);
  },
};

interface Item extends vscode.QuickPickItem {
  id?: string;
}

/** One picker over the Hub; what was asked before is dropped when something else is typed. */
class HubSearch {
  private readonly picker = vscode.window.createQuickPick<Item>();
  private asking = new AbortController();
  private timer: NodeJS.Timeout | undefined;
  private scope: Scope;

  constructor(private readonly graft: Graft) {
    this.scope = this.base === undefined ? "adapters" : "fitting";
  }

  async choose(): Promise<{ id: string; isAdapter: boolean } | undefined> {
    const { picker } = this;
    picker.title = vscode.l10n.t("Hugging Face Hub");
    picker.ignoreFocusOut = true;
    picker.onDidChangeValue(() => this.soon());
    picker.onDidTriggerButton((button) => this.enter((button as ScopeButton).scope));
    const chosen = new Promise<string | undefined>((resolve) => {
      picker.onDidAccept(() => resolve(picker.selectedItems[0]?.id));
      picker.onDidHide(() => resolve(undefined));
    });
    this.enter(this.scope);
    picker.show();
    const id = await chosen.finally(() => {
      clearTimeout(this.timer);
      this.asking.abort();
      picker.dispose();
    });
    return id === undefined ? undefined : { id, isAdapter: this.scope !== "models" };
  }

  private get base(): BaseModelInfo | undefined {
    return this.graft.session.state.base ?? undefined;
  }

  private enter(scope: Scope, isInstead = false): void {
    this.scope = scope;
    this.picker.buttons = scopeButtons(scope, this.base !== undefined && !isInstead);
    const name = this.base?.name ?? "";
    this.picker.placeholder = isInstead
      ? vscode.l10n.t("All PEFT adapters: {0} did not come from the Hub", name)
      : placeholders(name)[scope];
    void this.search();
  }

  private soon(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.search(), typingPause);
  }

  private async search(): Promise<void> {
    this.asking.abort();
    const { signal } = (this.asking = new AbortController());
    const { picker, scope, base } = this;
    picker.busy = true;
    try {
      const kind = scope === "models" ? "models" : "adapters";
      const of = scope === "fitting" && base ? { base: base.path } : {};
      const asked = { kind, query: picker.value.trim(), limit, ...of } as const;
      const found = await this.graft.hub.ask("searchHub", asked, { signal });
      if (signal.aborted) return;
      // Nobody can have named a base that is not of the Hub: all adapters are shown instead.
      if (scope === "fitting" && found.base === null) return this.enter("adapters", true);
      picker.items =
        found.models.length > 0 ? found.models.map((each) => itemOf(each)) : [nothing()];
      if (kind === "adapters") await this.addDetails(found.models, signal);
    } catch (thrown) {
      if (!signal.aborted) picker.items = failed(failureOf(thrown).message);
    } finally {
      if (!signal.aborted) picker.busy = false;
    }
  }

  /** Size, method and rank of the rows at the top. */
  private async addDetails(models: readonly HubModelSummary[], signal: AbortSignal): Promise<void> {
    const { picker, graft } = this;
    const known = new Map<string, HubAdapterInfo>();
    for (const { id } of models.slice(0, detailed)) {
      const info = await graft.hub.ask("describeHubAdapter", { id }, { signal }).catch(() => null);
      if (signal.aborted) return;
      if (!info) continue;
      known.set(id, info);
      const [active] = picker.activeItems;
      picker.keepScrollPosition = true;
      picker.items = models.map((model) => itemOf(model, known.get(model.id)));
      const same = picker.items.find((item) => item.id === active?.id);
      if (same) picker.activeItems = [same];
    }
  }
}

interface ScopeButton extends vscode.QuickInputButton {
  scope: Scope;
}

function scopeButtons(current: Scope, hasBase: boolean): ScopeButton[] {
  const all: ScopeButton[] = [
    {
      scope: "fitting",
      iconPath: new vscode.ThemeIcon("filter"),
      tooltip: vscode.l10n.t("Adapters for the loaded base"),
    },
    {
      scope: "adapters",
      iconPath: new vscode.ThemeIcon("extensions"),
      tooltip: vscode.l10n.t("All adapters"),
    },
    {
      scope: "models",
      iconPath: new vscode.ThemeIcon("server-environment"),
      tooltip: vscode.l10n.t("Base models"),
    },
  ];
  return all.filter(({ scope }) => scope !== current && (scope !== "fitting" || hasBase));
}

function placeholders(base: string): Readonly<Record<Scope, string>> {
  return {
    fitting: vscode.l10n.t("Adapters trained on {0}", base),
    adapters: vscode.l10n.t("All PEFT adapters"),
    models: vscode.l10n.t("Base models"),
  };
}

function itemOf(model: HubModelSummary, info?: HubAdapterInfo): Item {
  const { id, likes, downloads, licence, isGated, isPrivate, bases } = model;
  const facts = [
    info ? formatMethod(info) : "",
    info ? formatBytes(info.bytes) : "",
    licence ?? "",
    isGated ? vscode.l10n.t("gated") : "",
    isPrivate ? vscode.l10n.t("private") : "",
    info?.problem ?? "",
  ];
  const use = `$(heart) ${formatCount(likes)}  $(cloud-download) ${formatCount(downloads)}`;
  const [base] = bases;
  const detail = base === undefined ? use : `${use}  ${vscode.l10n.t("for {0}", base)}`;
  const description = facts.filter(Boolean).join(" · ");
  // What the Hub found is shown, whatever the picker's own filter would say.
  return { label: id, description, detail, alwaysShow: true, id };
}

/** A sentence a row: a row that is too long is cut off. */
function failed(message: string): Item[] {
  const sentences = message.split(/(?<=[.!?]) (?=\p{Lu})/u);
  return sentences.map((label) => ({ label, alwaysShow: true }));
}

function nothing(): Item {
  return { label: vscode.l10n.t("Nothing was found."), alwaysShow: true };
}
