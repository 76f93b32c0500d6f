import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { isDeepStrictEqual } from "node:util";
import { openAdapterCheckpoint } from "../../extension/core/checkpoint/adapterCheckpoint.ts";
import type { PeftModel } from "../../extension/core/peftModel.ts";
import type { LoadedAdapter } from "../../extension/core/loadAdapter.ts";
import { readTensors } from "../../extension/core/safetensors/read.ts";
import { expect } from "./outcome.ts";
import { readJson } from "./truth.ts";

const weights = "adapter_model.safetensors";

/**
 * Saves loaded adapters together, first as safetensors, then as .bin over it: same keys, shapes,
 * bytes and config fields as PEFT wrote, in PEFT's places.
 */
export async function checkRoundTrip(
  model: PeftModel,
  adapters: readonly LoadedAdapter[],
): Promise<string> {
  const scratch = await mkdtemp(path.join(tmpdir(), "graft-save-"));
  const selectedAdapters = adapters.map(({ name }) => name);
  try {
    await model.savePretrained(scratch, { selectedAdapters });
    for (const adapter of adapters) await compare(adapter, scratch, "safetensors");
    const asBin = { safeSerialization: false, overwrite: true };
    await model.savePretrained(scratch, { selectedAdapters, ...asBin });
    for (const adapter of adapters) await compare(adapter, scratch, "bin");
    return "round trip equal";
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function compare(
  { name, checkpoint }: LoadedAdapter,
  scratch: string,
  format: "safetensors" | "bin",
): Promise<void> {
  const own = name === "default" ? scratch : path.join(scratch, name);
  const say = (problem: string): string => `"${name}" saved as ${format}: ${problem}`;
  const [before, after] = [checkpoint.dir, own].map((dir) =>
    readJson<object>(path.join(dir, "adapter_config.json")),
  );
  expect(isDeepStrictEqual(before, after), say("the config differs"));
  const [old, saved] = [await tensorsOf(checkpoint.dir), await tensorsOf(own)];
  const names = [...saved.keys()].join();
  expect([...old.keys()].join() === names, say(`its tensors are ${names}`));
  for (const [tensor, value] of old) {
    expect(isDeepStrictEqual(value, saved.get(tensor)), say(`${tensor} differs`));
  }
  expect(existsSync(path.join(own, weights)) === (format === "safetensors"), say("wrong format"));
  const source = path.join(checkpoint.dir, weights);
  if (format === "bin" || !existsSync(source)) return;
  const [oldBytes, savedBytes] = [await readFile(source), await readFile(path.join(own, weights))];
  expect(oldBytes.equals(savedBytes), say("the file's bytes differ"));
}

/** Element type, shape and bytes by name, in the order of names. */
async function tensorsOf(
  folder: string,
): Promise<Map<string, [string, readonly number[], Buffer]>> {
  const { file, tensors } = (await openAdapterCheckpoint(folder)).weights;
  const bytes = await readTensors(file, tensors);
  const entries = tensors.map(
    ({ name, dtype, shape }, i) =>
      [name, [dtype, shape, Buffer.from(bytes[i] as Uint8Array)]] as const,
  );
  return new Map(
    entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => [name, [...value]]),
  );
}
