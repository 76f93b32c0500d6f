import { t } from "@vscode/l10n";
import type {
  AdapterSummary,
  BaseModelInfo,
  BaseModelSummary,
  Source,
} from "../protocol/engineContract.ts";
import { type AdapterStatus, adapterStatus, baseLabel, runsIn, type State } from "../state.ts";
import { exportFacts } from "./exportFacts.ts";
import {
  formatBytes,
  formatCount,
  formatExact,
  formatMethod,
  formatShare,
  formatWeight,
} from "./format.ts";

/** What a tree shows for a base or an adapter. Plain data: the trees only draw it. */
export interface Row {
  id: string;
  label: string;
  description: string;
  icon: string;
  color?: string;
  contextValue: string;
  /** The state as words, for the tooltip and for screen readers. */
  status: string;
  facts: [name: string, value: string][];
}

/** Short, for a row's description; "" where it needs no word. */
const sourceMarks: Record<Source, string> = {
  workspace: "",
  cache: t("cache"),
  folder: t("folder"),
  sample: t("sample"),
};

const sourceWords: Record<Source, string> = {
  workspace: t("this workspace"),
  cache: t("Hugging Face cache"),
  folder: t("folder from the settings"),
  sample: t("built-in sample"),
};

export function baseRow(state: State, base: BaseModelSummary): Row {
  const look = baseLook(state, base);
  const loaded = state.base?.path === base.path ? state.base : undefined;
  const ran = loaded ? runsIn(loaded) : base.dtype;
  const size = [ran, formatBytes(base.bytes)];
  const facts = [base.modelType, formatCount(base.parameters), ...size];
  return {
    id: base.path,
    label: base.name,
    description: [...facts, sourceMarks[base.source], ...look.words].filter(Boolean).join(" · "),
    icon: look.icon,
    color: look.color,
    contextValue: `base.${look.kind}`,
    status: look.status,
    facts: [
      [t("State"), look.status],
      [t("Architecture"), base.architecture || base.modelType],
      [t("Parameters"), formatExact(base.parameters)],
      [t("Precision"), ran === base.dtype ? ran : t("{0}, runs {1}", base.dtype, ran)],
      ...loadedFacts(loaded),
      ...exportFacts(loaded?.export),
      [t("Size"), formatBytes(base.bytes)],
      [t("From"), sourceWords[base.source]],
      [t("Path"), base.path],
    ],
  };
}

function loadedFacts(base: BaseModelInfo | undefined): Row["facts"] {
  if (!base) return [];
  const { memory, lost, deviceNote } = base;
  return [
    [
      t("Memory"),
      t("about {0}, {1} were free", formatBytes(memory.estimate), formatBytes(memory.free)),
    ],
    ...(lost === null
      ? []
      : [[t("Rounding"), t("{0} of the weights", formatShare(lost))] as const]),
    ...(deviceNote === "" ? [] : [[t("Device"), deviceNote] as const]),
  ].map(([name = "", value = ""]) => [name, value]);
}

export function adapterRow(state: State, adapter: AdapterSummary): Row {
  const status = adapterStatus(state, adapter);
  const look = adapterLook(state, adapter, status);
  const size = `${formatMethod(adapter)} · ${formatBytes(adapter.bytes)}`;
  const tasks = state.loaded.find((l) => l.path === adapter.path)?.tasks ?? null;
  const description = [adapter.bytes > 0 ? size : "", look.word];
  return {
    id: adapter.path,
    // The name that it answers to; a user may have given it another than its folder's.
    label: "name" in status ? status.name : adapter.name,
    description: description.filter(Boolean).join(status.kind === "active" ? "  " : " · "),
    icon: look.icon,
    color: look.color,
    contextValue: `adapter.${status.kind}${tasks === null ? "" : ".tasks"}`,
    status: look.status,
    facts: adapterFacts(state, adapter, look.status),
  };
}

function adapterFacts(state: State, adapter: AdapterSummary, status: string): Row["facts"] {
  const loaded = state.loaded.find((l) => l.path === adapter.path);
  const fit = state.fits.get(adapter.path);
  const share = fit?.fits && state.base ? adapter.parameters / state.base.parameters : undefined;
  const ofBase = share === undefined ? "" : t(" ({0} of base)", formatShare(share));
  const bound = loaded ?? (fit?.fits ? fit : undefined);
  const isKnown = !adapter.isUnread && adapter.bytes > 0;
  const facts: Row["facts"] = [
    [t("State"), status],
    [t("Method"), adapter.method || t("unknown")],
    [t("Rank"), adapter.rank === null ? "" : String(adapter.rank)],
    [t("Parameters"), isKnown ? `${formatExact(adapter.parameters)}${ofBase}` : ""],
    [t("Modules bound"), bound ? t("{0} of {1}", bound.bound, bound.total) : ""],
    [t("Size"), adapter.bytes > 0 ? formatBytes(adapter.bytes) : ""],
    [t("Base"), baseLabel(state, adapter)],
    [t("From"), sourceWords[adapter.source]],
    [t("Path"), adapter.path],
  ];
  return facts.filter(([, value]) => value !== "");
}

interface Look {
  icon: string;
  color?: string;
  /** Short, for the description; "" when the icon's usual state needs no word. */
  word: string;
  status: string;
}

function adapterLook(state: State, adapter: AdapterSummary, status: AdapterStatus): Look {
  const base = baseLabel(state, adapter);
  switch (status.kind) {
    case "active": {
      const weight = formatWeight(status.weight);
      const task = status.task === undefined ? "" : t(" task {0}", status.task);
      const words = t("active, weight {0}{1}", weight, task && `,${task}`);
      return { icon: "record", color: green, word: `${weight}${task}`, status: words };
    }
    case "loaded":
      return { icon: "circle-filled", word: t("loaded"), status: t("loaded, not active") };
    case "fits": {
      const name = state.base?.name ?? t("the base");
      if (status.partly === undefined) {
        return { icon: "circle-outline", word: "", status: t("fits {0}", name) };
      }
      const text = t("fits {0} in part: {1}", name, status.partly);
      return { icon: "circle-outline", color: yellow, word: t("fits in part"), status: text };
    }
    case "misfit": {
      const text = t("does not fit {0}: {1}", state.base?.name ?? t("the base"), status.reason);
      return { icon: "warning", color: yellow, word: t("does not fit"), status: text };
    }
    case "unsupported": {
      const text = t("not supported: {0}", status.reason);
      return { icon: "circle-slash", color: grey, word: t("not supported"), status: text };
    }
    case "unreadable": {
      const text = t("cannot be read: {0}", status.reason);
      return { icon: "error", color: grey, word: t("cannot be read"), status: text };
    }
    case "baseNotLoaded": {
      if (state.base !== null && state.base.path === adapter.basePath) {
        const text = t("its base, {0}, is loaded; whether it fits is being looked at", base);
        return { icon: "circle-outline", word: "", status: text };
      }
      const other = state.base ? t("base not loaded") : "";
      return {
        icon: "circle-outline",
        word: other,
        status: t("its base, {0}, is not loaded", base),
      };
    }
    case "baseMissing": {
      const text = t("its base, {0}, was not found on this machine", base);
      return { icon: "circle-outline", color: grey, word: t("base not found"), status: text };
    }
    default:
      return status satisfies never;
  }
}

function baseLook(
  state: State,
  base: BaseModelSummary,
): Omit<Look, "word"> & { kind: string; words: string[] } {
  if (state.base?.path === base.path) {
    const { contextLength, device } = state.base;
    const status = t("loaded on {0}, context of {1} tokens", device, formatExact(contextLength));
    return { kind: "loaded", icon: "circle-filled", color: green, words: [t("loaded")], status };
  }
  if (base.unsupported !== undefined) {
    const status = t("not supported: {0}", base.unsupported);
    const words = [t("not supported")];
    return { kind: "unsupported", icon: "circle-slash", color: grey, words, status };
  }
  return { kind: "available", icon: "circle-outline", words: [], status: t("not loaded") };
}

const green = "charts.green";
const yellow = "list.warningForeground";
const grey = "disabledForeground";
