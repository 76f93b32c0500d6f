// A real VS Code for tests: code-server with the packaged extension, driven through Chromium.
// `scripts/test.mjs e2e` prepares all of it and hands the places over in the environment.
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import {
  type BrowserContext,
  chromium,
  type Frame,
  type Locator,
  type Page,
} from "playwright-core";

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const artifacts = join(root, "artifacts/e2e");

export interface OpenOptions {
  /** Files of the workspace by name, or a folder of which a copy is opened; media/workspace when absent. */
  workspace?: Record<string, string> | string;
  settings?: Record<string, unknown>;
  /** Dark when absent. */
  look?: Look;
  /** False opens the workspace in restricted mode. */
  trusted?: boolean;
  /** More of the environment, made when the window opens: the address of a test's own Hub. */
  environment?: () => Record<string, string>;
  /** VSIX files of other extensions, for tests of what these are offered. */
  extensions?: () => string[];
  /** Folders of other extensions, taken as they are. */
  beside?: readonly string[];
  /** The editor's language: "de"; English when absent. VS Code's own texts stay English. */
  language?: string;
}

/** The looks that every surface must be readable in: its theme, and the mark of a window and of a page in it. */
export const looks = {
  dark: { theme: "Default Dark Modern", window: ".vs-dark", page: ".vscode-dark" },
  light: { theme: "Default Light Modern", window: ".vs", page: ".vscode-light" },
  contrast: { theme: "Default High Contrast", window: ".hc-black", page: ".vscode-high-contrast" },
};
export type Look = keyof typeof looks;

/**
 * One test with a window of its own; a failure leaves a screenshot and the logs behind, and is told.
 * A window whose timing went against it (a click on a row that is drawn anew, a page that takes the
 * focus) gets a second, fresh one; what is wrong fails in both.
 */
export function scenario(
  name: string,
  options: OpenOptions,
  play: (vscode: VSCode) => Promise<void>,
): void {
  test(name, async () => {
    await playOnce(name, options, play).catch((error: unknown) => {
      console.error(`--- ${name}: once more in a fresh window, after ${String(error)}`);
      return playOnce(name, options, play);
    });
  });
}

async function playOnce(
  name: string,
  options: OpenOptions,
  play: (vscode: VSCode) => Promise<void>,
): Promise<void> {
  const times = [performance.now()];
  const vscode = await openVSCode(options);
  times.push(performance.now());
  try {
    await play(vscode);
  } catch (error) {
    await vscode.explain(name);
    throw error;
  } finally {
    times.push(performance.now());
    await vscode.dispose();
    times.push(performance.now());
    const [open, played, closed] = times.slice(1).map((time, i) => seconds(time - times[i]!));
    console.log(`${name}: ${open} to open, ${played} to play, ${closed} to close`);
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** Nothing that asks, announces, updates or calls home. */
const quiet = {
  "workbench.startupEditor": "none",
  "workbench.enableExperiments": false,
  "workbench.secondarySideBar.defaultVisibility": "hidden",
  "workbench.tips.enabled": false,
  "telemetry.telemetryLevel": "off",
  "update.mode": "none",
  "extensions.autoUpdate": false,
  "extensions.autoCheckUpdates": false,
  "extensions.ignoreRecommendations": true,
  "security.workspace.trust.startupPrompt": "never",
  "security.workspace.trust.banner": "never",
  "git.enabled": false,
  // The editor's own chat and its agents, a process of which starts with each window.
  "chat.disableAIFeatures": true,
};

const browserFlags = [
  ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
];

export async function openVSCode(options: OpenOptions = {}): Promise<VSCode> {
  const home = mkdtempSync(join(tmpdir(), "graft-e2e-"));
  const folders = {
    home,
    userData: join(home, "user-data"),
    extensions: join(home, "extensions"),
    workspace: join(home, "workspace"),
    // The machine's own Hugging Face cache has no place in a test.
    huggingFace: join(home, "hugging-face"),
    profile: join(home, "profile"),
  };
  for (const folder of Object.values(folders)) mkdirSync(folder, { recursive: true });
  fillWorkspace(folders.workspace, options.workspace ?? join(root, "media/workspace"));
  const trust = { "security.workspace.trust.enabled": options.trusted === false };
  const look = options.look ?? "dark";
  const settings = {
    "workbench.colorTheme": looks[look].theme,
    ...quiet,
    ...trust,
    ...options.settings,
  };
  mkdirSync(join(folders.userData, "User"), { recursive: true });
  writeFileSync(join(folders.userData, "User/settings.json"), JSON.stringify(settings, null, 2));
  let server: ChildProcess | undefined;
  let browser: BrowserContext | undefined;
  try {
    copyInstalled(folders, options.beside);
    for (const vsix of options.extensions?.() ?? []) await installVsix(folders, vsix);
    if (options.language) addLanguage(folders, options.language);
    const port = await freePort();
    server = startServer(port, folders, options);
    browser = await startBrowser(port, folders);
    await until("code-server answers", () => answers(port), 60);
    const [page = await browser.newPage()] = browser.pages();
    const vscode = new VSCode(page, folders, { server, browser, look });
    await page.goto(`${address}?folder=${encodeURIComponent(folders.workspace)}`);
    await vscode.ready();
    return vscode;
  } catch (error) {
    await browser?.close();
    if (server) await endGroup(server);
    rmSync(home, { recursive: true, force: true });
    throw error;
  }
}

type Folders = Record<
  "home" | "userData" | "extensions" | "workspace" | "huggingFace" | "profile",
  string
>;

/** One window. Its methods wait for what they name and fail with what was there instead. */
export class VSCode {
  private seenIn: Look;

  constructor(
    readonly page: Page,
    readonly folders: Folders,
    private readonly owned: { server: ChildProcess; browser: BrowserContext; look: Look },
  ) {
    this.seenIn = owned.look;
    page.setDefaultTimeout(45_000);
  }

  /** The workbench stands and its status bar is filled. */
  async ready(): Promise<void> {
    await this.page.locator(".monaco-workbench").waitFor({ timeout: 60_000 });
    await this.page.locator("#workbench\\.parts\\.statusbar .statusbar-item").first().waitFor();
    await this.page.locator(".activitybar .action-label").first().waitFor();
  }

  /** Reloads the window, as "Developer: Reload Window" does. */
  async reload(): Promise<void> {
    const loaded = this.page.waitForEvent("load");
    await this.runCommand("Developer: Reload Window");
    await loaded;
    await this.ready();
  }

  // Palette and pickers

  /** Runs a command by the exact title that the palette shows, "Graft: Refresh". */
  async runCommand(title: string): Promise<void> {
    await until(`the palette offers "${title}"`, async () => {
      await this.page.keyboard.press("Escape");
      await this.page.keyboard.press("F1");
      const input = this.quickInput().locator("input.input");
      await input.waitFor({ timeout: 3000 });
      // Something else may close the palette just now: fail soon, so that it is opened again.
      await input.fill(`>${title}`, { timeout: 3000 });
      const row = this.pickRows().filter({ has: this.page.getByText(title, { exact: true }) });
      await row.first().waitFor({ timeout: 3000 });
      await row.first().click({ timeout: 3000 });
      return true;
    });
  }

  /** Is a command in the palette at all? */
  async offersCommand(title: string): Promise<boolean> {
    await this.page.keyboard.press("F1");
    await this.quickInput().locator("input.input").fill(`>${title}`);
    await this.pickRows().first().waitFor();
    const labels = await this.pickRows().locator(".label-name").allInnerTexts();
    await this.page.keyboard.press("Escape");
    return labels.some((label) => label.trim() === title);
  }

  /** Takes the entry of the open picker that holds this text. */
  async pick(text: string): Promise<void> {
    const row = this.pickRows().filter({ hasText: text }).first();
    await row.waitFor().catch(async () => {
      assert.fail(`The picker has no "${text}" but: ${(await this.picks()).join(" | ")}`);
    });
    await row.click();
  }

  /** Runs a command that asks, and picks; once more where a page took the focus and closed the picker. */
  async runAndPick(title: string, ...texts: string[]): Promise<void> {
    await until(`"${title}" takes "${texts.join('", "')}"`, async () => {
      await this.runCommand(title);
      for (const text of texts) {
        await this.pickRows().filter({ hasText: text }).first().click({ timeout: 5000 });
      }
      return true;
    });
  }

  async picks(): Promise<string[]> {
    return (await this.pickRows().allInnerTexts()).map(oneLine);
  }

  /** Types into the open input box or picker and confirms. */
  async answer(text: string): Promise<void> {
    const input = this.quickInput().locator("input.input");
    await input.waitFor();
    await input.fill(text);
    await input.press("Enter");
  }

  /** Names a file in VS Code's own dialog, which writes its suggestion into the box a moment after it opens. */
  async saveAs(path: string): Promise<void> {
    const input = this.quickInput().locator("input.input");
    await input.waitFor();
    await until("the dialog keeps the path", async () => {
      await input.fill(path);
      await this.page.waitForTimeout(600);
      return (await input.inputValue()) === path;
    });
    await input.press("Enter");
  }

  quickInput(): Locator {
    return this.page.locator(".quick-input-widget:visible");
  }

  private pickRows(): Locator {
    return this.quickInput().locator(".quick-input-list .monaco-list-row");
  }

  // Sidebar

  /** Opens Graft's container in the activity bar. */
  /** @param firstView its title in the editor's language */
  async openGraft(firstView = "Base Models"): Promise<void> {
    const icon = this.page.locator(".activitybar .action-item", {
      has: this.page.locator('.action-label[aria-label^="Graft"]'),
    });
    await icon.waitFor();
    if (!(await icon.getAttribute("class"))?.includes("checked")) await icon.click();
    await this.view(firstView).waitFor();
  }

  view(name: string): Locator {
    return this.page.locator(".sidebar .pane", {
      has: this.page.locator(`.pane-header[aria-label^="${name}"]`),
    });
  }

  /** A row of a tree view by its label. */
  treeRow(view: string, label: string): Locator {
    const name = this.page.locator(".label-name", { hasText: exactly(label) });
    return this.view(view).locator(".monaco-list-row").filter({ has: name }).first();
  }

  async treeRows(view: string): Promise<string[]> {
    return (await this.view(view).locator(".monaco-list-row").allInnerTexts()).map(oneLine);
  }

  async clickRow(view: string, label: string): Promise<void> {
    const row = this.treeRow(view, label);
    await row.waitFor().catch(async () => {
      assert.fail(`${view} has no "${label}" but: ${(await this.treeRows(view)).join(" | ")}`);
    });
    await row.locator(".label-name").click();
  }

  /** Clicks an adapter until it answers: a click is lost where the row is drawn anew under it. */
  async activate(view: string, adapter: string): Promise<void> {
    await until(`${adapter} is active`, async () => {
      await this.clickRow(view, adapter);
      const shows = async (): Promise<boolean> => (await this.statusBarText()).includes(adapter);
      return until("the status bar names it", shows, 8);
    });
  }

  /** Clicks an action that a row shows on hover. */
  async rowAction(view: string, label: string, action: string): Promise<void> {
    const row = this.treeRow(view, label);
    await row.hover();
    await row.locator(`.action-label[aria-label^="${action}"]`).click();
  }

  /** Drags something over places, one after the other, and holds it over the last one until `drop`. */
  async drag(from: Locator, ...over: readonly Locator[]): Promise<void> {
    await from.hover();
    await this.page.mouse.down();
    for (const place of over) {
      // What is dragged over learns of it with the first move, and where it is with the second.
      await place.hover();
      await place.hover();
    }
  }

  async drop(): Promise<void> {
    await this.page.mouse.up();
  }

  // Messages and status

  /** The notifications that are open now. */
  async notifications(): Promise<string[]> {
    const messages = this.page.locator(
      ".notifications-toasts .notification-list-item-message, .notifications-center .notification-list-item-message",
    );
    return (await messages.allInnerTexts()).map(oneLine);
  }

  /** Waits for a notification; its buttons are below it. */
  async notification(text: string | RegExp): Promise<Locator> {
    const toast = this.page.locator(".notification-list-item").filter({ hasText: text }).first();
    await toast.waitFor();
    return toast;
  }

  async statusBarText(): Promise<string> {
    const items = this.page.locator("#workbench\\.parts\\.statusbar .statusbar-item");
    return (await items.allInnerTexts()).map(oneLine).filter(Boolean).join(" | ");
  }

  // Editors and comment threads

  /** Opens a file of the workspace in an editor with the keyboard in it. */
  async openFile(name: string): Promise<Locator> {
    await until(`${name} opens`, async () => {
      await this.page.keyboard.press("Escape");
      await this.page.keyboard.press("Control+P");
      await this.quickInput().locator("input.input").fill(name, { timeout: 3000 });
      await this.pickRows().filter({ hasText: name }).first().click({ timeout: 3000 });
      return true;
    });
    const editor = this.page.locator(`.editor-instance[aria-label*="${name}"], .editor-instance`);
    await editor.first().waitFor();
    await this.page.locator(".tab.active", { hasText: name }).waitFor();
    await editor.first().locator(".view-lines").click();
    return editor.first();
  }

  /** Puts the keyboard into the first editor: a click could hit what lies over its text. */
  async focusEditor(): Promise<void> {
    await this.runCommand("View: Focus First Editor Group");
  }

  /** Selects one line (from 1) of the active editor. */
  async selectLine(line: number): Promise<void> {
    await this.page.keyboard.press("Control+G");
    await this.answer(`:${line}`);
    await this.quickInput().waitFor({ state: "hidden" });
    await this.page.keyboard.press("Home");
    await this.page.keyboard.press("Shift+End");
  }

  /** The comment thread inside the editor. */
  thread(): Locator {
    return this.page.locator(".zone-widget .review-widget").first();
  }

  /** The bodies of the thread's comments, top to bottom. */
  async threadTexts(): Promise<string[]> {
    return (await this.thread().locator(".comment-body").allInnerTexts()).map(oneLine);
  }

  // Webviews

  /** The frame of a webview that holds an element; webviews are nested frames of one origin. */
  async webviewFrame(selector: string): Promise<Frame> {
    return until(`a webview holds ${selector}`, async () => {
      for (const frame of this.page.frames()) {
        if (frame === this.page.mainFrame()) continue;
        if ((await frame.locator(selector).count()) > 0) return frame;
      }
      return undefined;
    });
  }

  // The engine process

  /** Process ids of this window's engines: forked from this window's own copy of the extension. */
  enginePids(): number[] {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => {
        const command = commandLine(pid);
        return command.includes(this.folders.extensions) && command.includes("dist/engine.cjs");
      });
  }

  async enginePid(): Promise<number> {
    return until("one engine runs", () => {
      const pids = this.enginePids();
      return pids.length === 1 ? pids[0] : undefined;
    });
  }

  // Evidence

  /** Changes the theme without a key or click: no hover, menu or picker that is open closes over it. */
  async look(look: Look): Promise<void> {
    if (this.seenIn === look) return;
    writeFileSync(join(this.folders.extensions, lookChanger, "theme"), looks[look].theme);
    await this.page.locator(`.monaco-workbench${looks[look].window}`).waitFor();
    await until("pages are painted anew", async () => {
      for (const frame of this.page.frames()) {
        if (!(await isShown(frame))) continue;
        const old = frame.locator(`body[class*=vscode-]:not(${looks[look].page})`);
        if ((await old.count()) > 0) return false;
      }
      return true;
    });
    this.seenIn = look;
  }

  /** A screenshot in each look, beginning with the one that it has. */
  async screenshots(name: string): Promise<void> {
    const order = ["dark", "light", "contrast"] as const;
    // There and back again: one theme less to change.
    const way = this.seenIn === "contrast" ? order.toReversed() : order;
    for (const look of way) {
      await this.look(look);
      await this.screenshot(`${name} ${look}`);
    }
  }

  async screenshot(name: string): Promise<string> {
    mkdirSync(artifacts, { recursive: true });
    const path = join(artifacts, `${fileName(name)}.png`);
    // Without the fade from one theme to the next.
    await this.page.screenshot({ path, animations: "disabled" });
    return path;
  }

  /** What a person needs to see why a test failed. */
  async explain(name: string): Promise<void> {
    const shot = await this.screenshot(`failed ${name}`).catch(String);
    console.error(`--- ${name}: screenshot ${shot}`);
    console.error(`notifications: ${JSON.stringify(await this.notifications().catch(String))}`);
    console.error(`status bar: ${await this.statusBarText().catch(String)}`);
    for (const path of filesUnder(join(this.folders.userData, "logs"))) {
      if (!/exthost[^/]*\/.*(exthost|graft)[^/]*\.log$/i.test(path)) continue;
      const text = readFileSync(path, "utf8").trimEnd();
      if (text !== "") console.error(`--- ${path}\n${text.slice(-6000)}`);
    }
  }

  /** Ends the browser and the server of this window, nothing else. */
  async dispose(): Promise<void> {
    await this.owned.browser.close();
    await endGroup(this.owned.server);
    keepScripts(this.folders);
    rmSync(this.folders.home, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Asks again until the answer is neither undefined nor false; the last error says why it never was. */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined | false> | T | undefined | false,
  seconds = 45,
): Promise<T> {
  const deadline = Date.now() + seconds * 1000;
  let reason = "";
  do {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      reason = `\n${error instanceof Error ? error.message : String(error)}`;
    }
    await new Promise((done) => setTimeout(done, 100));
  } while (Date.now() < deadline);
  throw new Error(`Waited ${seconds} s in vain: ${what}.${reason}`);
}

/** False for a frame that VS Code keeps out of sight, as the one before a page's newest content. */
async function isShown(frame: Frame): Promise<boolean> {
  if (frame.parentFrame() === null) return true;
  return (await frame.frameElement()).isVisible();
}

/** A whole text, whatever it is surrounded by. */
function exactly(text: string): RegExp {
  return new RegExp(`^\\s*${text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}\\s*$`);
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}

function fileName(text: string): string {
  return text.replace(/[^a-z0-9]+/gi, "-").toLowerCase();
}

function given(name: string): string {
  const value = process.env[`GRAFT_E2E_${name}`];
  assert.ok(value, "Run the e2e tests with `npm run test:e2e`: it prepares VS Code for them.");
  return value;
}

function fillWorkspace(folder: string, content: Record<string, string> | string): void {
  if (typeof content === "string") return cpSync(content, folder, { recursive: true });
  for (const [name, text] of Object.entries(content)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
}

/** Where the extension that changes themes for the tests lies among the others. */
const lookChanger = "graft-test.look-changer-1.0.0";

/** Graft as code-server installed it once for all windows of this run, what changes themes, and others. */
function copyInstalled({ extensions }: Folders, beside: readonly string[] = []): void {
  const installed = given("INSTALLED");
  cpSync(installed, extensions, { recursive: true });
  const list = join(extensions, "extensions.json");
  const text = readFileSync(list, "utf8").replaceAll(installed, extensions);
  const own = [join(root, "test/e2e/lookChanger"), ...beside].map((folder) =>
    copyExtension(folder, extensions),
  );
  writeFileSync(list, JSON.stringify([...(JSON.parse(text) as unknown[]), ...own]));
}

/** @returns how the list of extensions names it */
function copyExtension(folder: string, extensions: string): unknown {
  const { publisher, name, version } = JSON.parse(
    readFileSync(join(folder, "package.json"), "utf8"),
  ) as Record<"publisher" | "name" | "version", string>;
  const id = `${publisher}.${name}`;
  const relativeLocation = `${id}-${version}`;
  const place = join(extensions, relativeLocation);
  cpSync(folder, place, { recursive: true });
  const location = { $mid: 1, path: place, scheme: "file" };
  return { identifier: { id }, version, location, relativeLocation };
}

async function installVsix({ userData, extensions }: Folders, vsix: string): Promise<void> {
  const places = ["--user-data-dir", userData, "--extensions-dir", extensions];
  const args = [given("CODE_SERVER"), ...places, "--install-extension", vsix];
  const { stdout } = await promisify(execFile)(given("NODE"), args);
  assert.match(stdout, /successfully installed/);
}

/** A language pack without texts, since a real one would have to be downloaded: extensions have their own. */
function addLanguage({ userData, home }: Folders, language: string): void {
  const texts = join(home, `${language}.json`);
  writeFileSync(texts, JSON.stringify({ contents: {} }));
  const extensions = [{ extensionIdentifier: { id: `graft-test.${language}` }, version: "1.0.0" }];
  const pack = { hash: "empty", label: language, extensions, translations: { vscode: texts } };
  writeFileSync(join(userData, "languagepacks.json"), JSON.stringify({ [language]: pack }));
}

function startServer(
  port: number,
  folders: Folders,
  { environment, language }: OpenOptions,
): ChildProcess {
  const args = [
    ...[given("CODE_SERVER"), "--bind-addr", `127.0.0.1:${port}`, "--auth", "none"],
    ...["--disable-telemetry", "--disable-update-check", "--disable-getting-started-override"],
    ...["--user-data-dir", folders.userData, "--extensions-dir", folders.extensions],
    ...(language === undefined ? [] : ["--locale", language]),
    folders.workspace,
  ];
  const env = {
    ...process.env,
    HF_HOME: folders.huggingFace,
    NODE_COMPILE_CACHE: join(given("WARM"), "node"),
    ...environment?.(),
  };
  // A process group of its own, so that ending it ends the extension host and the engine with it.
  return spawn(given("NODE"), args, { detached: true, stdio: "ignore", env });
}

async function answers(port: number): Promise<boolean> {
  return (await fetch(`http://127.0.0.1:${port}/healthz`)).ok;
}

/** One address for all windows, whatever their ports: by it the browser knows scripts that it had before. */
const address = "http://graft.localhost/";

/** Where a browser keeps scripts that it fetched, and what it made of them. */
const scripts = ["Default/Cache", "Default/Code Cache"];
/** Windows that it takes: one fetches the scripts, a second one finds that they are worth compiling. */
const rounds = 2;

/** How often the scripts that this window may begin with went through a window. */
function warmth(): number {
  let round = rounds;
  while (round > 0 && !existsSync(join(given("WARM"), `browser-${round}`))) round--;
  return round;
}

/** The browser of one window, which knows the editor's scripts from windows before it, and nothing else. */
async function startBrowser(port: number, { profile }: Folders): Promise<BrowserContext> {
  const round = warmth();
  if (round > 0) cpSync(join(given("WARM"), `browser-${round}`), profile, { recursive: true });
  writeFileSync(join(profile, "round"), `${round}`);
  return chromium.launchPersistentContext(profile, {
    executablePath: given("CHROMIUM"),
    args: [...browserFlags, `--host-resolver-rules=MAP graft.localhost:80 127.0.0.1:${port}`],
    viewport: { width: 1400, height: 900 },
    permissions: ["clipboard-read", "clipboard-write"],
  });
}

/** Leaves a closed browser's scripts to the windows after it, where it has more of them than those had. */
function keepScripts({ profile }: Folders): void {
  const round = Number(readFileSync(join(profile, "round"), "utf8")) + 1;
  const kept = join(given("WARM"), `browser-${round}`);
  const has = scripts.every((part) => existsSync(join(profile, part)));
  if (!has || round > rounds || existsSync(kept)) return;
  const scratch = mkdtempSync(`${kept}-`);
  for (const part of scripts) cpSync(join(profile, part), join(scratch, part), { recursive: true });
  try {
    renameSync(scratch, kept);
  } catch {
    // The window beside this one was first.
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function endGroup(leader: ChildProcess): Promise<void> {
  const { pid } = leader;
  if (pid === undefined) return;
  const signal = (name: NodeJS.Signals | 0): boolean => {
    try {
      return process.kill(-pid, name);
    } catch {
      return false;
    }
  };
  signal("SIGTERM");
  await until("code-server ends", () => !signal(0), 5).catch(() => signal("SIGKILL"));
}

function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const probe = createServer().on("error", fail);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      assert.ok(typeof address === "object" && address !== null);
      probe.close(() => done(address.port));
    });
  });
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    // It ended between the listing and the look.
    return "";
  }
}

function filesUnder(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? filesUnder(path) : [path];
  });
}
