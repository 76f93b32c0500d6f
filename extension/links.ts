import * as path from "node:path";
import { t } from "@vscode/l10n";

/** What a `vscode://graft.graft/…` link asks for. Links come from anywhere: whatever is odd is refused. */
export type Link =
  | { kind: "path"; path: string }
  | { kind: "hub"; id: string; revision?: string }
  | { kind: "refused"; reason: string };

/** Longer than any real path or id. */
const longest = 2000;

const known = new Set(["path", "id", "revision"]);

/**
 * Reads a link's path and query, percent-decoded once (docs/links.md).
 * @param platform whose paths are meant
 */
export function readLink(
  { path: place, query }: { path: string; query: string },
  platform: NodeJS.Platform = process.platform,
): Link {
  if (query.length > longest) return refuse(t("it is longer than any path or id"));
  if (place.replace(/\/$/, "") !== "/adapter") {
    return refuse(t("it begins with {0}, Graft knows /adapter alone", short(place)));
  }
  const fields = new URLSearchParams(query);
  for (const name of fields.keys()) {
    if (!known.has(name))
      return refuse(t("it asks for {0}, which Graft does not know", short(name)));
    if (fields.getAll(name).length > 1) return refuse(t("it says {0} twice", name));
  }
  const [own, id] = [fields.get("path"), fields.get("id")];
  if ((own === null) === (id === null)) return refuse(t("it has to say either path or id"));
  return own !== null ? readPath(own, platform) : readId(id ?? "", fields.get("revision"));
}

/** The parts of a link as text, for the command that takes one; undefined for what is no link. */
export function splitLink(text: string): { path: string; query: string } | undefined {
  const match = /^[\w-]+:\/\/graft\.graft(\/[^?#]*)(?:\?([^#]*))?(?:#.*)?$/i.exec(text.trim());
  return match ? { path: match[1] ?? "", query: match[2] ?? "" } : undefined;
}

function readPath(own: string, platform: NodeJS.Platform): Link {
  const { isAbsolute, normalize } = platform === "win32" ? path.win32 : path.posix;
  if (hasControls(own)) return refuse(t("its path has control characters"));
  if (!isAbsolute(own)) return refuse(t("its path is not absolute"));
  // Opening one would tell another machine who is here.
  if (/^[\\/]{2}/.test(own)) return refuse(t("its path leads to another machine"));
  const folder = normalize(own).replace(/[\\/]adapter_(config|model)\.[a-z]+$/, "");
  return { kind: "path", path: folder };
}

function readId(id: string, revision: string | null): Link {
  const isId = /^[\w.-]{1,96}\/[\w.-]{1,96}$/.test(id) && !id.includes("..") && !/^[.-]/.test(id);
  if (!isId) return refuse(t("its id is not owner/name"));
  if (revision === null) return { kind: "hub", id };
  const isRevision = /^[\w.-]+(\/[\w.-]+)*$/.test(revision) && !revision.includes("..");
  if (!isRevision || revision.length > 100) return refuse(t("its revision is no branch or commit"));
  return { kind: "hub", id, revision };
}

function refuse(reason: string): Link {
  return { kind: "refused", reason };
}

const controls = /[\u0000-\u001f\u007f]/;

function hasControls(text: string): boolean {
  return controls.test(text);
}

/** A piece of somebody's text that can stand in a message. */
function short(text: string): string {
  const plain = text.replace(/[^\x20-\x7e]/g, "?");
  return `"${plain.length > 40 ? `${plain.slice(0, 39)}…` : plain}"`;
}
