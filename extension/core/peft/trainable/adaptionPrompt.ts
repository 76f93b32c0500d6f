/**
 * Adaption prompt (PEFT tuners/adaption_prompt/layer.py): in the last layers queries also attend to trained
 * tokens, with a softmax of their own, times a gate that begins at 0.
 */
import type { Value } from "../../onnx/graph.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import {
  type AttentionValues,
  bareLayers,
  type GroupLayers,
  type LayerHook,
  type LayerParts,
  type LinearGroup,
  oneByOne,
  type Outputs,
} from "../../onnx/layerHook.ts";
import { parseFields } from "../../base/json.ts";
import { t } from "@vscode/l10n";
import { unsupported } from "../../base/errors.ts";
import type { AdapterConfig } from "../../checkpoint/adapterConfig.ts";
import type { MethodBase } from "../method.ts";
import {
  type AdaptionConfig,
  adaptionPrompt as method,
  adaptedBlocks,
  projection,
  storedName,
} from "../prompt/adaptionPrompt.ts";
import { withFields } from "./completedConfig.ts";
import { normal, zeros } from "./draws.ts";
import { ParameterInputs } from "./parameters.ts";
import type { Parameter, TrainableMethod } from "./trainable.ts";

interface Adapted {
  readonly blocks: readonly string[];
  readonly count: number;
  /** Width of a token. */
  readonly hidden: number;
}

function adaptedOf(config: AdapterConfig, base: MethodBase): Adapted {
  method.check(config);
  const fields = parseFields(method.schema, config.raw, config.file) as AdaptionConfig;
  const blocks = adaptedBlocks({ config: fields, file: config.file, base });
  const hidden = projection(base, `${blocks[0]}.k_proj`).in;
  return { blocks, count: fields.adapter_len, hidden };
}

export const adaptionPrompt: TrainableMethod = {
  peftType: method.peftType,
  prepare: (config, base) => {
    const adapted = adaptedOf(config, base);
    const { count, hidden } = adapted;
    const frame = { isTrained: true, isStored: true, kind: "other" } as const;
    const parameters = adapted.blocks.flatMap((path): Parameter[] => [
      { name: storedName(path, "prompt"), shape: [1, count, hidden], ...frame },
      { name: storedName(path, "gate"), shape: [1], ...frame },
    ]);
    const isNamed = (config.raw["target_modules"] ?? null) !== null;
    return {
      config: isNamed ? config : withFields(config, { target_modules: "self_attn" }),
      parameters,
      layers: null,
      hook: hookOf(adapted, new ParameterInputs(parameters)),
      dropoutSeed: null,
    };
  },
  initialize: ({ config }, base, { random }) => {
    const { blocks, count, hidden } = adaptedOf(config, base);
    return Promise.resolve(
      new Map(
        blocks.flatMap((path) => [
          [storedName(path, "prompt"), normal(random, [1, count, hidden])] as const,
          [storedName(path, "gate"), zeros([1])] as const,
        ]),
      ),
    );
  },
};

function hookOf({ blocks, count }: Adapted, inputs: ParameterInputs): LayerHook {
  /** Layers of the projections that attention itself does not see, by the graph that is built. */
  const known = new WeakMap<GraphBuilder, Map<string, { parts: LayerParts; index: number }>>();
  return {
    ...bareLayers,
    linears: (g, group, layers) => {
      const own = known.get(g) ?? new Map<string, { parts: LayerParts; index: number }>();
      known.set(g, own);
      for (const [index, { path }] of group.modules.entries()) {
        if (layers.parts) own.set(path, { parts: layers.parts, index });
      }
      return withSecondBias(g, { group, layers, blocks });
    },
    attention: (g, path, values) => {
      if (!blocks.includes(path)) return values.mixed;
      const prompt = inputs.in(g, storedName(path, "prompt"));
      const heads = (name: string): Value => {
        const found = known.get(g)?.get(`${path}.${name}`);
        if (!found)
          throw unsupported(t("Adaption prompts need {0}, which this base has not", name));
        const rows = found.parts.layer(found.index, prompt);
        const { keyValueHeads, headDim } = values;
        return g.transpose(g.reshape(rows, [1, count, keyValueHeads, headDim]), [0, 2, 1, 3]);
      };
      const gate = inputs.in(g, storedName(path, "gate"));
      const own = attended(g, values, { keys: heads("k_proj"), values: heads("v_proj") });
      return g.add(values.mixed, g.mul(own, gate));
    },
  };
}

/** softmax(q kᵀ · scale) v; keys [1, kv heads, count, dim] for every row of the batch. */
function attended(
  g: GraphBuilder,
  { query, scale }: AttentionValues,
  at: { keys: Value; values: Value },
): Value {
  const scores = g.scale(g.matMul(query, g.transpose(at.keys, [0, 1, 3, 2])), scale);
  return g.matMul(g.softmax(scores), at.values);
}

/** PEFT sends what the tokens gave through the output layer by itself, whose bias is then added twice. */
function withSecondBias(
  g: GraphBuilder,
  at: { group: LinearGroup; layers: GroupLayers; blocks: readonly string[] },
): Outputs {
  const { group, layers, blocks } = at;
  const outputs = layers.base(layers.x);
  const isOutput = group.modules.some(({ path }) =>
    blocks.some((block) => path === `${block}.o_proj`),
  );
  if (!isOutput) return outputs;
  return oneByOne(g, group, outputs).map((output, index) => {
    const bias = layers.parts?.bias(index) ?? null;
    return bias === null ? output : g.add(output, bias);
  });
}
