import { t } from "@vscode/l10n";
import { readdir, realpath, stat } from "node:fs/promises";
import * as path from "node:path";
import { badFile } from "../base/errors.ts";
import type { Decoding } from "./decode.ts";

/**
 * Finds the files beside a model that hold its large values. A location must stay inside the model's
 * folder; a link may lead to where the .onnx file itself really is, or to the blobs of a Hugging
 * Face cache, which are beside its snapshots.
 */
export async function externalFiles(file: string, real: string): Promise<Decoding["external"]> {
  const folder = await realpath(path.dirname(file));
  const allowed = [folder, path.dirname(real), ...cacheBlobs(folder)];
  const known = await filesBelow(folder, allowed);
  return (tensor, entries) => {
    const location = entries.get("location") ?? "";
    const parts = location.split(/[/\\]/);
    if (
      location === "" ||
      path.isAbsolute(location) ||
      /^[a-z]:/i.test(location) ||
      parts.includes("..")
    ) {
      throw badFile(
        file,
        t('tensor "{0}" is said to be in "{1}", outside the model\'s folder', tensor, location),
      );
    }
    const name = path.join(folder, ...parts);
    const found = known.get(name);
    if (found === "outside") {
      throw badFile(
        file,
        t(
          'tensor "{0}" is in "{1}", a link that leads outside the model\'s folder',
          tensor,
          location,
        ),
      );
    }
    if (!found) {
      throw badFile(
        file,
        t('keeps tensor "{0}" in "{1}", which is not beside it', tensor, location),
        t("Put {0} into {1}, or download the model again.", path.basename(location), folder),
      );
    }
    const [offset, byteLength] = ["offset", "length"].map((key) => Number(entries.get(key) ?? 0));
    if (!isCount(offset) || !isCount(byteLength) || offset + byteLength > found.size) {
      throw badFile(
        file,
        t(
          'tensor "{0}" is said to be at {1} + {2} of "{3}", which has {4} bytes',
          tensor,
          String(offset),
          String(byteLength),
          location,
          found.size,
        ),
      );
    }
    return { kind: "external", file: found.real, offset, byteLength };
  };
}

function isCount(value: number | undefined): value is number {
  return value !== undefined && Number.isSafeInteger(value) && value >= 0;
}

/** …/models--owner--name/snapshots/<commit>/… → …/models--owner--name/blobs */
function cacheBlobs(folder: string): string[] {
  const match = /^(.*[/\\]models--[^/\\]+)[/\\]snapshots[/\\]/.exec(folder + path.sep);
  return match ? [path.join(match[1] as string, "blobs")] : [];
}

/** Exports keep their values beside the file or one folder below. */
const deepest = 2;

async function filesBelow(
  folder: string,
  allowed: readonly string[],
  depth = 0,
): Promise<Map<string, { real: string; size: number } | "outside">> {
  const found = new Map<string, { real: string; size: number } | "outside">();
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const name = path.join(folder, entry.name);
    if (entry.isDirectory()) {
      if (depth >= deepest) continue;
      for (const each of await filesBelow(name, allowed, depth + 1)) found.set(...each);
      continue;
    }
    const real = await realpath(name).catch(() => null);
    if (real === null) continue;
    const isInside = allowed.some((each) => real.startsWith(each + path.sep));
    const { size } = await stat(real);
    found.set(name, isInside ? { real, size } : "outside");
  }
  return found;
}
