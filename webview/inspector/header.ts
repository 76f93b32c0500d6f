import type { AdapterReport } from "../../extension/protocol/reportContract.ts";
import { type HostState, type InspectorState } from "../../extension/protocol/webviewContract.ts";
import { append, element } from "../shared/element.ts";
import * as format from "../shared/format.ts";
import { icon, type IconName } from "../shared/icon.ts";
import { text } from "./strings.ts";

/** What a reader can ask for here; each maps to one request of the contract. */
export type InspectorAction =
  | "activate"
  | "deactivate"
  | "tryInPlayground"
  | "compareAdapters"
  | "merge"
  | "openRawConfig"
  | "loadItsBase";

export interface HeaderOptions {
  /** The request that is under way. */
  busy: InspectorAction | null;
  /** Why the last request failed; a sentence. */
  failure: string | null;
  run: (action: InspectorAction) => void;
}

/** Name, facts, buttons and everything that deserves a warning. */
export function headerView(state: InspectorState, options: HeaderOptions): HTMLElement[] {
  const { report } = state;
  if (!report) return emptyState(state, options);
  return [
    titleBlock(report, state.host),
    buttons(report, state.host, options),
    ...notices(report, options),
  ];
}

function emptyState(state: InspectorState, options: HeaderOptions): HTMLElement[] {
  if (state.problem === null) {
    return [
      element(
        "div",
        { class: "loading", attributes: { role: "status" } },
        element("vscode-progress-ring"),
        text.reading,
      ),
    ];
  }
  return [
    element("h1", {}, state.name),
    notice({ kind: "error", title: text.unreadable, detail: [state.problem] }),
    element(
      "div",
      { class: "buttons" },
      actionButton("openRawConfig", text.openRawConfig, options),
    ),
    ...failureNotice(options),
  ];
}

function titleBlock(report: AdapterReport, host: HostState): HTMLElement {
  const { summary } = report;
  const status = statusOf(report, host);
  return element(
    "div",
    { class: "title-block" },
    element(
      "div",
      { class: "title-line" },
      element("h1", { attributes: { title: summary.path } }, summary.name),
      status &&
        element(
          "span",
          { class: `status ${status.isActive ? "active" : ""}` },
          icon(status.isActive ? "check" : "dot"),
          status.label,
        ),
      element("span", { class: "method-line" }, methodLine(report)),
    ),
    element("p", { class: "facts" }, factsOf(report, host)),
  );
}

function methodLine({ summary, alpha, scaling }: AdapterReport): string {
  return format.factLine(
    summary.method,
    summary.rank !== null && text.rank(String(summary.rank)),
    alpha !== null && text.alpha(format.plain(alpha)),
    scaling !== null && text.scale(format.scale(scaling)),
  );
}

function factsOf({ fit, summary, totals }: AdapterReport, host: HostState): string {
  const parameters = format.count(totals.parameters);
  const base = fit
    ? text.forBase(fit.baseName)
    : summary.baseName === null
      ? text.baseUnknown
      : text.trainedOn(summary.baseName);
  return format.factLine(
    base,
    !fit && host.base === null && text.noBase,
    // What does not fit at all was not counted.
    fit && fit.total > 0 ? text.bound(fit.bound, fit.total) : text.modules(totals.modules),
    fit
      ? text.parametersOfBase(parameters, format.percent(fit.share))
      : text.parameters(parameters),
    totals.dtypes.join(", "),
    format.bytes(totals.bytes),
  );
}

function statusOf(
  { summary }: AdapterReport,
  host: HostState,
): { label: string; isActive: boolean } | null {
  const loaded = host.adapters.find((adapter) => adapter.path === summary.path);
  if (!loaded) return null;
  const active = host.active.find((adapter) => adapter.name === loaded.name);
  return active
    ? { label: text.activeAt(format.scale(active.weight)), isActive: true }
    : { label: text.loaded, isActive: false };
}

function buttons(report: AdapterReport, host: HostState, options: HeaderOptions): HTMLElement {
  const isActive = statusOf(report, host)?.isActive === true;
  const cannotRun = report.summary.problem !== undefined;
  const isOnOwn = host.base !== null && host.base.path === report.summary.basePath;
  const needsBase = !cannotRun && !isOnOwn && (host.base === null || report.fit?.fits === false);
  const activate = isActive
    ? // In the other's place, so that the focus stays where it is.
      actionButton("deactivate", text.deactivate, options, { id: "activate" })
    : actionButton("activate", text.activate, options, {
        isPrimary: true,
        isDisabled: cannotRun,
        busyLabel: text.activating,
      });
  return element(
    "div",
    { class: "buttons" },
    activate,
    actionButton("tryInPlayground", text.tryInPlayground, options, { isDisabled: cannotRun }),
    needsBase &&
      actionButton("loadItsBase", text.loadItsBase, options, { busyLabel: text.loadingBase }),
    actionButton("compareAdapters", text.compareWith, options),
    actionButton("merge", text.merge, options, { isDisabled: cannotRun }),
    moreButton(),
  );
}

/** Opens the editor's own menu of what else can be done, which `webview/context` contributes. */
function moreButton(): HTMLElement {
  const button = element(
    "vscode-button",
    {
      attributes: {
        id: "more",
        appearance: "secondary",
        title: text.more,
        "aria-label": text.more,
        "aria-haspopup": "menu",
      },
      on: {
        click: () => {
          const { left: clientX, bottom: clientY } = button.getBoundingClientRect();
          button.dispatchEvent(
            new MouseEvent("contextmenu", { bubbles: true, composed: true, clientX, clientY }),
          );
        },
      },
    },
    "⋯",
  );
  return button;
}

/** What the menu's entries depend on and get handed over. */
export function menuContext({ report, host }: InspectorState): string | undefined {
  if (!report) return undefined;
  const { path, problem } = report.summary;
  const loaded = host.adapters.find((adapter) => adapter.path === path);
  return JSON.stringify({
    webviewSection: "adapter",
    preventDefaultContextMenuItems: true,
    adapterPath: path,
    graftRuns: problem === undefined,
    graftLoaded: loaded !== undefined,
    graftTasks: loaded !== undefined && loaded.tasks !== null,
  });
}

function actionButton(
  action: InspectorAction,
  label: string,
  options: HeaderOptions,
  look: {
    id?: string;
    isPrimary?: boolean;
    isDisabled?: boolean;
    busyLabel?: string;
    icon?: IconName;
    title?: string;
  } = {},
): HTMLElement {
  const isBusy = options.busy === action;
  const button = element(
    "vscode-button",
    {
      attributes: {
        id: look.id ?? action,
        appearance: look.isPrimary === true ? "primary" : "secondary",
        "aria-label": look.title,
        "aria-busy": isBusy ? "true" : undefined,
        title: look.title,
      },
      on: {
        click: () => {
          if (options.busy === null) options.run(action);
        },
      },
    },
    isBusy && look.busyLabel !== undefined ? look.busyLabel : label,
  );
  if (look.icon) {
    const start = element("span", { attributes: { slot: "start" } }, icon(look.icon));
    append(button, start);
  }
  button.disabled = look.isDisabled === true;
  return button;
}

function notices(report: AdapterReport, options: HeaderOptions): HTMLElement[] {
  const { summary, fit } = report;
  const made: HTMLElement[] = [...failureNotice(options)];
  if (summary.problem !== undefined) {
    made.push(
      notice({
        kind: "error",
        title: text.cannotRun(summary.method || summary.peftType),
        detail: [summary.problem, text.cannotRunDetail],
      }),
    );
  }
  if (fit && !fit.fits) {
    made.push(
      notice({
        kind: "error",
        title: text.doesNotFit(summary.name, fit.baseName),
        detail: [fit.reason ?? "", trainedOn(summary, fit)],
      }),
    );
  }
  if (fit && fit.unbound.length > 0) {
    made.push(
      notice({
        kind: "warning",
        title: text.unbound(fit.unbound.length, fit.baseName),
        list: fit.unbound,
      }),
    );
  }
  if (fit && fit.unexpected.length > 0) {
    made.push(
      notice({
        kind: "warning",
        title: text.unexpected(fit.unexpected.length),
        detail: [text.unexpectedDetail],
        list: fit.unexpected,
      }),
    );
  }
  made.push(...report.warnings.map((warning) => notice({ kind: "warning", title: warning })));
  return made;
}

/** The base that an adapter was trained on, unless the reason names it already. */
function trainedOn(
  { baseName }: AdapterReport["summary"],
  { reason = "" }: NonNullable<AdapterReport["fit"]>,
): string {
  return baseName === null || reason.includes(baseName) ? "" : text.wasTrainedOn(baseName);
}

function failureNotice({ failure }: HeaderOptions): HTMLElement[] {
  if (failure === null) return [];
  const made = notice({ kind: "error", title: failure });
  made.setAttribute("role", "alert");
  return [made];
}

const mostListed = 500;

function notice(content: {
  kind: "error" | "warning";
  title: string;
  detail?: string[];
  list?: readonly string[];
}): HTMLElement {
  const { kind, title, detail = [], list = [] } = content;
  const sentences = detail.filter((sentence) => sentence !== "").join(" ");
  return element(
    "div",
    { class: `notice ${kind}` },
    icon(kind),
    element(
      "div",
      { class: "notice-text" },
      element(
        "span",
        { class: "visually-hidden" },
        `${kind === "error" ? text.error : text.warning}: `,
      ),
      element("span", { class: "notice-title" }, title),
      sentences !== "" && element("p", {}, sentences),
      list.length > 0 &&
        element(
          "details",
          {},
          element("summary", {}, text.showAll(format.exactCount(list.length))),
          element(
            "ul",
            { class: "paths" },
            ...list.slice(0, mostListed).map((item) => element("li", { class: "path" }, item)),
            list.length > mostListed &&
              element("li", {}, text.andMore(format.exactCount(list.length - mostListed))),
          ),
        ),
    ),
  );
}
