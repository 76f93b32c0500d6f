import { t } from "@vscode/l10n";
import type { FileHandle } from "node:fs/promises";
import { badFile } from "../base/errors.ts";
import { readVarint, splitTag, WireError } from "./wire.ts";

/** Most bytes read at once, and most that one field may hold in memory: a node with its subgraphs. */
const windowSize = 1 << 20;
const largestField = 1 << 29;

/** Where a field of a message stands in a file: `start` to `end` is its value, `from` its tag. */
export interface FileField {
  readonly id: number;
  /** Wire type; 2 has a length. */
  readonly type: number;
  readonly from: number;
  readonly start: number;
  readonly end: number;
}

/** A file read in windows, so that what is in it by the gigabyte is stepped over. */
export class FileBytes {
  private window = new Uint8Array(0);
  private start = 0;

  constructor(
    readonly file: string,
    readonly size: number,
    private readonly handle: FileHandle,
  ) {}

  async read(from: number, to: number): Promise<Uint8Array> {
    const length = to - from;
    if (length > largestField) {
      throw badFile(
        this.file,
        t("holds a field of {0} bytes, {1} is the most", length, largestField),
      );
    }
    if (from >= this.start && to <= this.start + this.window.length) {
      return this.window.slice(from - this.start, to - this.start);
    }
    const bytes = new Uint8Array(Math.max(length, Math.min(windowSize, this.size - from)));
    for (let done = 0; done < bytes.length;) {
      const { bytesRead } = await this.handle.read(bytes, done, bytes.length - done, from + done);
      if (bytesRead === 0) throw new WireError(t("the file has become shorter"));
      done += bytesRead;
    }
    this.window = bytes;
    this.start = from;
    return bytes.slice(0, length);
  }

  /** The fields of the message from `start` to `end`, without their values. */
  async *fields(start: number, end: number): AsyncGenerator<FileField> {
    let at = start;
    while (at < end) {
      const head = await this.read(at, Math.min(at + 20, end));
      const tag = readVarint(head, 0);
      const { id, type } = splitTag(tag.value);
      const from = at;
      at += tag.end;
      let length = type === 1 ? 8 : 4;
      if (type === 0) length = readVarint(head, tag.end).end - tag.end;
      else if (type === 2) {
        const size = readVarint(head, tag.end);
        at += size.end - tag.end;
        length = Number(size.value);
      } else if (type !== 1 && type !== 5) {
        throw new WireError(t("it has a field of the unknown wire type {0}", type));
      }
      if (at + length > end) throw new WireError(t("field {0} ends behind its message", id));
      yield { id, type, from, start: at, end: at + length };
      at += length;
    }
  }
}
