import { stringify } from "yaml";
import type { Script } from "./script.ts";

/** A `*.prompt.yml` in GitHub Models' format that asks the same of the same adapters. */
export function promptFileOf({ title, base, adapters, settings, messages }: Script): string {
  const { sampling, stop, json } = settings;
  const schema = json.isOn && json.schema.trim() !== "" ? json.schema.trim() : undefined;
  const file = {
    name: title,
    model: base.name,
    modelParameters: {
      maxTokens: sampling.maxNewTokens,
      temperature: sampling.temperature,
      topP: sampling.topP,
      ...(sampling.topK !== 0 && { topK: sampling.topK }),
      ...(sampling.repetitionPenalty !== 1 && { repetitionPenalty: sampling.repetitionPenalty }),
      ...(sampling.seed !== null && { seed: sampling.seed }),
      // JSON ends by itself, and a stop text could cut it in two.
      ...(!json.isOn && stop.length > 0 && { stop }),
    },
    ...(json.isOn && { responseFormat: schema === undefined ? "json_object" : "json_schema" }),
    ...(schema !== undefined && { jsonSchema: schema }),
    messages: messages.map(({ role, content }) => ({ role, content })),
    ...(adapters.length > 0 && { graft: { adapters: [columnOf(adapters)] } }),
  };
  return stringify(file, { lineWidth: 0, blockQuote: "literal" });
}

/** One adapter by itself, several that answer together as a list. */
function columnOf(adapters: Script["adapters"]): unknown {
  const items = adapters.map(({ name, weight }) =>
    weight === 1 ? name : { adapter: name, weight },
  );
  return items.length === 1 ? items[0] : items;
}
