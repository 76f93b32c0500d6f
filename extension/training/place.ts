import * as path from "node:path";

/** Where runs are kept: the setting (a path in the workspace, or whole), else the usual folder. */
export function runsFolder(
  setting: string,
  { workspace, home }: { workspace: string | undefined; home: string },
): string {
  const chosen = setting.trim();
  if (chosen === "") return path.join(workspace ?? home, "graft-runs");
  const own = chosen === "~" || /^~[/\\]/.test(chosen) ? home + chosen.slice(1) : chosen;
  return path.resolve(workspace ?? home, own);
}
