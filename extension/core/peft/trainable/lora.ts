/**
 * LoRA in training (PEFT tuners/lora): y = W x + s · B A dropout(x), with its variants. What raw PiSSA,
 * OLoRA and KaSA take out of W is a further pair of factors that is fed and not trained, so that the
 * base stays as it is, packed or not.
 */
import { t } from "@vscode/l10n";
import { unsupported } from "../../base/errors.ts";
import type { JsonObject } from "../../base/json.ts";
import type { ModuleInfo } from "../../checkpoint/modules.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import { lora as method } from "../lora.ts";
import { isSavedAsPlain, preparationConfig, preparationOf } from "../loraPreparations.ts";
import { isMica, isOff, loraBlocks, type LoraConfig, loraScale, usesKasa } from "../loraConfig.ts";
import { doraOutput, doraRows, magnitudeSuffix } from "./dora.ts";
import {
  initializeFactors,
  initializeLora,
  takenNames,
  takenScale,
  takesFromBase,
} from "./loraBeginning.ts";
import { plainLoraForm } from "./plainLoraForm.ts";
import { expertsUpdate } from "./loraExperts.ts";
import { type ExtraTensor, trainableTuner, type TrainedLayer, type TrainedTable } from "./tuner.ts";
import type { ParameterKind } from "./trainable.ts";

export const lora = trainableTuner<LoraConfig>({
  method,
  newOnly: {
    field: "init_lora_weights",
    values: /^(pissa_niter_\d+|corda|loftq|lora_ga)$/,
    place: true,
  },
  plain: (adapter, { config }) => plainLoraForm(adapter, config),
  check: (config, { raw }) => checkTrained(config, raw.raw, raw.file),
  kindOf,
  torchSuffix: (suffix) => (suffix === magnitudeSuffix ? `${suffix}.weight` : suffix),
  isTrained: (suffix, config) => !isMica(config) || !/^lora_(embedding_)?B\b/.test(suffix),
  extraTensors,
  invocation: (config) => config.alora_invocation_tokens,
  linear: linearFormula,
  embedding: embeddingFormula,
  experts: expertsUpdate,
  parameterLinear,
  parameterRows,
  initialize: initializeLora,
  initializeParameter: ({ name }, at) => initializeFactors(name, at),
  dropout: dropoutOf,
});

/** Options under which the base as a whole cannot lose what the adapter begins with. */
const inParts = ["use_bdlora", "alora_invocation_tokens", "kasa_config", "target_parameters"];

/** @throws for an initialisation whose own config is wrong, or which another option leaves no sense */
function checkBeginning(config: LoraConfig, raw: JsonObject, file: string): void {
  const init = String(config.init_lora_weights);
  const name = preparationOf({ peftType: "LORA", raw });
  if (name) preparationConfig(name, { raw, file });
  const field = inParts.find((each) => !isOff(raw[each]));
  if (field === undefined) return;
  if (name === null && !isSavedAsPlain(config.init_lora_weights)) return;
  throw unsupported(
    t(
      '{0}: Graft does not begin with init_lora_weights "{1}" where there is {2}',
      file,
      init,
      field,
    ),
  );
}

/** What PEFT trains in a way of its own that Graft has not. */
function checkTrained(config: LoraConfig, raw: JsonObject, file: string): void {
  checkBeginning(config, raw, file);
  const fields = ["use_qalora", "velora_config", "monteclora_config"];
  if (config.target_parameters.length > 0 && takesFromBase(config))
    fields.push("init_lora_weights");
  const field = fields.find((name) => !isOff(raw[name]));
  if (field !== undefined)
    throw unsupported(t('{0}: Graft does not train with "{1}"', file, field));
  if (config.ensure_weight_tying) {
    throw unsupported(t('{0}: Graft does not train with "{1}"', file, "ensure_weight_tying"));
  }
}

/** LoRA+ gives B and embeddings rates of their own (PEFT optimizers/loraplus.py). */
function kindOf(suffix: string): ParameterKind {
  if (suffix === "lora_B.bias") return "bias";
  if (suffix.startsWith("lora_embedding")) return "embedding";
  if (suffix.startsWith("lora_A")) return "a";
  return suffix.startsWith("lora_B") ? "b" : "other";
}

function dropoutOf(config: LoraConfig): number {
  return typeof config["lora_dropout"] === "number" ? config["lora_dropout"] : 0;
}

function extraTensors(
  module: ModuleInfo,
  { config, file }: { config: LoraConfig; file: string },
): Readonly<Record<string, ExtraTensor>> {
  if (module.kind !== "linear" || !takesFromBase(config)) return {};
  const rank = Math.min(loraScale(config, module.path, file).rank, module.in, module.out);
  const fixed = { isTrained: false, isStored: false };
  return {
    [takenNames.a]: { shape: [rank, module.in], ...fixed },
    [takenNames.b]: { shape: [module.out, rank], ...fixed },
  };
}

function linearFormula(layer: TrainedLayer<LoraConfig>): Value {
  const { g, config, module, file } = layer;
  const { rank, scaling } = loraScale(config, module.path, file);
  const blocks = loraBlocks(config, module.path, file);
  const x = layer.dropout(layer.x, dropoutOf(config));
  const [a, b] = matrices(layer, rank);
  const narrow = blocks.a > 1 ? blockProduct(g, x, { w: a, rows: rank, blocks: blocks.a }) : null;
  const hidden = narrow ?? g.matMulTransposed(x, a);
  const inner = usesKasa(config) ? g.mul(hidden, layer.parameter("lora_diag")) : hidden;
  const up =
    blocks.b > 1
      ? g.scale(blockProduct(g, inner, { w: b, rows: module.out, blocks: blocks.b }), scaling)
      : g.matMulTransposed(inner, b, scaling);
  const base = withoutTaken(layer);
  if (config.use_dora) return doraOutput(base, { a, b, x, update: up });
  const active = config.alora_invocation_tokens.length > 0 ? g.mul(up, layer.active()) : up;
  if (!config.lora_bias) return g.add(base.base(), active);
  return g.add(base.base(), g.add(active, g.scale(layer.parameter("lora_B.bias"), scaling)));
}

/** A and B as matrices; those of a convolution are stored with its kernel. */
function matrices(layer: TrainedLayer<LoraConfig>, rank: number): [Value, Value] {
  const { g, module } = layer;
  const a = layer.parameter("lora_A.weight");
  const b = layer.parameter("lora_B.weight");
  if (!module.kernel) return [a, b];
  return [g.reshape(a, [rank, module.in]), g.reshape(b, [module.out, rank])];
}

/** x [..., in] · Wᵀ where W [rows, in / blocks] holds the blocks of its diagonal below one another. */
function blockProduct(
  g: GraphBuilder,
  x: Value,
  { w, rows, blocks }: { w: Value; rows: number; blocks: number },
): Value {
  const parts = g.splitEvenly(x, blocks, -1);
  const own = g.split(w, Array<number>(blocks).fill(rows / blocks), 0);
  return g.concat(
    parts.map((part, i) => g.matMulTransposed(part, own[i] as Value)),
    -1,
  );
}

/** The layer as the initialisation left it: what it took is missing. */
function withoutTaken(layer: TrainedLayer<LoraConfig>): TrainedLayer<LoraConfig> {
  if (!takesFromBase(layer.config)) return layer;
  const { g, config, module, file } = layer;
  const a = layer.parameter(takenNames.a);
  const b = layer.parameter(takenNames.b);
  const factor = takenScale(config, module.path, file);
  const taken = (x: Value): Value => g.matMulTransposed(g.matMulTransposed(x, a), b, factor);
  return {
    ...layer,
    base: (x = layer.x) => g.add(layer.base(x), taken(x)),
    product: (x) => g.add(layer.product(x), taken(x)),
    weight: () => g.add(layer.weight(), g.scale(g.matMul(b, a), factor)),
  };
}

/** What a factorised change of a layer's own parameter adds; a Conv1D's is [in, out]. */
function parameterLinear(layer: TrainedLayer<LoraConfig>, name: string): Value {
  const { g, config, module, file } = layer;
  const { scaling } = loraScale(config, name, file);
  const a = layer.parameter("lora_A.weight");
  const b = layer.parameter("lora_B.weight");
  const update = module.isTransposed
    ? g.scale(g.matMul(g.matMul(layer.x, b), a), scaling)
    : g.matMulTransposed(g.matMulTransposed(layer.x, a), b, scaling);
  return g.add(layer.base(), update);
}

/** The same of a table: its rows are outputs. */
function parameterRows(table: TrainedTable<LoraConfig>, name: string): Value {
  const { g, config, file } = table;
  const { scaling } = loraScale(config, name, file);
  const picked = g.gather(table.parameter("lora_B.weight"), table.ids);
  const update = g.matMul(picked, table.parameter("lora_A.weight"));
  return g.add(table.rows, g.scale(update, scaling));
}

/** Rows + s · B A of the tokens (Embedding.forward; there is no dropout). */
function embeddingFormula(table: TrainedTable<LoraConfig>): Value {
  const { g, config, module, file } = table;
  const { scaling } = loraScale(config, module.path, file);
  const a = table.parameter("lora_embedding_A");
  const b = table.parameter("lora_embedding_B");
  const picked = g.gather(g.transpose(a, [1, 0]), table.ids);
  const update = g.matMulTransposed(picked, b, scaling);
  return config.use_dora ? doraRows(table, { a, b, update }) : g.add(table.rows, update);
}
