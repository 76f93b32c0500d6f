import * as path from "node:path";
import * as vscode from "vscode";
import type { Graft } from "../context.ts";
import { failureOf } from "../failure.ts";
import { parsePromptFile } from "../prompts/parse.ts";
import { sayProblem } from "../prompts/problem.ts";
import { baseColumn, type ColumnRef, type PromptFile, rowLabel } from "../prompts/promptFile.ts";
import type { PromptRequest } from "./promptLenses.ts";
import { activeColumn, type ColumnWish } from "./promptModels.ts";
import { PromptRun, type TestLeaf } from "./promptRun.ts";
import { type Outcome, PromptOutcomes } from "./promptOutcomes.ts";
import { promptFiles, type Prompts } from "./prompts.ts";

interface Known {
  readonly item: vscode.TestItem;
  readonly uri: vscode.Uri;
  text: string;
  file: PromptFile;
  /** Children are there. */
  isShown: boolean;
}

/** Prompt files in the Testing view: file → row → base and adapters. */
export class PromptTests implements vscode.Disposable {
  private readonly known = new Map<string, Known>();
  private readonly leaves = new WeakMap<vscode.TestItem, { key: string; leaf: TestLeaf }>();
  private readonly outcomes: PromptOutcomes;
  private readonly controller: vscode.TestController;
  private watcher: vscode.FileSystemWatcher | undefined;

  constructor(
    private readonly graft: Graft,
    private readonly prompts: Prompts,
  ) {
    this.controller = prompts.controller;
    this.outcomes = new PromptOutcomes(graft.extension.workspaceState);
  }

  /** Looks for files once, and hears of new ones from then on. */
  async discover(): Promise<void> {
    if (!this.watcher) {
      this.watcher = vscode.workspace.createFileSystemWatcher(promptFiles);
      this.watcher.onDidCreate((uri) => this.tryToRead(uri));
      this.watcher.onDidChange((uri) => this.tryToRead(uri));
      this.watcher.onDidDelete((uri) => this.remove(uri));
    }
    const found = await vscode.workspace.findFiles(promptFiles, "**/node_modules/**", 2000);
    await Promise.all(found.map((uri) => this.tryToRead(uri)));
  }

  async resolve(item: vscode.TestItem | undefined): Promise<void> {
    if (!item) return this.discover();
    const known = this.known.get(item.id);
    if (known) this.fill(known);
  }

  /** Takes a file's text, from an editor or from the disk. */
  show(uri: vscode.Uri, text: string, file: PromptFile): Known {
    const id = uri.toString();
    let known = this.known.get(id);
    if (known) Object.assign(known, { text, file });
    else {
      const item = this.controller.createTestItem(id, path.posix.basename(uri.path), uri);
      known = { item, uri, text, file, isShown: false };
      this.known.set(id, known);
      this.controller.items.add(item);
    }
    const { item } = known;
    const wrong = file.problems.find(({ severity }) => severity === "error");
    item.description = file.name;
    item.error = wrong && sayProblem(item.label, text, wrong);
    item.canResolveChildren = true;
    if (known.isShown) this.fill(known);
    return known;
  }

  /** Files that name no adapter run under those that are loaded. */
  modelsChanged(): void {
    for (const known of this.known.values()) {
      if (known.isShown && known.file.columns.length === 0) this.fill(known);
    }
  }

  outcomesOf(uri: vscode.Uri): Outcome[] {
    return this.outcomes.of(uri);
  }

  /** Runs what the Testing view asks for; continuously after each save of a file. */
  async run(request: vscode.TestRunRequest, token: vscode.CancellationToken): Promise<void> {
    if (!request.continuous) return this.execute(request, token);
    const listening = vscode.workspace.onDidSaveTextDocument((document) => {
      const known = this.known.get(document.uri.toString());
      if (!known) return;
      this.fill(known);
      const include = this.included(request).filter(({ item }) => fileOf(item) === known.item);
      if (include.length === 0) return;
      const items = include.map(({ item }) => item);
      const again = new vscode.TestRunRequest(items, undefined, request.profile, true);
      void this.execute(again, token);
    });
    token.onCancellationRequested(() => listening.dispose());
  }

  /** Runs a file or a row of it, for a lens or a command. Returns the outcomes. */
  async runRequest({ uri, columns, row }: PromptRequest): Promise<Outcome[]> {
    const known = this.known.get(uri.toString()) ?? (await this.readFile(uri));
    this.fill(known);
    if (columns === "active") this.addActive(known);
    const active = columns === "active" ? activeColumn(this.graft.session.state).label : "";
    const chosen = [...this.leavesOf(known.item)]
      .filter(({ leaf }) => row === undefined || leaf.row.index === row)
      .filter(({ leaf }) => columns !== "base" || leaf.wish.kind === "base")
      .filter(({ leaf }) => columns !== "active" || leaf.label === active);
    const stop = new vscode.CancellationTokenSource();
    const items = chosen.map(({ item }) => item);
    await this.execute(new vscode.TestRunRequest(items), stop.token);
    return this.outcomesOf(uri).filter((outcome) =>
      chosen.some(({ leaf }) => leaf.row.index === outcome.row && leaf.label === outcome.column),
    );
  }

  fileAt(uri: vscode.Uri): PromptFile | undefined {
    return this.known.get(uri.toString())?.file;
  }

  dispose(): void {
    this.watcher?.dispose();
  }

  private async execute(
    request: vscode.TestRunRequest,
    token: vscode.CancellationToken,
  ): Promise<void> {
    if (request.include === undefined) {
      await this.discover();
      for (const known of this.known.values()) this.fill(known);
    }
    const run = this.controller.createTestRun(request);
    const stop = new AbortController();
    const listening = [token, run.token].map((each) =>
      each.onCancellationRequested(() => stop.abort()),
    );
    try {
      const byFile = new Map<Known, { item: vscode.TestItem; leaf: TestLeaf }[]>();
      for (const { item, leaf } of this.included(request)) {
        run.enqueued(item);
        const known = this.known.get(fileOf(item).id);
        if (known) byFile.set(known, [...(byFile.get(known) ?? []), { item, leaf }]);
      }
      for (const [{ uri, file, item }, leaves] of byFile) {
        const part = new PromptRun(this.graft, run, { uri, file, signal: stop.signal });
        part.onOutcome = (outcome) => this.outcomes.remember(uri, outcome);
        if (item.error) part.fail(leaves, String(item.error));
        else await part.play(leaves);
      }
    } catch (thrown) {
      run.appendOutput(`${failureOf(thrown).message}\r\n`);
    } finally {
      for (const each of listening) each.dispose();
      run.end();
      this.outcomes.keep();
      this.prompts.refreshLenses();
    }
  }

  /** The rows × columns of a request, without what it leaves out. */
  private included(request: vscode.TestRunRequest): { item: vscode.TestItem; leaf: TestLeaf }[] {
    const roots: vscode.TestItem[] = [...(request.include ?? [])];
    if (request.include === undefined) this.controller.items.forEach((item) => roots.push(item));
    const excluded = new Set(request.exclude ?? []);
    const found = new Map<string, { item: vscode.TestItem; leaf: TestLeaf }>();
    for (const root of roots) {
      const known = this.known.get(root.id);
      if (known) this.fill(known);
      for (const each of this.leavesOf(root)) {
        if (!isUnder(each.item, excluded)) found.set(each.item.id, each);
      }
    }
    return [...found.values()];
  }

  private *leavesOf(item: vscode.TestItem): Generator<{ item: vscode.TestItem; leaf: TestLeaf }> {
    const own = this.leaves.get(item);
    if (own) yield { item, leaf: own.leaf };
    for (const [, child] of item.children) yield* this.leavesOf(child);
  }

  /** Of a file that has gone in the meantime nothing is shown. */
  private async tryToRead(uri: vscode.Uri): Promise<void> {
    await this.readFile(uri).catch((thrown: unknown) => {
      this.graft.log.debug(`${uri.fsPath}: ${failureOf(thrown).message}`);
      this.remove(uri);
    });
  }

  private async readFile(uri: vscode.Uri): Promise<Known> {
    const open = vscode.workspace.textDocuments.find((d) => d.uri.toString() === uri.toString());
    const bytes = open ? undefined : await vscode.workspace.fs.readFile(uri);
    const text = open?.getText() ?? new TextDecoder().decode(bytes);
    const known = this.show(uri, text, parsePromptFile(text));
    this.fill(known);
    return known;
  }

  private remove(uri: vscode.Uri): void {
    this.known.delete(uri.toString());
    this.controller.items.delete(uri.toString());
  }

  /** Makes the rows and columns of a file's item anew; what is the same keeps its results. */
  private fill(known: Known): void {
    known.isShown = true;
    const { item, file } = known;
    const columns = this.columnsOf(file);
    const rows = file.rows.map((row) => {
      const id = `${item.id}#${row.index}`;
      const label = rowLabel(row) || (file.name === "" ? item.label : file.name);
      const own = item.children.get(id) ?? this.controller.createTestItem(id, label, item.uri);
      own.label = label;
      own.range = file.hasTestData
        ? rangeOf(known, row.span)
        : rangeOf(known, file.messages[0]?.span);
      // Rows stand as they do in the file.
      own.sortText = String(row.index).padStart(6, "0");
      const leaves = columns.map((wish, i) =>
        this.leafItem(known, { row, wish, place: i, parent: own }),
      );
      own.children.replace(leaves);
      return own;
    });
    item.children.replace(rows);
  }

  private leafItem(
    known: Known,
    {
      row,
      wish,
      place,
      parent,
    }: Omit<TestLeaf, "label"> & { place: number; parent: vscode.TestItem },
  ): vscode.TestItem {
    const label = labelOf(wish, this.graft);
    const id = `${parent.id}#${label}`;
    const item = parent.children.get(id) ?? this.controller.createTestItem(id, label, parent.uri);
    item.range = parent.range;
    item.sortText = String(place).padStart(4, "0");
    this.leaves.set(item, { key: known.item.id, leaf: { row, wish, label } });
    return item;
  }

  private columnsOf({ columns }: PromptFile): ColumnWish[] {
    const { loaded } = this.graft.session.state;
    const refs =
      columns.length > 0
        ? columns
        : loaded.map(({ name }): ColumnRef => {
            const span = { start: 0, end: 0 };
            return { label: name, parts: [{ adapter: name, weight: 1, span }], span };
          });
    const named = refs.map((ref): ColumnWish => ({ kind: "named", ref }));
    return [{ kind: "base" }, ...named];
  }

  /** The active adapters as a column of their own, where no other is the same. */
  private addActive(known: Known): void {
    const { label } = activeColumn(this.graft.session.state);
    for (const [, parent] of known.item.children) {
      const row = known.file.rows.find(({ index }) => parent.id.endsWith(`#${index}`));
      if (!row || parent.children.get(`${parent.id}#${label}`)) continue;
      const wish: ColumnWish = { kind: "active" };
      parent.children.add(this.leafItem(known, { row, wish, place: 999, parent }));
    }
  }
}

function labelOf(wish: ColumnWish, { session }: Graft): string {
  if (wish.kind === "base") return baseColumn;
  return wish.kind === "named" ? wish.ref.label : activeColumn(session.state).label;
}

function rangeOf({ text }: Known, span: { start: number } | undefined): vscode.Range {
  const before = text.slice(0, span?.start ?? 0).split("\n");
  const position = new vscode.Position(before.length - 1, before.at(-1)?.length ?? 0);
  return new vscode.Range(position, position);
}

function fileOf(item: vscode.TestItem): vscode.TestItem {
  return item.parent ? fileOf(item.parent) : item;
}

function isUnder(item: vscode.TestItem, excluded: ReadonlySet<vscode.TestItem>): boolean {
  return excluded.has(item) || (item.parent !== undefined && isUnder(item.parent, excluded));
}
