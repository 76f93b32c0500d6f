import * as vscode from "vscode";
import type { LoadOptions } from "./protocol/engineContract.ts";
import type { Sampling } from "./protocol/generationContract.ts";
import type { ReadingParams } from "./protocol/generationContract.ts";

/** Reads the settings; defaults and ranges live in package.json alone. */

export interface DiscoverySettings {
  adapterFolders: string[];
  baseModelFolders: string[];
  huggingFaceCache: boolean;
}

export function discoverySettings(): DiscoverySettings {
  const settings = vscode.workspace.getConfiguration("graft");
  return {
    adapterFolders: settings.get<string[]>("adapterFolders", []).map(expandHome),
    baseModelFolders: settings.get<string[]>("baseModelFolders", []).map(expandHome),
    huggingFaceCache: settings.get("discoverHuggingFaceCache", true),
  };
}

/** How bases are loaded where the user chooses nothing else. */
export function loadSettings(): LoadOptions {
  const settings = vscode.workspace.getConfiguration("graft.load");
  return {
    precision: settings.get<NonNullable<LoadOptions["precision"]>>("precision", "auto"),
    device: settings.get<NonNullable<LoadOptions["device"]>>("device", "auto"),
    memory: settings.get<NonNullable<LoadOptions["memory"]>>("memory", "resident"),
  };
}

export function samplingSettings(): Sampling {
  const settings = vscode.workspace.getConfiguration("graft.sampling");
  return {
    maxNewTokens: settings.get("maxNewTokens", 256),
    temperature: settings.get("temperature", 0),
    topP: settings.get("topP", 1),
    topK: settings.get("topK", 0),
    repetitionPenalty: settings.get("repetitionPenalty", 1),
    seed: settings.get<number | null>("seed", null),
  };
}

/** How tokens are read ahead. */
export function readingSettings(): ReadingParams {
  const settings = vscode.workspace.getConfiguration("graft");
  const draftModel = settings.get("generation.draftModel", "").trim();
  return {
    speculation: settings.get<ReadingParams["speculation"]>("generation.speculation", "auto"),
    draftModel: draftModel === "" ? null : expandHome(draftModel),
    draftPrecision: loadSettings().precision ?? "auto",
  };
}

/** Adds a folder to one of the two folder settings, for this user on this machine. */
export async function addFolder(
  setting: "adapterFolders" | "baseModelFolders",
  folder: string,
): Promise<void> {
  const settings = vscode.workspace.getConfiguration("graft");
  const known = settings.inspect<string[]>(setting)?.globalValue ?? [];
  if (known.includes(folder)) return;
  await settings.update(setting, [...known, folder], vscode.ConfigurationTarget.Global);
}

function expandHome(folder: string): string {
  const home = process.env["HOME"] ?? process.env["USERPROFILE"] ?? "";
  return folder === "~" || /^~[/\\]/.test(folder) ? home + folder.slice(1) : folder;
}
