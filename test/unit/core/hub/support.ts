import { randomBytes } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import * as path from "node:path";
import { HubServer } from "../../../support/hubServer.ts";
import { sample, temporaryFolder } from "../support.ts";

/** A token that no message and no other host may ever see. */
export const token = "hf_secretSecretSecret123";

/** A Hub with an account, and options that lead to it and to a cache of its own. */
export async function hubAndCache(t: { after(end: () => Promise<void>): void }): Promise<{
  hub: HubServer;
  cacheDir: string;
  at: {
    endpoint: string;
    cacheDir: string;
    token: false;
    offline: false;
    retryDelay: number;
    retries: number;
  };
}> {
  const hub = await HubServer.start();
  t.after(() => hub.close());
  hub.accounts.set(token, { name: "me" });
  const cacheDir = await temporaryFolder(t);
  const at = {
    endpoint: hub.url,
    cacheDir,
    token: false,
    offline: false,
    retryDelay: 5,
    retries: 2,
  } as const;
  return { hub, cacheDir, at };
}

/** Files of a base; the weights are noise, for nothing here reads them. */
export function baseFiles(size = 300_000): Record<string, string | Uint8Array> {
  return {
    "config.json": '{"model_type":"llama"}',
    "tokenizer.json": "{}",
    "README.md": "# A base",
    "model.safetensors": randomBytes(size),
    "pytorch_model.bin": randomBytes(1000),
    "onnx/model.onnx": randomBytes(1000),
  };
}

/** Paths below a folder, with forward slashes. */
export async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) =>
      path.relative(folder, path.join(entry.parentPath, entry.name)).split(path.sep).join("/"),
    )
    .sort();
}

/** The files of a sample adapter as they would lie on the Hub, with an id for their base. */
export async function adapterOnHub(
  name: string,
  base: string | null,
  more: Readonly<Record<string, string | Uint8Array>> = {},
): Promise<Record<string, string | Uint8Array>> {
  const folder = path.join(sample, "adapters", name);
  const text = await readFile(path.join(folder, "adapter_config.json"), "utf8");
  const config = { ...(JSON.parse(text) as object), base_model_name_or_path: base };
  return {
    "adapter_config.json": JSON.stringify(config),
    "adapter_model.safetensors": await readFile(path.join(folder, "adapter_model.safetensors")),
    "README.md": [
      "---",
      "library_name: peft",
      "license: apache-2.0",
      `base_model: ${base}`,
      "tags:",
      `- base_model:adapter:${base}`,
      "- lora",
      "---",
      "# Words of its maker",
      "",
    ].join("\n"),
    ...more,
  };
}
