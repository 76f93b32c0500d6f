import { readFile } from "node:fs/promises";
import * as vscode from "vscode";
import type { EngineProcess } from "../engineProcess.ts";
import { Connection, type Handlers, type RequestOptions } from "../protocol/connection.ts";
import type { ProgressEvent } from "../protocol/engineContract.ts";
import type {
  BaseChoice,
  MethodForm,
  TrainPageContract,
  TrainPageHostContract,
} from "../protocol/trainPageContract.ts";
import type { RunConfig, TrainingEstimate } from "../protocol/trainingContract.ts";
import type { Session } from "../session.ts";
import { placeOfRuns } from "../training/createRuns.ts";
import { draftOf, newDraft } from "../training/draft.ts";
import { describeBase } from "../training/baseModules.ts";
import { type ConfigSchema, methodForms } from "../training/methodForms.ts";
import type { Runs } from "../training/runs.ts";
import { refuseUntrusted } from "../training/trust.ts";
import { formatCount } from "./format.ts";
import { OpenPanels } from "./openPanels.ts";
import { panelTransport, showPage } from "./webviewHtml.ts";

const viewType = "graft.train";

interface Parts {
  session: Session;
  engine: Pick<EngineProcess, "request">;
  runs: Runs;
  /** Measures a run beside the engine. */
  estimate(config: RunConfig, options: RequestOptions<ProgressEvent>): Promise<TrainingEstimate>;
}

/** Forms that start runs. One that begins empty is there once; each adapter or run has its own. */
export class TrainPanels implements vscode.Disposable {
  private readonly open = new OpenPanels();
  private readonly subscriptions: vscode.Disposable;

  constructor(
    private readonly extension: vscode.ExtensionContext,
    private readonly parts: Parts,
  ) {
    this.subscriptions = vscode.Disposable.from(
      this.open,
      parts.session.onDidChange(() => this.open.refresh()),
      vscode.window.registerWebviewPanelSerializer(viewType, {
        deserializeWebviewPanel: async (panel, state) => {
          const draft = draftOf((state as { draft?: unknown } | null)?.draft);
          this.attach(panel, draft ?? newDraft(undefined));
          await parts.session.discovered().catch(() => undefined);
        },
      }),
    );
  }

  /** @param draft what the form is filled with; without it, an empty form is brought to the front */
  async show(draft?: RunConfig): Promise<void> {
    const { session } = this.parts;
    const subject = draft ? subjectOf(draft) : "";
    if (this.open.reveal(subject)) return;
    await session.discovered().catch(() => undefined);
    const { base, bases } = session.state;
    const title = draft ? vscode.l10n.t("Train {0}", draft.name) : vscode.l10n.t("Train Adapter");
    const column = vscode.ViewColumn.Active;
    const panel = vscode.window.createWebviewPanel(viewType, title, column);
    this.attach(panel, draft ?? newDraft(base ?? bases.find((each) => !each.unsupported)), subject);
  }

  dispose(): void {
    this.subscriptions.dispose();
  }

  private attach(panel: vscode.WebviewPanel, draft: RunConfig, subject = subjectOf(draft)): void {
    const { extensionUri } = this.extension;
    const schema = vscode.Uri.joinPath(extensionUri, "media/schemas/adapter_config.schema.json");
    const handlers = handlersOf(this.parts, {
      draft,
      schema: schema.fsPath,
      close: () => panel.dispose(),
    });
    const page = new Connection<TrainPageHostContract, TrainPageContract>(
      panelTransport(panel),
      handlers,
    );
    let sent = "";
    const update = (): void => {
      const bases = basesOf(this.parts.session);
      const look = JSON.stringify(bases);
      if (look === sent) return;
      sent = look;
      void page.request("bases", { bases }).catch(() => undefined);
    };
    showPage(panel, extensionUri, "train");
    this.open.put(subject, panel, update);
    panel.onDidDispose(() => this.open.forget(panel));
  }
}

/** Two forms for one thing would be one too many. */
function subjectOf({ name, base, adapter }: RunConfig): string {
  return adapter.kind === "continue" ? adapter.path : `${name} on ${base}`;
}

function handlersOf(
  { session, engine, runs, estimate }: Parts,
  page: { draft: RunConfig; schema: string; close(): void },
): Handlers<TrainPageHostContract> {
  return {
    ready: async ({ draft }) => ({
      draft: draftOf(draft) ?? page.draft,
      bases: basesOf(session),
      methods: await trainable(engine, page.schema),
      place: placeOfRuns(),
    }),
    browseBase: () => pickFolder(),
    pickFiles: () => pickFiles(),
    droppedFiles: ({ uris }) =>
      uris
        .map((uri) => vscode.Uri.parse(uri))
        .flatMap((u) => (u.scheme === "file" ? u.fsPath : [])),
    describeBase: (params, { signal }) => describeBase(engine, params, signal),
    describeData: (params, { signal }) =>
      engine.request("describeTrainingData", params, { signal }),
    preview: ({ base, data }, { signal, emit }) =>
      engine.request("previewTrainingData", { base, data, examples: 3 }, { signal, onEvent: emit }),
    estimate: ({ config }, { signal, emit }) => {
      refuseUntrusted();
      return estimate(config, { signal, onEvent: emit });
    },
    exportJob: async ({ config }) => {
      await vscode.commands.executeCommand("graft.exportTrainingJob", config);
      return null;
    },
    openFile: async ({ file, line }) => {
      const at = new vscode.Position(Math.max(0, (line ?? 1) - 1), 0);
      const options = { selection: new vscode.Range(at, at), preview: true };
      await vscode.commands.executeCommand("vscode.open", vscode.Uri.file(file), options);
      return null;
    },
    start: async ({ config }) => {
      refuseUntrusted();
      const folder = await runs.start(config);
      page.close();
      await vscode.commands.executeCommand("graft.showRun", folder);
      return null;
    },
  };
}

async function trainable(
  engine: Pick<EngineProcess, "request">,
  schema: string,
): Promise<MethodForm[]> {
  const [types, text] = await Promise.all([
    engine.request("trainableMethods", null),
    readFile(schema, "utf8"),
  ]);
  const translate: (text: string) => string = vscode.l10n.t;
  return methodForms(JSON.parse(text) as ConfigSchema, types, translate);
}

function basesOf({ state }: Session): BaseChoice[] {
  return state.bases
    .filter(({ unsupported }) => unsupported === undefined)
    .map(({ path: folder, name, modelType, parameters, dtype }) => ({
      path: folder,
      name,
      detail: [modelType, formatCount(parameters), dtype].filter(Boolean).join(" · "),
      isLoaded: state.base?.path === folder,
    }));
}

async function pickFolder(): Promise<string | null> {
  const openLabel = vscode.l10n.t("Use as Base Model");
  const options = { canSelectFiles: false, canSelectFolders: true, openLabel };
  return (await vscode.window.showOpenDialog(options))?.[0]?.fsPath ?? null;
}

async function pickFiles(): Promise<string[] | null> {
  const filters = {
    [vscode.l10n.t("Training data")]: ["jsonl", "json", "csv", "tsv", "txt", "gz"],
    [vscode.l10n.t("All files")]: ["*"],
  };
  const openLabel = vscode.l10n.t("Learn From");
  const chosen = await vscode.window.showOpenDialog({ canSelectMany: true, openLabel, filters });
  return chosen?.map(({ fsPath }) => fsPath) ?? null;
}
