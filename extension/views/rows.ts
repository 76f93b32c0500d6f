import type {
  AdapterSummary,
  BaseModelInfo,
  BaseModelSummary,
  Source,
} from "../protocol/engineContract.ts";
import { type AdapterStatus, adapterStatus, baseLabel, type State } from "../state.ts";
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

const sourceWords: Record<Source, string> = {
  workspace: "this workspace",
  cache: "Hugging Face cache",
  folder: "folder from the settings",
  sample: "built-in sample",
};

export function baseRow(state: State, base: BaseModelSummary): Row {
  const look = baseLook(state, base);
  const source = base.source === "workspace" ? [] : [base.source];
  const loaded = state.base?.path === base.path ? state.base : undefined;
  const ran = loaded && loaded.precision !== "as stored" ? loaded.precision : base.dtype;
  const size = [ran, formatBytes(base.bytes)];
  const facts = [base.modelType, formatCount(base.parameters), ...size];
  return {
    id: base.path,
    label: base.name,
    description: [...facts, ...source, ...look.words].filter(Boolean).join(" · "),
    icon: look.icon,
    color: look.color,
    contextValue: `base.${look.kind}`,
    status: look.status,
    facts: [
      ["State", look.status],
      ["Architecture", base.architecture || base.modelType],
      ["Parameters", formatExact(base.parameters)],
      ["Precision", loaded ? `${base.dtype}, runs ${loaded.precision}` : base.dtype],
      ...loadedFacts(loaded),
      ["Size", formatBytes(base.bytes)],
      ["From", sourceWords[base.source]],
      ["Path", base.path],
    ],
  };
}

function loadedFacts(base: BaseModelInfo | undefined): Row["facts"] {
  if (!base) return [];
  const { memory, lost, deviceNote } = base;
  return [
    ["Memory", `about ${formatBytes(memory.estimate)}, ${formatBytes(memory.free)} were free`],
    ...(lost === null ? [] : [["Rounding", `${formatShare(lost)} of the weights`] as const]),
    ...(deviceNote === "" ? [] : [["Device", deviceNote] as const]),
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
  const ofBase = share === undefined ? "" : ` (${formatShare(share)} of base)`;
  const bound = loaded ?? (fit?.fits ? fit : undefined);
  const facts: Row["facts"] = [
    ["State", status],
    ["Method", adapter.method || "unknown"],
    ["Rank", adapter.rank === null ? "" : String(adapter.rank)],
    ["Parameters", adapter.isUnread ? "" : `${formatExact(adapter.parameters)}${ofBase}`],
    ["Modules bound", bound ? `${bound.bound} of ${bound.total}` : ""],
    ["Size", formatBytes(adapter.bytes)],
    ["Base", baseLabel(state, adapter)],
    ["From", sourceWords[adapter.source]],
    ["Path", adapter.path],
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
      const task = status.task === undefined ? "" : ` task ${status.task}`;
      const words = `active, weight ${weight}${task && `,${task}`}`;
      return { icon: "record", color: green, word: `${weight}${task}`, status: words };
    }
    case "loaded":
      return { icon: "circle-filled", word: "loaded", status: "loaded, not active" };
    case "fits": {
      const name = state.base?.name ?? "the base";
      if (status.partly === undefined) {
        return { icon: "circle-outline", word: "", status: `fits ${name}` };
      }
      const text = `fits ${name} in part: ${status.partly}`;
      return { icon: "circle-outline", color: yellow, word: "fits in part", status: text };
    }
    case "misfit": {
      const text = `does not fit ${state.base?.name ?? "the base"}: ${status.reason}`;
      return { icon: "warning", color: yellow, word: "does not fit", status: text };
    }
    case "unsupported": {
      const text = `not supported: ${status.reason}`;
      return { icon: "circle-slash", color: grey, word: "not supported", status: text };
    }
    case "unreadable": {
      const text = `cannot be read: ${status.reason}`;
      return { icon: "error", color: grey, word: "cannot be read", status: text };
    }
    case "baseNotLoaded": {
      const other = state.base ? "base not loaded" : "";
      return { icon: "circle-outline", word: other, status: `its base, ${base}, is not loaded` };
    }
    case "baseMissing": {
      const text = `its base, ${base}, was not found on this machine`;
      return { icon: "circle-outline", color: grey, word: "base not found", status: text };
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
    const status = `loaded on ${device}, context of ${formatExact(contextLength)} tokens`;
    return { kind: "loaded", icon: "circle-filled", color: green, words: ["loaded"], status };
  }
  if (base.unsupported !== undefined) {
    const status = `not supported: ${base.unsupported}`;
    const words = ["not supported"];
    return { kind: "unsupported", icon: "circle-slash", color: grey, words, status };
  }
  return { kind: "available", icon: "circle-outline", words: [], status: "not loaded" };
}

const green = "testing.iconPassed";
const yellow = "list.warningForeground";
const grey = "disabledForeground";
