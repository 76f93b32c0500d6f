import { t } from "@vscode/l10n";
import { open } from "node:fs/promises";
import { badFile, notFound, unsupported } from "../base/errors.ts";
import { openSafetensors, type SafetensorsFile } from "../safetensors/read.ts";
import { openTorchFile } from "./torchFile.ts";
import type { WeightFiles } from "./weightFiles.ts";

/**
 * Opens a weight file by its header.
 * @throws bad-file when it is broken, cut short, or stands for weights that were never fetched
 */
export async function openWeightFile(
  file: string,
  format: WeightFiles["format"],
): Promise<SafetensorsFile> {
  await refuseStandIn(file, format);
  if (format === "safetensors") return openSafetensors(file);
  const opened = await openTorchFile(file);
  // Which strides a tensor has matters here only: adapters are read whole.
  const scattered = opened.tensors.find(({ strides, shape }) => strides && !isPermuted(strides, shape)); // prettier-ignore
  if (!scattered) return opened;
  throw unsupported(
    t('{0}: tensor "{1}" is a view whose elements do not lie together', file, scattered.name),
    t("Save the model again as safetensors."),
  );
}

/** Whether elements lie without gap or overlap, in another order of the dimensions at most. */
function isPermuted(strides: readonly number[], shape: readonly number[]): boolean {
  let expected = 1;
  for (const axis of storedOrder(strides, shape).reverse()) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis] as number;
  }
  return true;
}

/** Dimensions as they lie in the file, the one with the longest step first. */
export function storedOrder(strides: readonly number[], shape: readonly number[]): number[] {
  const step = (axis: number): number => (shape[axis] === 1 ? Infinity : (strides[axis] as number));
  return shape.map((_, axis) => axis).sort((a, b) => (step(b) === step(a) ? a - b : step(b) - step(a))); // prettier-ignore
}

const lfsPointer = /^version https:\/\/git-lfs\.github\.com\/spec\/[^\n]*\n(?:.*\n)*?size (\d+)/;

/** Weights of another kind under the name of safetensors: what they are, and what to do. */
function otherFormat(start: string): [problem: string, remedy: string] | undefined {
  if (/^(PK\x03\x04|\x80[\x02-\x05])/.test(start)) {
    return [
      t("is a file of PyTorch (pickle), not safetensors"),
      t("Rename it to pytorch_model.bin or adapter_model.bin, or get the safetensors file."),
    ];
  }
  if (!start.startsWith("GGUF")) return undefined;
  return [
    t("is a GGUF file, not safetensors"),
    t("Rename it to .gguf, or get the safetensors file."),
  ];
}

/** A pointer of git-lfs, a page of a web server or nothing in the place of weights. */
async function refuseStandIn(file: string, format: WeightFiles["format"]): Promise<void> {
  const handle = await open(file, "r").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") throw notFound(t("File"), file);
    throw badFile(file, t("cannot be opened ({0})", error.code ?? error.message));
  });
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(1024), 0, 1024, 0);
    const start = buffer.toString("latin1", 0, bytesRead);
    if (bytesRead === 0) throw badFile(file, t("is empty"), t("Download it again."));
    if (/^\s*<(!doctype|html)/i.test(start)) {
      throw badFile(file, t("is a web page, not weights"), t("Download it again."));
    }
    const other = format === "safetensors" ? otherFormat(start) : undefined;
    if (other !== undefined) throw badFile(file, ...other);
    const size = lfsPointer.exec(start)?.[1];
    if (size === undefined) return;
    throw badFile(
      file,
      t("is a git-lfs pointer to {0} bytes that were not fetched", size),
      t('Run "git lfs pull" in its folder.'),
    );
  } finally {
    await handle.close();
  }
}
