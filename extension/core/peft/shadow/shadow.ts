/**
 * Shadow (PEFT tuners/shadow): a small decoder reads the tokens beside the base. Its last stream,
 * projected to the base's size, is the state s. Around every chosen block
 *
 *     h ← h + alpha · W_up W_down (h − s)
 *     s ← (1 − g) ⊙ s + g ⊙ T(h'),   g = sigmoid(G(h')),   h' what the block gives
 *
 * with T and G of two layers and GELU between. Run time: the decoder is a session of its own with a
 * cache of its own (Companion in effect.ts), run before the base; s and the small networks are
 * inputs of the base's session. It cannot be merged.
 */
import { t } from "@vscode/l10n";
import { realpath } from "node:fs/promises";
import { misfit, unsupported } from "../../base/errors.ts";
import { parseFields } from "../../base/json.ts";
import { transposed } from "../../base/matrix.ts";
import type { AdapterCheckpoint } from "../../checkpoint/adapterCheckpoint.ts";
import type { AdapterConfig } from "../../checkpoint/adapterConfig.ts";
import type { WeightRef } from "../../checkpoint/baseCheckpoint.ts";
import type { ModelConfig } from "../../checkpoint/modelConfig.ts";
import type { TensorEntry } from "../../safetensors/header.ts";
import type { Companion, CompanionBlock, SmallNetwork } from "../effect.ts";
import type { LoadedWeights, Method, MethodBase } from "../method.ts";
import { checkCombinations } from "../tuner/config.ts";
import { valueWarnings, wholeEffects } from "../tuner/growingEffects.ts";
import { shapeMisfit } from "../tuner/shapeMisfit.ts";
import { floats, readEntries, type Values } from "../tuner/tensors.ts";
import { type Binding, bind, countsOf, layersOf, projectionName, summarize } from "./binding.ts";
import { hiddenSize } from "./blocks.ts";
import { mirrorConfig, namedConfig } from "./companionConfig.ts";
import {
  checkShadowConfig,
  type ShadowConfig,
  shadowFields,
  shadowSchema,
} from "./shadowConfig.ts";

export const shadow: Method = {
  peftType: "SHADOW",
  fields: shadowFields,
  schema: shadowSchema,
  check: (config) => void parse(config),
  rank: (config) => parse(config).r,
  summarize: ({ weights, config }) => summarize(weights.tensors, parse(config)),
  bind: (adapter, base) => bind(parse(adapter.config), adapter, base).report,
  load: (adapter, base, signal) => load(parse(adapter.config), { adapter, base, signal }),
};

function parse({ raw, file, taskType }: AdapterConfig): ShadowConfig {
  const config = parseFields(shadowSchema, raw, file);
  checkCombinations(config, file);
  checkShadowConfig(config, file);
  if (taskType === "SEQ_CLS") {
    throw unsupported(
      t("{0}: Graft runs language models, not Shadow adapters that classify", file),
    );
  }
  return config;
}

async function load(
  config: ShadowConfig,
  at: { adapter: AdapterCheckpoint; base: MethodBase; signal: AbortSignal | undefined },
): Promise<LoadedWeights> {
  const { adapter, base, signal } = at;
  const { file } = adapter.weights;
  const bound = bind(config, adapter, base);
  const small = [...bound.blocks.values()].flatMap((own) => [...own.values()]);
  const read = [
    ...small,
    ...(bound.projection ? [bound.projection] : []),
    ...bound.whole.map(({ entry }) => entry),
  ];
  const values = await readEntries(read, file, signal);
  const replaced = new Map(
    bound.whole.map(({ module, parameter, entry }) => [
      `${module.path}.${parameter}`,
      floats(values, entry, file),
    ]),
  );
  const companion = await companionOf(config, bound, { ...at, values });
  const effects = { ...(await wholeEffects(bound.whole, replaced, base)), companion };
  const counts = countsOf(config, bound);
  return {
    effects,
    parameters: counts.trained,
    counts,
    layers: layersOf(config, bound, base),
    warnings: valueWarnings(values, effects),
  };
}

async function companionOf(
  config: ShadowConfig,
  bound: Binding,
  at: { adapter: AdapterCheckpoint; base: MethodBase; values: Values },
): Promise<Companion> {
  const { adapter, base, values } = at;
  const { file } = adapter.config;
  const isMirror = config.shadow_model === "mirror";
  const own = isMirror
    ? mirrorConfig(config, base, file)
    : await namedConfig(config.shadow_model, file);
  const hidden = hiddenSize(base);
  const ownHidden = own.raw["hidden_size"];
  if (ownHidden !== hidden) checkProjection(bound, { hidden, own, adapter });
  const sharesEmbedding = config.share_embeddings && isMirror && ownHidden === hidden;
  const blocks = new Map<string, CompanionBlock>();
  for (const [path, tensors] of bound.blocks) {
    const get = (part: string): Float32Array =>
      floats(values, tensors.get(part) as TensorEntry, adapter.weights.file);
    blocks.set(path, blockOf(config, { get, hidden }));
  }
  return {
    hidden,
    config: own,
    weights: await decoderWeights(bound, adapter),
    sharesEmbedding,
    projection:
      bound.projection && ownHidden !== hidden
        ? floats(values, bound.projection, adapter.weights.file)
        : null,
    blocks,
  };
}

function checkProjection(
  { projection }: Binding,
  { hidden, own, adapter }: { hidden: number; own: ModelConfig; adapter: AdapterCheckpoint },
): void {
  const wanted = [hidden, Number(own.raw["hidden_size"])];
  if (!projection) {
    throw misfit(
      t(
        '{0} has no tensor "{1}", which brings {2} to {3}.',
        adapter.weights.file,
        projectionName,
        String(wanted[1]),
        hidden,
      ),
      { file: adapter.weights.file, tensor: projectionName },
    );
  }
  if (projection.shape.join() === wanted.join()) return;
  throw shapeMisfit(adapter, { name: "shadow_projection", entry: projection, wanted });
}

/** The decoder's tensors under the names that a checkpoint of its family has. */
async function decoderWeights(
  { decoder: own }: Binding,
  { weights }: AdapterCheckpoint,
): Promise<Map<string, WeightRef>> {
  const file = await realpath(weights.file);
  return new Map(
    [...own].map(([name, entry]) => {
      if (entry.strides) {
        throw unsupported(
          t(
            '{0}: "{1}" does not lie row by row, so the decoder cannot be mapped from it',
            file,
            entry.name,
          ),
          t("Save the adapter as safetensors."),
        );
      }
      return [`model.${name}`, { ...entry, name: `model.${name}`, file }] as const;
    }),
  );
}

function blockOf(
  config: ShadowConfig,
  { get, hidden }: { get: (part: string) => Float32Array; hidden: number },
): CompanionBlock {
  const { r: rank, shadow_alpha: alpha } = config;
  const width = config.update_hidden_size ?? rank;
  const turned = (part: string, rows: number, columns: number): Float32Array =>
    Float32Array.from(transposed(get(part), rows, columns));
  const network = (name: string): SmallNetwork => ({
    inner: turned(`shadow_update_${name}.default.0.weight`, width, hidden),
    innerBias: get(`shadow_update_${name}.default.0.bias`),
    outer: turned(`shadow_update_${name}.default.2.weight`, hidden, width),
    outerBias: get(`shadow_update_${name}.default.2.bias`),
  });
  return {
    rank,
    width,
    down: turned("shadow_down.default.weight", rank, hidden),
    up: turned("shadow_up.default.weight", hidden, rank).map((value) => alpha * value),
    candidate: network("transform"),
    gate: network("gate"),
  };
}
