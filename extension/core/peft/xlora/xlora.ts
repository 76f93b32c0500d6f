/**
 * X-LoRA (https://arxiv.org/abs/2402.07148; PEFT tuners/xlora): several LoRA experts, weighed for every
 * token and layer by a classifier that reads what the base makes of the token,
 *
 *     h = last hidden state of a first pass, every expert at scaling_pass_value
 *     z = Linear(… ReLU(Linear h))      g = top_k(softmax(z / temperature))
 *     y = W x + global_scaling_weight · Σ_e s_e B_e A_e (g_e x)
 *
 * Layers are counted in the model's own order over all modules that any expert targets. Run time: the
 * fed low-rank slot and a router (effect.ts); the first pass has a cache of its own, which gives what
 * PEFT computes anew for every token without one.
 */
import { t } from "@vscode/l10n";
import { dtypeLabel } from "../../base/dtype.ts";
import { unsupported } from "../../base/errors.ts";
import { totalElements } from "../../base/shape.ts";
import type { AdapterCheckpoint } from "../../checkpoint/adapterCheckpoint.ts";
import type { AdapterEffects } from "../effect.ts";
import { lora } from "../lora.ts";
import type { LoadedWeights, Method, MethodBase, ModuleSummary } from "../method.ts";
import { valueWarnings } from "../tuner/growingEffects.ts";
import { floats, readEntries } from "../tuner/tensors.ts";
import {
  checkClassifier,
  classify,
  type ClassifierLayer,
  findClassifier,
  gate,
} from "./classifier.ts";
import { parseXlora, type XloraConfig, xloraFields, xloraSchema } from "./config.ts";
import {
  bindExperts,
  type BoundExpert,
  checkEffects,
  checkFrozen,
  chooseExperts,
  expertLayers,
} from "./experts.ts";
import { mixExperts } from "./mixture.ts";

export const xlora: Method = {
  peftType: "XLORA",
  fields: xloraFields,
  schema: xloraSchema,
  check: (config) => void parseXlora(config),
  rank: () => null,
  summarize,
  bind: (adapter, base) => bindAll(adapter, base).report,
  load,
};

/** Classifier and experts of an adapter on a base, from headers alone. */
function bindAll(adapter: AdapterCheckpoint, base: MethodBase) {
  const config = parseXlora(adapter.config);
  const classifier = findClassifier(adapter, config);
  const experts = bindExperts(adapter, base);
  const layers = expertLayers(experts, base);
  const outputs = experts.length * (config.layerwise_scalings ? layers.length : 1);
  const head = base.tree.modules.find(({ path }) => path === base.tree.outputEmbedding);
  if (head?.kind !== "linear") {
    throw unsupported(
      t("{0}: X-LoRA needs a base with a language model's head", adapter.config.file),
    );
  }
  const { file } = adapter.weights;
  checkClassifier(classifier, config, { file, hidden: head.in, outputs });
  const unbound = new Set(experts.flatMap(({ report }) => report.unbound));
  const paths = layers.map(({ path }) => path);
  const unexpected = experts.flatMap(({ report }) => report.unexpected);
  const report = {
    total: paths.length,
    bound: paths.filter((path) => !unbound.has(path)),
    unbound: [...unbound],
    unexpected: [...classifier.strangers, ...unexpected],
  };
  return { config, classifier, experts, layers, report };
}

async function load(
  adapter: AdapterCheckpoint,
  base: MethodBase,
  signal?: AbortSignal,
): Promise<LoadedWeights> {
  const { config, classifier, experts, layers: targets } = bindAll(adapter, base);
  const { file } = adapter.weights;
  const entries = classifier.layers.flatMap(({ weight, bias }) => [weight, bias]);
  const values = await readEntries(entries, file, signal);
  const layers = classifier.layers.map(({ weight, bias }) => ({
    weight: floats(values, weight, file),
    bias: floats(values, bias, file),
  }));
  const loaded: LoadedWeights[] = [];
  for (const expert of experts) loaded.push(await loadExpert(expert, base, signal));
  const own = loaded.map(({ effects }) => effects);
  const effects: AdapterEffects = {
    ...mixExperts(own, config, targets),
    router: router(layers, config, experts.length),
  };
  const inExperts = loaded.reduce((sum, { counts }) => sum + counts.added, 0);
  const trained = classifier.parameters + (config.use_trainable_adapters ? inExperts : 0);
  return {
    effects,
    parameters: trained,
    counts: {
      trained,
      trainable: trained,
      alwaysTrainable: 0,
      added: classifier.parameters + inExperts,
      stored: totalElements(adapter.weights.tensors),
    },
    layers: targets.map(({ path, kind }) => ({ path, kind: "tuner" as const, module: kind })),
    warnings: [
      ...nameWarnings(experts),
      ...new Set([...valueWarnings(values, effects), ...loaded.flatMap((each) => each.warnings)]),
    ],
  };
}

async function loadExpert(
  expert: BoundExpert,
  base: MethodBase,
  signal: AbortSignal | undefined,
): Promise<LoadedWeights> {
  await checkFrozen(expert, base, signal);
  const loaded = await lora.load(expert.adapter, base, signal);
  checkEffects(expert, loaded.effects);
  return loaded;
}

function router(
  layers: readonly ClassifierLayer[],
  config: XloraConfig,
  experts: number,
): AdapterEffects["router"] {
  const [first, last] = [layers[0], layers.at(-1)] as [ClassifierLayer, ClassifierLayer];
  return {
    hidden: first.weight.length / first.bias.length,
    count: last.bias.length,
    weights: (hidden) => gate(classify(layers, hidden), experts, config),
  };
}

function nameWarnings(experts: readonly BoundExpert[]): string[] {
  const named = experts.filter(({ name }) => !/^\d+$/.test(name)).map(({ name }) => name);
  return named.length === 0
    ? []
    : [
        t(
          'Experts are named {0}; PEFT 0.21 loads only those named "0", "1" and so on.',
          named.join(", "),
        ),
      ];
}

/** A row for each layer of the classifier, then one for each module with all its experts. */
function summarize(adapter: AdapterCheckpoint): ModuleSummary[] {
  const { layers } = findClassifier(adapter, parseXlora(adapter.config));
  const own = layers.map(({ weight, bias }) => ({
    path: weight.name.replace(/^base_model\.|\.weight$/g, ""),
    parameters: (weight.shape[0] ?? 0) * (weight.shape[1] ?? 0) + (bias.shape[0] ?? 0),
    ...{ rank: null, alpha: null, scaling: null },
    shape: [weight.shape[1] ?? 0, weight.shape[0] ?? 0] as const,
    dtype: dtypeLabel(weight.dtype),
  }));
  const modules = new Map<string, ModuleSummary>();
  for (const expert of chooseExperts(adapter)) {
    for (const row of lora.summarize(expert.adapter)) {
      const before = modules.get(row.path);
      modules.set(row.path, before ? joined(before, row) : row);
    }
  }
  return [...own, ...modules.values()];
}

/** Two experts on one module: ranks add up, what differs is left out. */
function joined(x: ModuleSummary, y: ModuleSummary): ModuleSummary {
  return {
    ...x,
    parameters: x.parameters + y.parameters,
    rank: (x.rank ?? 0) + (y.rank ?? 0),
    alpha: x.alpha === y.alpha ? x.alpha : null,
    scaling: x.scaling === y.scaling ? x.scaling : null,
  };
}
