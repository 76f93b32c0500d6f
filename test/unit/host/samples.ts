import type {
  AdapterInfo,
  AdapterSummary,
  BaseModelInfo,
} from "../../../extension/protocol/engineContract.ts";

/** Plain values for tests of the host. */
export const base: BaseModelInfo = {
  path: "/models/graft-sample",
  name: "graft-sample",
  modelType: "llama",
  architecture: "LlamaForCausalLM",
  parameters: 1_271_200,
  dtype: "fp32",
  bytes: 5_089_000,
  source: "sample",
  loadSeconds: 0.2,
  contextLength: 256,
  layers: 4,
  device: "CPU",
  deviceNote: "",
  precision: "as stored",
  lost: null,
  memory: { estimate: 90_000_000, free: 8_000_000_000 },
  hasChatTemplate: true,
  task: "language-modeling",
  warnings: [],
};

export function adapter(name: string, change: Partial<AdapterSummary> = {}): AdapterSummary {
  return {
    path: `/adapters/${name}`,
    name,
    peftType: "LORA",
    method: "LoRA",
    rank: 8,
    parameters: 71_680,
    bytes: 287_104,
    baseName: "sample/base",
    basePath: base.path,
    source: "workspace",
    modified: 0,
    ...change,
  };
}

export function loaded(name: string): AdapterInfo {
  const { path, peftType, method, rank, parameters } = adapter(name);
  const proof = { bound: 28, total: 28, attachSeconds: 0.003, warnings: [] };
  return {
    name,
    path,
    peftType,
    method,
    rank,
    tasks: null,
    dtypes: ["fp32"],
    parameters,
    ...proof,
  };
}
