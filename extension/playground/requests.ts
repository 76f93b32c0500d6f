import type { ActiveAdapter } from "../protocol/engineContract.ts";
import type { Sampling } from "../protocol/generationContract.ts";
import type { GenerateColumnsParams } from "../protocol/generationContract.ts";
import type {
  AvailableAdapter,
  ColumnAdapter,
  PlaygroundSettings,
  PlaygroundState,
  Preset,
  RunParams,
  SavedConversation,
} from "../protocol/playgroundContract.ts";
import { adapterStatus, hostState, type State } from "../state.ts";
import { columnTitle } from "./columnTitle.ts";
import type { Script } from "./script.ts";

/** So many of the likeliest tokens are shown at each place. */
const alternatives = 5;

/** What the page is told of models and presets. */
export function playgroundState(state: State, presets: Preset[]): PlaygroundState {
  const available = state.adapters
    .filter((adapter) => adapterStatus(state, adapter).kind === "fits")
    .map(({ path, name, method }): AvailableAdapter => ({ path, name, method }));
  return { host: hostState(state), available, presets };
}

/** A run of the page as the engine is asked for it. */
export function columnsRequest({
  run,
  columns,
  settings,
}: RunParams): Omit<GenerateColumnsParams, "base"> {
  return {
    run,
    columns: columns.map(({ id, adapters, messages }) => ({
      id,
      adapters: adapters.map(engineAdapter),
      prompt: { kind: "chat", messages, orText: true },
    })),
    sampling: samplingOf(settings),
    topAlternatives: alternatives,
  };
}

/** The engine knows adapters by name; where they came from is the page's own. */
export function engineAdapter({ name, weight, task }: ColumnAdapter): ActiveAdapter {
  return { name, weight, ...(task !== undefined && { task }) };
}

function samplingOf({ sampling, stop, json }: PlaygroundSettings): Sampling {
  // A stop text could cut a JSON value in two: the page says that it takes none then.
  if (!json.isOn) return { ...sampling, ...(stop.length > 0 && { stop }) };
  const hasSchema = json.schema.trim() !== "";
  // The page has checked that a schema is a JSON object.
  const jsonSchema = hasSchema ? (JSON.parse(json.schema) as Record<string, unknown>) : true;
  return { ...sampling, jsonSchema };
}

/** One column up to its last prompt, as it can be repeated elsewhere. */
export function scriptOf(state: State, conversation: SavedConversation, id: string): Script {
  const { columns, exchanges, settings } = conversation;
  const column = columns.find((each) => each.id === id) ?? columns[0] ?? { id, adapters: [] };
  const last = exchanges.at(-1);
  const before = exchanges.slice(0, -1).flatMap(({ prompt, answers }) => {
    const answer = answers[column.id];
    if (!answer || answer.state === "failed") return [];
    return [
      { role: "user" as const, content: prompt },
      { role: "assistant" as const, content: answer.text },
    ];
  });
  const system = settings.system.trim();
  const name = state.base?.name ?? "";
  return {
    title: column.adapters.length === 0 ? name : `${name} + ${columnTitle(column)}`,
    base: {
      name,
      path: state.base?.path ?? "",
      hasChatTemplate: state.base?.hasChatTemplate !== false,
    },
    adapters: column.adapters.map((adapter) => {
      const known = state.loaded.find((each) => each.name === adapter.name);
      const path = known?.path ?? adapter.path ?? adapter.name;
      return { ...adapter, path, method: known?.method ?? "" };
    }),
    settings,
    messages: [
      ...(system === "" ? [] : [{ role: "system" as const, content: settings.system }]),
      ...before,
      ...(last ? [{ role: "user" as const, content: last.prompt }] : []),
    ],
  };
}
