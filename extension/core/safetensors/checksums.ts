import { createHash } from "node:crypto";
import { open, stat } from "node:fs/promises";
import type { SafetensorsFile } from "./read.ts";

const piece = 64 * 1024;
const pieces = 64;

/** Checksums of a file's header and of pieces all over it: 4 MB of a file of any size. */
export async function checksums({
  file,
  size,
  dataStart,
}: Pick<SafetensorsFile, "file" | "size" | "dataStart">): Promise<{
  headerSha256: string;
  sampleSha256: string;
}> {
  const handle = await open(file, "r");
  try {
    const read = async (offset: number, length: number): Promise<Uint8Array> => {
      const bytes = new Uint8Array(length);
      const { bytesRead } = await handle.read(bytes, 0, length, offset);
      return bytes.subarray(0, bytesRead);
    };
    const header = createHash("sha256").update(await read(0, Math.min(dataStart, size)));
    const sample = createHash("sha256");
    const last = Math.max(0, size - piece);
    for (let i = 0; i < pieces; i++) {
      sample.update(await read(Math.floor((last * i) / (pieces - 1)), Math.min(piece, size)));
    }
    return { headerSha256: header.digest("hex"), sampleSha256: sample.digest("hex") };
  } finally {
    await handle.close();
  }
}

/** What of a file says that it is still the same: size, time of change, header, pieces all over it. */
export async function identityOf(file: SafetensorsFile): Promise<unknown> {
  const { mtimeMs } = await stat(file.file);
  return { size: file.size, mtimeMs, tensors: file.tensors, ...(await checksums(file)) };
}
