import "./status.css";
import type {
  StatusContract,
  StatusHostContract,
  StatusState,
} from "../../extension/protocol/webviewContract.ts";
import { element } from "../shared/element.ts";
import { keepFocus } from "../shared/focus.ts";
import { connectToHost, loadState, saveState } from "../shared/host.ts";
import { registerToolkit } from "../shared/toolkit.ts";
import { adaptersSection, headerView, layersSection, modelSection, type Ui } from "./sections.ts";

registerToolkit();

const saved = (loadState() ?? {}) as { onlyDifferences?: unknown };
const ui: Ui = { onlyDifferences: saved.onlyDifferences === true, filter: "" };
const main = element("main");
document.body.replaceChildren(main);

const host = connectToHost<StatusContract, StatusHostContract>({
  update: (next) => {
    show(next);
    return null;
  },
});

const actions = {
  openInspector: (path: string) =>
    void host.request("openInspector", { path }).catch(() => undefined),
  loadAdapter: () => void host.request("loadAdapter", null).catch(() => undefined),
};

let shown = "";

function show(state: StatusState): void {
  // Answers and progress change the host's state as well; what is read here stays as it is then.
  const key = JSON.stringify(state);
  if (key === shown) return;
  shown = key;
  render(state);
}

function render(state: StatusState): void {
  const change = (next: Partial<Ui>): void => {
    Object.assign(ui, next);
    saveState({ onlyDifferences: ui.onlyDifferences });
    render(state);
  };
  const { status } = state;
  keepFocus(() => {
    main.replaceChildren(
      headerView(state, actions),
      ...(status && state.adapters.length > 0
        ? [
            adaptersSection(state, { ui, change, openInspector: actions.openInspector }),
            modelSection(status),
            layersSection(status.layers, ui),
          ]
        : []),
    );
  });
}

const nothing = { engine: "failed", base: null, adapters: [], active: [] } as const;
void host.request("ready", null).then(show, (thrown: Error) => {
  const state = { host: { ...nothing, adapters: [], active: [] }, adapters: [], status: null };
  show({ ...state, problem: thrown.message });
});
