import type { Script } from "./script.ts";

/** TypeScript that does the same with Graft's core, whose names are PEFT's. */
export function typescriptOf(script: Script): string {
  const { title, base, adapters, messages } = script;
  const loads = adapters.map(
    ({ name, path }) =>
      `await model.loadAdapter(${literal(path)}, { adapterName: ${literal(name)} });`,
  );
  const active = adapters.map(({ name, weight, task }) => ({
    name,
    weight,
    ...(task !== undefined && { task }),
  }));
  return [
    `// ${title.replaceAll("\n", " ")}`,
    "// In a checkout of Graft: node --import tsx <this file>",
    'import { loadBaseModel } from "./extension/core/baseModel.ts";',
    'import { PeftModel } from "./extension/core/peftModel.ts";',
    "",
    `const model = new PeftModel(await loadBaseModel(${literal(base.path)}));`,
    ...loads,
    "",
    "const answer = await model.answer(",
    `  { kind: "chat", messages: ${indented(messages)}${base.hasChatTemplate ? "" : ", orText: true"} },`,
    `  ${indented(optionsOf(script, active))},`,
    ");",
    "console.log(answer.text);",
    "await model.dispose();",
    "",
  ].join("\n");
}

function optionsOf({ settings }: Script, adapters: object[]): object {
  const { sampling, stop, json } = settings;
  const { maxNewTokens, ...rest } = sampling;
  const hasSchema = json.isOn && json.schema.trim() !== "";
  const schema: unknown = hasSchema ? JSON.parse(json.schema) : true;
  return {
    adapters,
    maxNewTokens,
    sampling: {
      ...rest,
      ...(json.isOn ? { jsonSchema: schema } : stop.length > 0 && { stop }),
    },
  };
}

function literal(text: string): string {
  return JSON.stringify(text);
}

function indented(value: unknown): string {
  return JSON.stringify(value, null, 2).replaceAll("\n", "\n  ");
}
