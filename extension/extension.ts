import "./texts.ts";
import * as vscode from "vscode";
import type { GraftApi } from "./api.ts";
import { createApi } from "./apiHost.ts";
import { registerCommands } from "./commands/index.ts";
import { handleLinks } from "./commands/openLink.ts";
import { type Graft, quantizedFolder } from "./context.ts";
import { Hub } from "./hub.ts";
import { AdapterConfigLanguage } from "./language/adapterConfigLanguage.ts";
import { Layout } from "./layout.ts";
import { createModels, forkEngine } from "./models.ts";
import { ModelWatch } from "./modelWatch.ts";
import { RecentLog } from "./recentLog.ts";
import { createRuns } from "./training/createRuns.ts";
import { estimateApart } from "./training/estimate.ts";
import { AdapterTree } from "./views/adapterTree.ts";
import { Answers } from "./views/answers.ts";
import { BaseModelTree } from "./views/baseModelTree.ts";
import { ComparePanels } from "./views/comparePanel.ts";
import { ChatProvider } from "./views/chatProvider.ts";
import { mirrorContextKeys } from "./views/contextKeys.ts";
import { presentError } from "./views/errors.ts";
import { InlineThreads } from "./views/inlineThreads.ts";
import { InspectorPanels } from "./views/inspectorPanel.ts";
import { PlaygroundPanel } from "./views/playgroundPanel.ts";
import { Prompts } from "./views/prompts.ts";
import { Reports } from "./views/reports.ts";
import { RunPanels } from "./views/runPanel.ts";
import { RunStatus } from "./views/runStatus.ts";
import { StatusBar } from "./views/statusBar.ts";
import { StatusPanel } from "./views/statusPanel.ts";
import { TensorEditor } from "./views/tensorEditor.ts";
import { TrainPanels } from "./views/trainPanel.ts";
import { showRuns } from "./views/runTree.ts";
import { showTree } from "./views/trees.ts";

export function activate(extension: vscode.ExtensionContext): GraftApi {
  const log = vscode.window.createOutputChannel("Graft", { log: true });
  extension.subscriptions.push(log);
  try {
    return createApi(start(extension, log));
  } catch (error) {
    log.error(error instanceof Error ? error : String(error));
    void vscode.window.showErrorMessage(
      vscode.l10n.t(
        "Graft could not start: {0} Reload the window, and reinstall Graft where that does not help.",
        String(error),
      ),
    );
    throw error;
  }
}

function start(extension: vscode.ExtensionContext, output: vscode.LogOutputChannel): Graft {
  const recent = new RecentLog(output);
  const log = recent.channel;
  const { engine, session } = createModels(extension, log);
  const runs = createRuns(extension, { engine, log });
  const graft: Graft = {
    extension,
    log,
    recent,
    engine,
    session,
    layout: new Layout(extension.workspaceState),
    hub: new Hub(engine, extension.secrets),
    answers: new Answers(session),
    threads: new InlineThreads({ engine, session }),
    comparisons: new ComparePanels(extension, session, engine),
    inspectors: new InspectorPanels(extension, session, engine),
    playground: new PlaygroundPanel(extension, { engine, session }),
    status: new StatusPanel(extension, session),
    prompts: new Prompts(),
    reports: new Reports(extension),
    runs,
    runPanels: new RunPanels(extension, { runs, engine }),
    trainPanels: new TrainPanels(extension, {
      ...{ session, engine, runs },
      estimate: (config, options) => {
        const params = { config, quantCache: quantizedFolder(extension) };
        return estimateApart(params, () => forkEngine(extension), options);
      },
    }),
  };
  const refresh = (): void => void session.refresh().catch((error) => presentError(graft, error));
  extension.subscriptions.push(
    engine,
    graft.answers,
    graft.threads,
    graft.comparisons,
    graft.inspectors,
    graft.playground,
    graft.status,
    graft.prompts,
    graft.runPanels,
    graft.trainPanels,
    registerCommands(graft),
    showTree(graft, "graft.baseModels", new BaseModelTree(session)),
    showTree(graft, "graft.adapters", new AdapterTree(session, graft.layout)),
    showRuns(graft),
    new AdapterConfigLanguage(graft),
    new StatusBar(session),
    new RunStatus(runs),
    new ChatProvider(graft),
    new TensorEditor(extension, engine).register(),
    mirrorContextKeys(session, graft.layout),
    handleLinks(graft),
    new ModelWatch(session, (thrown) => void presentError(graft, thrown)),
    vscode.workspace.onDidGrantWorkspaceTrust(refresh),
  );
  graft.prompts.start(graft);
  return graft;
}
