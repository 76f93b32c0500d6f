import { randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import * as path from "node:path";
import { HubServer } from "../../../support/hubServer.ts";
import { temporaryFolder } from "../support.ts";

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
