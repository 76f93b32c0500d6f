import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { LoadedAdapter, PeftModel } from "../../extension/core/peftModel.ts";
import { openSafetensors } from "../../extension/core/safetensors/read.ts";
import { expect } from "./outcome.ts";
import { readJson } from "./truth.ts";

/** Saves a loaded adapter: same keys, shapes and bytes, same config fields as PEFT wrote. */
export async function checkRoundTrip(model: PeftModel, adapter: LoadedAdapter): Promise<string> {
  const scratch = await mkdtemp(path.join(tmpdir(), "graft-save-"));
  try {
    await model.savePretrained(scratch, { selectedAdapters: [adapter.name] });
    const own = adapter.name === "default" ? scratch : path.join(scratch, adapter.name);
    const [before, after] = [adapter.checkpoint.dir, own].map((dir) =>
      readJson<object>(path.join(dir, "adapter_config.json")),
    );
    expect(isDeepStrictEqual(before, after), "the saved config differs");
    const source = path.join(adapter.checkpoint.dir, "adapter_model.safetensors");
    const target = path.join(own, "adapter_model.safetensors");
    const [old, saved] = [await openSafetensors(source), await openSafetensors(target)];
    expect(isDeepStrictEqual(old.tensors, saved.tensors), "the saved tensors' header differs");
    const [oldBytes, savedBytes] = [await readFile(source), await readFile(target)];
    expect(oldBytes.equals(savedBytes), "the saved file's bytes differ");
    return "round trip equal";
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
