import * as path from "node:path";
import { cpus } from "node:os";
import type { AdapterKind } from "./randomAdapter.ts";
import { makeRandomModel } from "./makeRandomModel.ts";
import { Peer } from "./peer.ts";
import { adapterFolder, adapterGguf, baseExport, baseGguf, cache, installPeer } from "./prepare.ts";
import type { Ask, Precision } from "./protocol.ts";

export interface PartyName {
  readonly program: "graft" | "peft" | "llama" | "transformersJs";
  readonly precision: Precision;
}

const python = process.env["GRAFT_PYTHON"] ?? "python3";
const peers = path.join(import.meta.dirname, "peers");

/** Parties of one run: what is compared must be alive at once, and fit into memory together. */
export const sets: Readonly<Record<string, readonly PartyName[]>> = {
  fp32: [
    { program: "graft", precision: "fp32" },
    { program: "peft", precision: "fp32" },
    { program: "llama", precision: "f32" },
  ],
  small: [
    { program: "graft", precision: "int8" },
    { program: "graft", precision: "int4" },
    { program: "peft", precision: "fp32" },
    { program: "peft", precision: "bf16" },
    { program: "llama", precision: "q8_0" },
    { program: "llama", precision: "q4_0" },
  ],
  // PEFT in bf16 would read a prompt of 4,096 tokens for minutes.
  long: [
    { program: "graft", precision: "int8" },
    { program: "graft", precision: "int4" },
    { program: "peft", precision: "fp32" },
    { program: "llama", precision: "q8_0" },
    { program: "llama", precision: "q4_0" },
  ],
  js: [
    { program: "graft", precision: "fp32" },
    { program: "transformersJs", precision: "fp32" },
  ],
  bf16: [
    { program: "graft", precision: "bf16" },
    { program: "peft", precision: "bf16" },
  ],
};

/** Whose time a party's is divided by, in tables. */
export const rivals: Readonly<Record<string, readonly string[]>> = {
  "graft fp32": ["peft fp32", "llama f32", "transformersJs fp32"],
  "graft bf16": ["peft bf16"],
  "graft int8": ["peft fp32", "peft bf16", "llama q8_0"],
  "graft int4": ["peft fp32", "peft bf16", "llama q4_0"],
};

export function labelOf({ program, precision }: PartyName): string {
  return `${program} ${precision}`;
}

/** A party's process. */
export async function openParty({ program }: PartyName): Promise<Peer> {
  const script = (name: string): string[] => ["--import", "tsx", path.join(peers, name)];
  switch (program) {
    case "graft":
      return Peer.open(process.execPath, script("graft.ts"));
    case "peft":
      return Peer.open(python, [path.join(peers, "pythonPeft.py")]);
    case "llama":
      return Peer.open(process.execPath, [...script("llama.ts"), await installPeer("llama")]);
    case "transformersJs": {
      const folder = await installPeer("transformersJs");
      return Peer.open(process.execPath, [...script("transformersJs.ts"), folder]);
    }
    default:
      return program satisfies never;
  }
}

/** What it is told to load, all files made. */
export async function loadOf(
  { program, precision }: PartyName,
  shape: string,
  at: { adapters: Readonly<Record<string, AdapterKind>>; threads: number },
): Promise<Extract<Ask, { do: "load" }>> {
  const isLlama = program === "llama";
  // PEFT rounds fp32 weights itself.
  const format = precision === "bf16" && program === "graft" ? "bf16" : "fp32";
  const model = isLlama
    ? await baseGguf(shape, precision as "f32" | "q8_0" | "q4_0")
    : program === "transformersJs"
      ? await baseExport(shape)
      : await makeRandomModel(shape, format);
  const files: Record<string, string> = {};
  for (const [name, kind] of Object.entries(at.adapters)) {
    const folder = await adapterFolder(shape, name, kind);
    files[name] = isLlama && kind.method === "lora" ? await adapterGguf(shape, folder) : folder;
  }
  // Left to itself node-llama-cpp takes four threads on two cores, which then wait for one another.
  const threads = isLlama ? at.threads || allThreads : at.threads;
  const quantized = path.join(cache, "quantized");
  return { do: "load", model, precision, threads, adapters: files, cache: quantized };
}

/** Threads that parties take by themselves. */
export const allThreads = cpus().length;
