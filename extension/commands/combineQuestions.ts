import * as vscode from "vscode";
import type { Graft } from "../context.ts";
import type { AdapterInfo } from "../protocol/engineContract.ts";
import type { CombineParams } from "../protocol/writeContract.ts";
import {
  type CombinationWay,
  combinationWays,
  freeName,
  rankAfter,
  readShare,
  readWeights,
  readWhole,
} from "../views/combination.ts";
import { formatWeight } from "../views/format.ts";
import { askName, chooseTarget } from "./targets.ts";

export function combineTitle(): string {
  return vscode.l10n.t("Combine Adapters");
}

type Params = Omit<CombineParams, "base">;

/** Asks for all that a combination needs, one thing after the other; undefined when the user leaves. */
export async function askCombination(
  graft: Graft,
  loaded: readonly AdapterInfo[],
): Promise<Params | undefined> {
  const weights = await askWeights(graft, loaded);
  if (!weights) return undefined;
  const way = await askWay(loaded);
  if (!way) return undefined;
  const options = await askOptions(way, loaded);
  if (!options) return undefined;
  const taken = graft.session.state.loaded.map(({ name }) => name);
  const name = await askName(graft, {
    title: combineTitle(),
    prompt: vscode.l10n.t("Name of the new adapter and of its folder"),
    value: freeName(loaded.map((each) => each.name).join("-"), taken),
  });
  const target = name !== undefined && (await chooseTarget(graft, { name, title: combineTitle() }));
  if (!name || !target) return undefined;
  const adapters = loaded.map((each, i) => ({ name: each.name, weight: weights[i] ?? 1 }));
  const { folder, overwrite } = target;
  return { ...options, adapters, name, type: way.type, folder: folder.fsPath, overwrite };
}

async function askWeights(
  { session }: Graft,
  loaded: readonly AdapterInfo[],
): Promise<number[] | undefined> {
  const { active } = session.state;
  const now = loaded.map(({ name }) => active.find((a) => a.name === name)?.weight ?? 1);
  const names = loaded.map(({ name }) => name).join(", ");
  const text = await vscode.window.showInputBox({
    title: combineTitle(),
    prompt: vscode.l10n.t("Weights of {0}; a negative one takes away", names),
    value: now.join(", "),
    ignoreFocusOut: true,
    validateInput: (value) => {
      const weights = readWeights(value, loaded.length);
      if (typeof weights === "string") return weights;
      const parts = loaded.map(({ name }, i) => `${name} ${formatWeight(weights[i] ?? 1)}`);
      return { message: parts.join(", "), severity: vscode.InputBoxValidationSeverity.Info };
    },
  });
  const weights = text === undefined ? undefined : readWeights(text, loaded.length);
  return typeof weights === "string" ? undefined : weights;
}

async function askWay(loaded: readonly AdapterInfo[]): Promise<CombinationWay | undefined> {
  const ways = combinationWays(loaded);
  if (ways.length < 2) return ways[0];
  const items = ways.map((way) => {
    const rank = rankAfter(way.type, loaded);
    return {
      label: way.type,
      description: rank === null ? "" : `r ${rank}`,
      detail: way.meaning,
      way,
    };
  });
  const ranks = new Set(loaded.map(({ rank }) => rank));
  const placeHolder =
    ranks.size === 1
      ? vscode.l10n.t("How are they combined?")
      : vscode.l10n.t("How are they combined? Their ranks differ, so these ways fit");
  const options = { title: combineTitle(), placeHolder, matchOnDetail: true, ignoreFocusOut: true };
  return (await vscode.window.showQuickPick(items, options))?.way;
}

type Options = Pick<Params, "density" | "majoritySign" | "svdRank" | "seed">;

async function askOptions(
  { needs }: CombinationWay,
  loaded: readonly AdapterInfo[],
): Promise<Options | undefined> {
  const options: Options = {};
  for (const need of needs) {
    if (need === "majoritySign") {
      const sign = await askSign();
      if (sign === undefined) return undefined;
      options.majoritySign = sign;
      continue;
    }
    const number = await askNumber(need, loaded);
    if (number === undefined) return undefined;
    options[need] = number;
  }
  return options;
}

async function askSign(): Promise<Options["majoritySign"]> {
  const items = [
    { label: "total", description: vscode.l10n.t("the sign of the sum"), sign: "total" as const },
    {
      label: "frequency",
      description: vscode.l10n.t("the sign that more adapters have"),
      sign: "frequency" as const,
    },
  ];
  const placeHolder = vscode.l10n.t("Which sign wins where adapters disagree?");
  const chosen = await vscode.window.showQuickPick(items, {
    title: combineTitle(),
    placeHolder,
    ignoreFocusOut: true,
  });
  return chosen?.sign;
}

async function askNumber(
  need: "density" | "svdRank" | "seed",
  loaded: readonly AdapterInfo[],
): Promise<number | undefined> {
  const ranks = loaded.map(({ rank }) => rank ?? 1);
  const sum = ranks.reduce((total, rank) => total + rank, 0);
  const questions = {
    density: {
      prompt: vscode.l10n.t("Density: the share of values to keep"),
      value: "0.5",
      read: readShare,
    },
    svdRank: {
      prompt: vscode.l10n.t("Rank of the new adapter; {0} keeps everything of a plain sum", sum),
      value: String(Math.max(...ranks)),
      read: (text: string) => readWhole(text, 1),
    },
    seed: {
      prompt: vscode.l10n.t("Seed of what is dropped: the same one gives the same adapter"),
      value: "0",
      read: (text: string) => readWhole(text, 0),
    },
  };
  const { prompt, value, read } = questions[need];
  const validateInput = (input: string): string | undefined => {
    const problem = read(input);
    return typeof problem === "string" ? problem : undefined;
  };
  const options = { title: combineTitle(), prompt, value, validateInput, ignoreFocusOut: true };
  const text = await vscode.window.showInputBox(options);
  return text === undefined ? undefined : Number(text);
}
