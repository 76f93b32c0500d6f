import "./playground.css";
import { asGraftError } from "../../extension/core/base/errors.ts";
import type {
  HostState,
  PlaygroundContract,
  PlaygroundHostContract,
} from "../../extension/protocol/webviewContract.ts";
import { element } from "../shared/element.ts";
import { keepFocus } from "../shared/focus.ts";
import { scale } from "../shared/format.ts";
import { connectToHost, loadState, saveState } from "../shared/host.ts";
import { registerToolkit } from "../shared/toolkit.ts";
import { type Change, changed, messagesOf, restore, type Turn } from "./conversation.ts";
import { defaultSampling } from "./settings.ts";
import { text } from "./strings.ts";
import { button, samplingFields, whoAnswers } from "./toolbar.ts";
import { type TurnView, turnView } from "./transcript.ts";

registerToolkit();

let conversation = restore(loadState());
let hostState: HostState = { engine: "stopped", base: null, adapters: [], active: [] };
let stopping: AbortController | null = null;
let undo: readonly Turn[] | null = null;
let views: TurnView[] = [];

const who = element("div", { class: "who" });
const options = element("div", { class: "options" });
const transcript = element("div", {
  class: "transcript",
  attributes: {
    id: "transcript",
    role: "log",
    "aria-label": text.transcript,
    "aria-live": "off",
    tabindex: 0,
  },
});
const announcer = element("div", { class: "announcer", attributes: { "aria-live": "polite" } });
const hint = element("div", { class: "hint muted" });
const prompt = element("vscode-text-area", {
  class: "prompt",
  attributes: {
    id: "prompt",
    placeholder: text.placeholder,
    rows: 3,
    resize: "vertical",
    "aria-label": text.prompt,
  },
});
const send = element(
  "vscode-button",
  { attributes: { id: "send" }, on: { click: () => void ask() } },
  text.send,
);
const stop = element(
  "vscode-button",
  { attributes: { id: "stop", appearance: "secondary" }, on: { click: () => stopping?.abort() } },
  text.stop,
);
const composer = element(
  "div",
  { class: "composer" },
  prompt,
  element("div", { class: "composer-buttons" }, stop, send),
);
document.body.replaceChildren(
  element(
    "main",
    { class: "playground" },
    element("header", {}, who, options),
    transcript,
    hint,
    composer,
    announcer,
  ),
);

const host = connectToHost<PlaygroundContract, PlaygroundHostContract>({
  update: (state) => {
    follow(state);
    return null;
  },
  focusPrompt: ({ text: draft, adapter }) => {
    if (draft !== null) change({ kind: "set", fields: { draft } });
    if (adapter !== null)
      change({ kind: "set", fields: { adapters: [{ name: adapter, weight: 1 }] } });
    prompt.value = conversation.draft;
    renderBar();
    prompt.focus();
    return null;
  },
});

/** Takes over what the host says; adapters that it activates are chosen here too. */
function follow(state: HostState): void {
  const isNews = JSON.stringify(state.active) !== JSON.stringify(hostState.active);
  const names = new Set(state.adapters.map(({ name }) => name));
  const kept = conversation.adapters.filter(({ name }) => names.has(name));
  hostState = state;
  change({ kind: "set", fields: { adapters: isNews ? state.active : kept } });
  renderBar();
}

function change(next: Change): void {
  conversation = changed(conversation, next);
  const { adapters: _, ...kept } = conversation;
  saveState(kept);
  renderTranscript();
}

function renderBar(): void {
  keepFocus(() => {
    who.replaceChildren(
      ...whoAnswers(hostState, conversation.adapters, {
        loadBase: () => void act("loadBase"),
        loadAdapter: () => void act("loadAdapter"),
        setAdapters: (adapters) => {
          change({ kind: "set", fields: { adapters } });
          renderBar();
        },
      }),
    );
    options.replaceChildren(...optionRows());
  });
  renderButtons();
}

function optionRows(): HTMLElement[] {
  const { isSettingsOpen, isSystemOpen, sampling, system } = conversation;
  const toggle = (fields: { isSettingsOpen?: boolean; isSystemOpen?: boolean }): void => {
    change({ kind: "set", fields });
    renderBar();
  };
  const openers = element(
    "div",
    { class: "bar-row" },
    opener("open-sampling", text.settings, {
      isOpen: isSettingsOpen,
      toggle: () => toggle({ isSettingsOpen: !isSettingsOpen }),
    }),
    opener("open-system", text.system, {
      isOpen: isSystemOpen,
      toggle: () => toggle({ isSystemOpen: !isSystemOpen }),
    }),
    conversation.turns.length > 0 && stopping === null && button("clear", text.clear, clear),
  );
  const rows: HTMLElement[] = [openers];
  if (isSettingsOpen) {
    rows.push(
      samplingFields(sampling, {
        set: (next) => change({ kind: "set", fields: { sampling: next } }),
        reset: () => {
          change({ kind: "set", fields: { sampling: defaultSampling } });
          renderBar();
        },
      }),
    );
  }
  if (isSystemOpen) {
    const area = element("textarea", {
      class: "system",
      attributes: {
        id: "system",
        rows: 2,
        "aria-label": text.system,
        placeholder: text.systemHint,
      },
      on: { input: () => change({ kind: "set", fields: { system: area.value } }) },
    });
    area.value = system;
    rows.push(area);
  }
  return rows;
}

function opener(
  id: string,
  label: string,
  at: { isOpen: boolean; toggle: () => void },
): HTMLElement {
  const made = button(id, `${at.isOpen ? "▾" : "▸"} ${label}`, at.toggle);
  made.setAttribute("aria-expanded", String(at.isOpen));
  return made;
}

function renderTranscript(): void {
  const { turns } = conversation;
  const isAtEnd = transcript.scrollHeight - transcript.scrollTop - transcript.clientHeight < 24;
  if (views.length > turns.length || turns.length === 0) {
    views = [];
    transcript.replaceChildren();
  }
  turns.forEach((turn, i) => {
    const known = views[i];
    const view =
      known ??
      turnView(turn, {
        regenerate: () => void regenerate(),
        copy: (content) => void copy(content),
      });
    if (!known) {
      views.push(view);
      transcript.append(view.root);
    }
    view.update(turn, i === turns.length - 1);
  });
  if (turns.length === 0) {
    const words = hostState.base ? text.empty : text.emptyNoBase;
    transcript.replaceChildren(element("p", { class: "empty muted" }, words));
  }
  if (isAtEnd) transcript.scrollTop = transcript.scrollHeight;
}

function renderButtons(): void {
  stop.hidden = stopping === null;
  send.disabled = stopping !== null || hostState.base === null;
  hint.replaceChildren(
    ...(undo === null ? [] : [text.cleared, " ", button("undo", text.undo, restoreCleared)]),
  );
}

/** "graft-sample + pirate ×1.0": who answers now. */
function label(): string {
  const names = conversation.adapters.map(({ name, weight }) => `${name} ×${scale(weight)}`);
  return [hostState.base?.name ?? "", ...names].join(" + ");
}

async function ask(): Promise<void> {
  const words = prompt.value.trim();
  if (words === "" || stopping !== null) return;
  if (hostState.base === null) {
    await act("loadBase");
    return;
  }
  views = [];
  transcript.replaceChildren();
  prompt.value = "";
  change({ kind: "ask", prompt: words, label: label() });
  transcript.scrollTop = transcript.scrollHeight;
  await answer();
}

async function regenerate(): Promise<void> {
  if (stopping !== null || conversation.turns.at(-1)?.kind !== "assistant") return;
  change({ kind: "again", label: label() });
  await answer();
}

async function answer(): Promise<void> {
  const running = new AbortController();
  stopping = running;
  undo = null;
  renderBar();
  const { sampling, adapters } = conversation;
  const turn = { messages: messagesOf(conversation), adapters: [...adapters], sampling };
  try {
    const result = await host.request("generate", turn, {
      onEvent: (event) => change({ kind: "stream", event }),
      signal: running.signal,
    });
    change({ kind: "finish", result });
    announcer.textContent = result.text;
  } catch (thrown) {
    const problem = asGraftError(thrown).message;
    change({ kind: "fail", problem });
    const asked = conversation.turns.findLast((each) => each.kind === "user");
    if (asked && prompt.value === "") prompt.value = asked.text;
  } finally {
    stopping = null;
    renderBar();
  }
}

async function act(action: "loadBase" | "loadAdapter"): Promise<void> {
  await host.request(action, null).catch(() => undefined);
}

async function copy(content: string): Promise<void> {
  await host.request("copy", { text: content }).catch(() => undefined);
}

function clear(): void {
  undo = conversation.turns;
  change({ kind: "turns", turns: [] });
  renderBar();
}

function restoreCleared(): void {
  const turns = undo ?? [];
  undo = null;
  change({ kind: "turns", turns });
  renderBar();
  prompt.focus();
}

prompt.addEventListener("input", () => change({ kind: "set", fields: { draft: prompt.value } }));
prompt.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    void ask();
  } else if (event.key === "ArrowUp" && prompt.value === "") {
    const last = conversation.turns.findLast((turn) => turn.kind === "user");
    if (last) prompt.value = last.text;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") stopping?.abort();
});

prompt.value = conversation.draft;
renderTranscript();
renderBar();
void host.request("ready", null).then(follow, () => undefined);
prompt.focus();
