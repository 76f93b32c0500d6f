import { badRequest } from "../core/base/errors.ts";
import { showBytes } from "../core/base/progress.ts";
import { clearQuantCache, defaultQuantCacheDir, listQuantCache } from "../core/quantCache.ts";
import { readArguments } from "./arguments.ts";

const options = { json: { type: "boolean", default: false } } as const;

/** `cache`: lists the quantized weights that are kept; `cache clear [KEY]...` removes them. */
export async function cache(args: string[]): Promise<void> {
  const { values, positionals } = readArguments(args, options);
  const [action = "list", ...keys] = positionals;
  const dir = defaultQuantCacheDir();
  if (action === "clear") {
    const { removed, kept } = await clearQuantCache(dir, keys.length > 0 ? { keys } : {});
    const bytes = removed.reduce((sum, entry) => sum + entry.bytes, 0);
    process.stdout.write(`Removed ${removed.length} of ${dir}, ${showBytes(bytes)}\n`);
    for (const { model, precision } of kept) {
      process.stderr.write(`${model} in ${precision} is in use and was left\n`);
    }
    return;
  }
  if (action !== "list") throw badRequest(`cache knows "list" and "clear", not "${action}".`);
  const entries = await listQuantCache(dir);
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ dir, entries }, null, 2)}\n`);
    return;
  }
  for (const { key, model, precision, bytes, lastUsed } of entries) {
    const day = lastUsed.toISOString().slice(0, 10);
    process.stdout.write(`${key}  ${model}  ${precision}  ${showBytes(bytes)}  last used ${day}\n`);
  }
  if (entries.length === 0) process.stdout.write(`${dir} holds nothing\n`);
}
