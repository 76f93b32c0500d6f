import * as vscode from "vscode";
import type { Conversion, RankChoice } from "../protocol/writeContract.ts";
import { readShare, readWhole } from "../views/combination.ts";

interface About {
  title: string;
  /** Rank of the adapter now, where it has one. */
  rank: number | null;
}

/** What a conversion needs to know; undefined when the user leaves. */
export async function askConversion(
  kind: Exclude<Conversion["kind"], "peft">,
  about: About,
): Promise<Conversion | undefined> {
  switch (kind) {
    case "lora":
    case "resize": {
      const size = await askSize(about);
      return size && { kind, size };
    }
    case "reduceIntruders":
      return askIntruders(about);
    case "onnxAdapter":
      return askOnnx(about);
    case "gguf": {
      const dtype = await askOne(about, vscode.l10n.t("Type of the tensors"), {
        fp16: ["fp16", vscode.l10n.t("half the size; what llama.cpp's own converter writes")],
        fp32: ["fp32", vscode.l10n.t("as trained")],
        bf16: ["bf16", vscode.l10n.t("half the size, the range of fp32")],
      });
      return dtype && { kind, dtype };
    }
    default:
      return kind satisfies never;
  }
}

async function askSize(about: About): Promise<RankChoice | undefined> {
  const kind = await askOne(about, vscode.l10n.t("How large does it become?"), {
    rank: [vscode.l10n.t("One Rank"), vscode.l10n.t("one rank for all modules")],
    energy: [
      vscode.l10n.t("Share of the Update"),
      vscode.l10n.t("per module the smallest rank that keeps a share of the update"),
    ],
    exact: [
      vscode.l10n.t("Exact"),
      vscode.l10n.t("per module the rank that its update has: nothing is lost"),
    ],
  });
  if (kind === undefined) return undefined;
  if (kind === "exact") return { kind };
  if (kind === "energy") {
    const energy = await askNumber(about, {
      prompt: vscode.l10n.t("Energy to keep: the share of the squared singular values"),
      value: 0.95,
      read: readShare,
    });
    return energy === undefined ? undefined : { kind, energy };
  }
  const rank = await askNumber(about, {
    prompt: vscode.l10n.t("Rank"),
    value: about.rank ?? 8,
    read: (text) => readWhole(text, 1),
  });
  return rank === undefined ? undefined : { kind, rank };
}

async function askIntruders(about: About): Promise<Conversion | undefined> {
  const topK = await askNumber(about, {
    prompt: vscode.l10n.t("How many of the strongest directions are looked at in each module"),
    value: 10,
    read: (text) => readWhole(text, 1),
  });
  if (topK === undefined) return undefined;
  const threshold = await askNumber(about, {
    prompt: vscode.l10n.t("Likeness to the base below which a direction is an intruder, 0 to 1"),
    value: 0.5,
    read: readFraction,
  });
  if (threshold === undefined) return undefined;
  const mitigation = await askNumber(about, {
    prompt: vscode.l10n.t("Factor on an intruder: 0 removes it, 1 keeps it"),
    value: 0.75,
    read: readFraction,
  });
  return mitigation === undefined
    ? undefined
    : { kind: "reduceIntruders", topK, threshold, mitigation };
}

async function askOnnx(about: About): Promise<Conversion | undefined> {
  const names = await askOne(about, vscode.l10n.t("Which model is it for?"), {
    genai: ["ONNX Runtime GenAI", vscode.l10n.t("made by ONNX Runtime GenAI's model builder")],
    olive: ["Olive", vscode.l10n.t("made by Olive")],
  });
  if (names === undefined) return undefined;
  const dtype = await askOne(about, vscode.l10n.t("Type of the tensors: that of the model"), {
    fp32: ["fp32", vscode.l10n.t("as trained")],
    fp16: ["fp16", vscode.l10n.t("half the size")],
  });
  return dtype && { kind: "onnxAdapter", names, dtype };
}

async function askOne<K extends string>(
  { title }: About,
  placeHolder: string,
  choices: Record<K, readonly [label: string, description: string]>,
): Promise<K | undefined> {
  const items = (Object.keys(choices) as K[]).map((value) => {
    const [label, description] = choices[value];
    return { label, description, value };
  });
  const options = { title, placeHolder, ignoreFocusOut: true };
  return (await vscode.window.showQuickPick(items, options))?.value;
}

async function askNumber(
  { title }: About,
  { prompt, value, read }: { prompt: string; value: number; read(text: string): number | string },
): Promise<number | undefined> {
  const validateInput = (input: string): string | undefined => {
    const problem = read(input);
    return typeof problem === "string" ? problem : undefined;
  };
  const options = { title, prompt, value: String(value), validateInput, ignoreFocusOut: true };
  const text = await vscode.window.showInputBox(options);
  return text === undefined ? undefined : Number(text);
}

function readFraction(text: string): number | string {
  const value = Number(text);
  const isFraction = text.trim() !== "" && value >= 0 && value <= 1;
  return isFraction ? value : vscode.l10n.t("A number from 0 to 1.");
}
