import { element } from "./element.ts";
import { type ComputingState, type Progress } from "./computing.ts";
import { bytes, exactCount, percent } from "./format.ts";

/** One line on what is being computed, with a way to stop it; empty when nothing is. */
export function progressLine(options: {
  id: string;
  state: ComputingState;
  title: string;
  texts: { cancel: string; cancelled: string; failed: string; again: string };
  cancel(): void;
  again(): void;
}): HTMLElement {
  const { id, state, title, texts } = options;
  const line = element("div", {
    class: `progress-line ${state.kind}`,
    attributes: { id, role: "status", "aria-live": "polite" },
  });
  const button = (name: string, label: string, click: () => void): HTMLElement =>
    element(
      "button",
      { class: "link-button", attributes: { type: "button", id: `${id}-${name}` }, on: { click } },
      label,
    );
  switch (state.kind) {
    case "none":
      return line;
    case "running":
      line.append(
        element("vscode-progress-ring", { attributes: { "aria-hidden": true } }),
        // The bar tells how far; read out anew with every step it would drown the page.
        element("span", {}, title),
        ...bar(state.progress),
        button("cancel", texts.cancel, options.cancel),
      );
      return line;
    case "cancelled":
      line.append(texts.cancelled, button("again", texts.again, options.again));
      return line;
    case "failed":
      line.append(`${texts.failed}: ${state.message}`, button("again", texts.again, options.again));
      return line;
  }
}

function bar(progress: Progress | null): HTMLElement[] {
  if (!progress) return [];
  const { step, done, total, unit } = progress;
  const amount = unit === "bytes" ? bytes : exactCount;
  const share = done !== undefined && total ? done / total : null;
  const shown = share === null ? step : `${step} ${amount(done ?? 0)} / ${amount(total ?? 0)}`;
  const made = [element("span", { class: "muted", attributes: { "aria-hidden": true } }, shown)];
  if (share === null) return made;
  const track = element("span", {
    class: "progress-track",
    attributes: {
      role: "progressbar",
      "aria-label": step,
      "aria-valuemin": 0,
      "aria-valuemax": 100,
      "aria-valuenow": Math.round(share * 100),
      "aria-valuetext": percent(share),
    },
    variables: { share: `${Math.round(share * 100)}%` },
  });
  return [track, ...made];
}
