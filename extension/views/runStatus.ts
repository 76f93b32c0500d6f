import { commands, Disposable, l10n, StatusBarAlignment, type StatusBarItem, window } from "vscode";
import type { RunSummary } from "../protocol/runsContract.ts";
import type { RunNews, Runs } from "../training/runs.ts";
import { runRow, runStatus } from "./runRows.ts";
import { throttle } from "./throttle.ts";

/** Says in the status bar how far training is; and, when a run of this window ends, how it did. */
export class RunStatus implements Disposable {
  private readonly item: StatusBarItem;
  private readonly subscriptions: Disposable;

  constructor(private readonly runs: Runs) {
    this.item = window.createStatusBarItem("graft.training", StatusBarAlignment.Right, 89);
    this.item.name = l10n.t("Graft: Training");
    const drawing = throttle(() => this.draw(), 250);
    const listening = runs.onDidChange((news) => {
      drawing.request();
      if (news) sayEnd(news);
    });
    const interrupted = runs.onInterrupted(sayInterrupted);
    this.subscriptions = Disposable.from(this.item, listening, interrupted);
    this.draw();
  }

  dispose(): void {
    this.subscriptions.dispose();
  }

  private draw(): void {
    const { live } = this.runs;
    const status = runStatus(live);
    if (!status) return this.item.hide();
    const { text, words, folder } = status;
    this.item.text = text;
    this.item.accessibilityInformation = { label: l10n.t("Graft trains: {0}", words) };
    this.item.tooltip = live.map(line).join("\n");
    this.item.command = {
      command: "graft.showRun",
      title: l10n.t("Show Run"),
      ...(folder !== null && { arguments: [folder] }),
    };
    this.item.show();
  }
}

function line(run: RunSummary): string {
  return `${run.name}: ${runRow(run).description}`;
}

function sayEnd({ summary, events }: RunNews): void {
  const end = events.findLast((event) => event.kind === "state");
  const { name, folder } = summary;
  const load = l10n.t("Load Adapter");
  const show = l10n.t("Show Run");
  const open = (chosen: string | undefined): void => {
    const command = chosen === load ? "graft.loadRunAdapter" : "graft.showRun";
    if (chosen !== undefined) void commands.executeCommand(command, folder);
  };
  if (end?.state === "finished") {
    const text = l10n.t("{0} is trained.", name);
    void window.showInformationMessage(text, load, show).then(open);
  }
  if (end?.state === "failed") {
    const text = l10n.t("Training {0} has ended: {1}", name, end.message ?? "");
    void window.showErrorMessage(text, show).then(open);
  }
}

function sayInterrupted({ name, folder, step }: RunSummary): void {
  const goOn = l10n.t("Continue Run");
  const show = l10n.t("Show Run");
  const text = l10n.t(
    "Training {0} was interrupted at step {1}: its process is gone. Nothing that was saved is lost.",
    name,
    step,
  );
  void window.showWarningMessage(text, goOn, show).then((chosen) => {
    const command = chosen === goOn ? "graft.continueRun" : "graft.showRun";
    if (chosen !== undefined) void commands.executeCommand(command, folder);
  });
}
