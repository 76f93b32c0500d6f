import { element } from "../shared/element.ts";
import { icon } from "../shared/icon.ts";

/** What went wrong, where it would have been shown. */
export function notice(
  kind: "error" | "warning",
  title: string | null,
  ...details: readonly string[]
): HTMLElement {
  return element(
    "div",
    { class: `notice ${kind}`, attributes: { role: kind === "error" ? "alert" : "status" } },
    icon(kind),
    element(
      "div",
      { class: "notice-text" },
      title !== null && element("span", { class: "notice-title" }, title),
      ...details.map((detail) => element("p", {}, detail)),
    ),
  );
}

export function problemNotice(thrown: unknown): HTMLElement {
  return notice("error", null, thrown instanceof Error ? thrown.message : String(thrown));
}
