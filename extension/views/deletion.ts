import { t } from "@vscode/l10n";
import type { Source } from "../protocol/engineContract.ts";

/** What is deleted with an adapter. Plain data and rules; the command asks and deletes. */

export interface FolderEntry {
  name: string;
  isFolder: boolean;
  bytes: number;
}

export type Deletion =
  /** The folder holds nothing but the adapter. */
  | { kind: "folder"; bytes: number; names: string[] }
  /** Only the adapter's files go, in this order; the rest of the folder stays. */
  | { kind: "files"; bytes: number; names: string[]; kept: string[] }
  | { kind: "refused"; reason: string };

/** The adapter itself. */
const adapterFile = /^adapter_(config\.json|model([.-].*)?)$/;

/** What PEFT, trainers and the Hub put beside it. */
const companion =
  /^(README\.md|tokenizer.*|special_tokens_map\.json|added_tokens\.json|chat_template.*|vocab\.json|merges\.txt|training_args\.bin|\.gitattributes|\.DS_Store)$/;

/** A folder of the Hugging Face cache: models--org--name/snapshots/revision. */
const cacheFolder = /[/\\]models--[^/\\]+[/\\]snapshots[/\\]/;

/**
 * Decides what goes: the folder where it is the adapter's alone, else only the adapter's files, so
 * that sub-adapters, checkpoints and models beside it stay.
 * @param isRoot whether the folder is opened in the editor itself, which keeps it
 */
export function planDeletion(
  path: string,
  entries: readonly FolderEntry[],
  { source, isRoot }: { source: Source; isRoot: boolean },
): Deletion {
  if (source === "sample") {
    return { kind: "refused", reason: t("It is part of the sample that comes with Graft.") };
  }
  if (source === "cache" || cacheFolder.test(path)) {
    const reason = t(
      "It is in the Hugging Face cache, which other programs use as well. Delete it there, with `hf cache rm` or by hand.",
    );
    return { kind: "refused", reason };
  }
  const own = entries.filter(({ name, isFolder }) => !isFolder && adapterFile.test(name));
  if (own.length === 0) return { kind: "refused", reason: t("Its files are gone already.") };
  const others = entries.filter(
    ({ name, isFolder }) => isFolder || !(adapterFile.test(name) || companion.test(name)),
  );
  const sum = (files: readonly FolderEntry[]): number =>
    files.reduce((total, { bytes }) => total + bytes, 0);
  if (others.length === 0 && !isRoot) {
    return { kind: "folder", bytes: sum(entries), names: entries.map(({ name }) => name) };
  }
  // The weights first: what is left of a deletion that fails still shows as an adapter.
  const names = own.map(({ name }) => name).sort((a, b) => b.localeCompare(a));
  const kept = entries.map(({ name }) => name).filter((name) => !names.includes(name));
  return { kind: "files", bytes: sum(own), names, kept };
}
