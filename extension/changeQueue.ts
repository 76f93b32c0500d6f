import * as path from "node:path";

/** How long it must be quiet before changes are looked at, and how long they wait at most. */
const [quietMs, longestMs] = [500, 3000];

/** More than these at once are a checkout or a build: everything is looked at once instead. */
const mostAtOnce = 200;

export interface FoundChanges {
  /** Folders whose own files have changed. */
  readonly folders: readonly string[];
  /** What may be a folder that came whole, with adapters below it. */
  readonly trees: readonly string[];
  /** So much changed, or in such a place, that everything is looked at anew. */
  readonly isAll: boolean;
}

/**
 * Gathers changes on disk until it is quiet, and hands them over once: never two looks at a time, never
 * one for every file of a download.
 */
export class ChangeQueue {
  private folders = new Set<string>();
  private trees = new Set<string>();
  private isAll = false;
  private timer: NodeJS.Timeout | undefined;
  private first = 0;
  private isRunning = false;
  private isDisposed = false;

  /** @param look must not throw */
  constructor(private readonly look: (changes: FoundChanges) => Promise<void>) {}

  /** A file of a model came, changed or went. */
  file(file: string): void {
    if (isIgnored(file)) return;
    const folder = path.dirname(file);
    this.folders.add(path.basename(folder) === "onnx" ? path.dirname(folder) : folder);
    this.soon();
  }

  /** Something came that may be a folder. */
  tree(folder: string): void {
    if (isIgnored(folder) || !looksLikeFolder(folder)) return;
    this.trees.add(folder);
    this.soon();
  }

  /** A known folder, or one above it, went. */
  folder(folder: string): void {
    this.folders.add(folder);
    this.soon();
  }

  all(): void {
    this.isAll = true;
    this.soon();
  }

  dispose(): void {
    this.isDisposed = true;
    clearTimeout(this.timer);
  }

  private soon(): void {
    const now = Date.now();
    if (this.timer === undefined) this.first = now;
    clearTimeout(this.timer);
    const wait = Math.max(0, Math.min(quietMs, this.first + longestMs - now));
    this.timer = setTimeout(() => void this.flush(), wait);
  }

  private async flush(): Promise<void> {
    this.timer = undefined;
    // What comes during a look is gathered for the next.
    if (this.isRunning || this.isDisposed) return;
    const { folders, trees } = this;
    const isAll = this.isAll || folders.size + trees.size > mostAtOnce;
    this.folders = new Set();
    this.trees = new Set();
    this.isAll = false;
    this.isRunning = true;
    await this.look({ folders: [...folders], trees: [...trees], isAll });
    this.isRunning = false;
    if (this.folders.size + this.trees.size > 0 || this.isAll) this.soon();
  }
}

/** What nobody keeps models in, and Graft's own scratch folders. */
function isIgnored(file: string): boolean {
  return /[/\\](node_modules|\.git|\.graft-[^/\\]*)([/\\]|$)/.test(file);
}

/** A name without an ending, or with what is a version's ("run-1.5"): files have another mostly. */
function looksLikeFolder(name: string): boolean {
  const ending = path.extname(name);
  return ending === "" || /^\.\d+$/.test(ending);
}

/** Those of the known folders that a deleted path held: itself, or what lay below it. */
export function heldBy(deleted: string, known: Iterable<string>): string[] {
  const below = deleted.endsWith(path.sep) ? deleted : deleted + path.sep;
  return [...known].filter((folder) => folder === deleted || folder.startsWith(below));
}
