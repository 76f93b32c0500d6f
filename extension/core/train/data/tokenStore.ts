import { t } from "@vscode/l10n";
import { randomBytes } from "node:crypto";
import { closeSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import * as path from "node:path";
import { diskFull } from "../../base/errors.ts";

const blockLength = 1 << 18;

/**
 * Lists of int32 numbers, one after the other. So many that memory should not hold them are in a file, which
 * is read piece by piece; it is gone with the store.
 */
export class TokenStore {
  private readonly blocks: Int32Array[] = [];
  private starts = new Float64Array(1024);
  private file: { fd: number; path: string } | null = null;
  /** Numbers that are in the file; what follows is in `blocks`. */
  private written = 0;
  count = 0;

  /**
   * @param folder where the file goes
   * @param limit numbers that are kept in memory: 128 MB of them
   */
  constructor(
    private readonly folder: string,
    private readonly limit = 32 * 1024 * 1024,
  ) {}

  get length(): number {
    return this.starts[this.count] as number;
  }

  add(values: ArrayLike<number>): void {
    const start = this.length - this.written;
    for (let i = 0; i < values.length; i++) {
      const at = start + i;
      const block = (this.blocks[Math.floor(at / blockLength)] ??= new Int32Array(blockLength));
      block[at % blockLength] = values[i] as number;
    }
    const end = this.length + values.length;
    this.count++;
    if (this.count + 1 > this.starts.length) {
      const grown = new Float64Array(this.starts.length * 2);
      grown.set(this.starts);
      this.starts = grown;
    }
    this.starts[this.count] = end;
    if (end - this.written > this.limit) this.spill();
  }

  lengthOf(index: number): number {
    return (this.starts[index + 1] as number) - (this.starts[index] as number);
  }

  read(index: number): Int32Array {
    const values = new Int32Array(this.lengthOf(index));
    const start = this.starts[index] as number;
    const inFile = Math.max(0, Math.min(values.length, this.written - start));
    if (inFile > 0 && this.file) {
      readSync(this.file.fd, values, 0, inFile * 4, start * 4);
    }
    for (let i = inFile; i < values.length; i++) {
      const at = start + i - this.written;
      values[i] = this.blocks[Math.floor(at / blockLength)]?.[at % blockLength] as number;
    }
    return values;
  }

  dispose(): void {
    this.blocks.length = 0;
    if (!this.file) return;
    closeSync(this.file.fd);
    rmSync(this.file.path, { force: true });
    this.file = null;
  }

  /** Whole blocks go to the file; the last one stays. */
  private spill(): void {
    const name = path.join(this.folder, `tokens-${randomBytes(6).toString("hex")}.tmp`);
    try {
      this.file ??= openScratch(name);
      const rest = this.length - this.written;
      const whole = this.blocks.splice(0, Math.floor(rest / blockLength));
      for (const block of whole) {
        const bytes = new Uint8Array(block.buffer);
        for (let done = 0; done < bytes.length;) {
          done += writeSync(
            this.file.fd,
            bytes,
            done,
            bytes.length - done,
            this.written * 4 + done,
          );
        }
        this.written += blockLength;
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
      throw diskFull(
        t(
          "There is no room in {0} for the tokens of the training data. Make room, or choose fewer texts.",
          this.folder,
        ),
        {
          folder: this.folder,
        },
      );
    }
  }
}

/** A file that is gone with its process, however that ends, where a system lets open files go. */
function openScratch(name: string): { fd: number; path: string } {
  const fd = openSync(name, "wx+");
  if (process.platform !== "win32") rmSync(name);
  return { fd, path: name };
}
