/**
 * VB-LoRA (PEFT tuners/vblora): pieces of A and B are mixtures of vectors of a bank that all layers share,
 * softmax over the largest logits. PEFT draws the bank anew for every layer: the last one stays.
 */
import { t } from "@vscode/l10n";
import { unsupported } from "../../base/errors.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import { pieces, vbLora as method, type VbLoraConfig } from "../vbLora.ts";
import { sumOver } from "./algebra.ts";
import type { TorchGenerator } from "../../base/torchRandom.ts";
import { normal } from "./draws.ts";
import { type Initial, moduleForm, numberOf } from "./moduleForm.ts";

const logitsA = "vblora_logits_A";
const logitsB = "vblora_logits_B";
const bankName = "vblora_vector_bank";

/** Logits by module, which are drawn in turns with the bank. */
const drawn = new WeakMap<TorchGenerator, Map<string, Initial>>();

/** Logits [a, b, vectors] → mixtures [a, b, length]. */
function mixed(g: GraphBuilder, logits: Value, at: { bank: Value; topk: number }): Value {
  const [largest, places] = g.node("TopK", [logits, g.int64s([at.topk])], { count: 2 });
  const weights = g.unsqueeze(g.softmax(largest), 3);
  const vectors = g.gather(at.bank, places as Value);
  return sumOver(g, g.mul(weights, vectors), [2], false);
}

export const vbLora = moduleForm<VbLoraConfig>({
  method,
  check: ({ config, file }) => {
    if (!config.save_only_topk_weights) return;
    throw unsupported(
      t("{0}: an adapter that keeps only its largest weights cannot be trained on", file),
      t('Set "save_only_topk_weights" to false for training; PEFT refuses it too.'),
    );
  },
  dropout: (config) => numberOf(config, "vblora_dropout"),
  tensors: (module, { config, file }) => {
    const [inputs, outputs] = pieces(module, config, file);
    const { r, num_vectors: count } = config;
    return [
      { suffix: logitsA, shape: [r, inputs, count] },
      { suffix: logitsB, shape: [outputs, r, count] },
    ];
  },
  shared: ({ config: { num_vectors: count, vector_length: length } }) => [
    { suffix: bankName, shape: [count, length] },
  ],
  initializeShared: (context) => {
    const { config, file, random, targets } = context;
    const { r, num_vectors: count, vector_length: length } = config;
    const bound = numberOf(config, "init_vector_bank_bound", 0.02);
    const deviation = numberOf(config, "init_logits_std", 0.1);
    const logits = new Map<string, Initial>();
    let bank: Float32Array = new Float32Array(0);
    for (const module of targets) {
      const [inputs, outputs] = pieces(module, config, file);
      bank = random.uniform(count * length, -bound, bound);
      const a = normal(random, [r, inputs, count], [0, deviation]);
      const b = normal(random, [outputs, r, count], [0, deviation]);
      logits.set(module.path, { [logitsA]: a, [logitsB]: b });
    }
    drawn.set(random, logits);
    return { [bankName]: bank };
  },
  initialize: ({ path }, { random }) => drawn.get(random)?.get(path) ?? {},
  forward: (g, { module, config, x, base, own, shared, dropout }) => {
    const at = { bank: shared(bankName), topk: config.topk };
    const a = g.reshape(mixed(g, own(logitsA), at), [config.r, module.in]);
    const columns = g.transpose(mixed(g, own(logitsB), at), [0, 2, 1]);
    const b = g.reshape(columns, [module.out, config.r]);
    return g.add(base(x), g.matMulTransposed(g.matMulTransposed(dropout(x), a), b));
  },
});
