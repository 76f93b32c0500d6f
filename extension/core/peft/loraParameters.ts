/**
 * LoRA on parameters that are named themselves (PEFT's `target_parameters`, lora/layer.py
 * ParamWrapper): W' = W + s · B A of a matrix W [out, in], whatever its module does with it. A stack
 * of experts W [experts, out, in] shares two factors, A [experts · r, in] and B [out, r · experts],
 * where A counts experts first and B ranks: W'ₑ = Wₑ + s · B[:, :, e] A[e].
 * Run time: the low-rank path, which experts have for each pair of token and expert; a table's rows
 * get theirs on top.
 */
import { t } from "@vscode/l10n";
import { GraftError, unsupported } from "../base/errors.ts";
import { transposed } from "../base/matrix.ts";
import type { Shape } from "../base/shape.ts";
import { isChosen, type ParameterTarget, resolveParameters } from "../checkpoint/parameters.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import type { ModuleInfo } from "../checkpoint/modules.ts";
import { compose } from "./compose.ts";
import type { AdapterEffects, LowRank } from "./effect.ts";
import { expertEffect } from "./experts/effect.ts";
import { takenFromBase } from "./loraBase.ts";
import { isMica, isOff, type LoraConfig, loraScale, usesKasa } from "./loraConfig.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import type { ParameterTuner, TunerContext } from "./tuner/tuner.ts";

export const loraParameters: ParameterTuner<LoraConfig> = {
  names: (config) => config.target_parameters,
  targets: (config, tree, file) => {
    const targets = resolveParameters(tree, config.target_parameters);
    if (targets.length > 0) checkOptions(config, file);
    for (const { name, shape, owner } of targets) {
      if (owner.kind === "experts") checkStackInit(config, name, file);
      if (shape.length >= 2) continue;
      throw unsupported(
        t(
          '{0}: field "target_parameters" chooses {1}, which has {2} dimension; PEFT changes parameters of two or three',
          file,
          name,
          shape.length,
        ),
      );
    }
    return targets;
  },
  shapes: ({ name, shape }, config, file) => {
    const { rank } = loraScale(config, name, file);
    const [out = 0, inputs = 0] = shape.slice(-2);
    const experts = shape.length === 3 ? (shape[0] as number) : 1;
    return {
      "lora_A.weight": [rank * experts, inputs],
      "lora_B.weight": [out, rank * experts],
    };
  },
  effects: parameterEffects,
};

/** What the patterns match for the tensors under a path: the parameter that they belong to, or the module. */
export function targetName({ target_parameters: names }: LoraConfig, path: string): string {
  return isChosen(`${path}.weight`, names) ? `${path}.weight` : path;
}

/** Options that PEFT does not have for parameters; each is refused as PEFT refuses it. */
function checkOptions(config: LoraConfig, file: string): void {
  const option =
    (config.use_dora && "use_dora") ||
    (config.lora_bias && "lora_bias") ||
    (usesKasa(config) && "kasa_config") ||
    (isMica(config) && "init_lora_weights") ||
    (config.use_bdlora && "use_bdlora") ||
    (config.alora_invocation_tokens.length > 0 && "alora_invocation_tokens") ||
    ["fan_in_fan_out", "velora_config", "monteclora_config", "arrow_config"].find(
      (field) => !isOff(config[field]),
    ) ||
    (config["lora_dropout"] !== 0 && !isOff(config["lora_dropout"]) && "lora_dropout");
  if (!option) return;
  throw new GraftError(
    "bad-file",
    t('{0}: field "{1}" cannot be used with target_parameters, as in PEFT.', file, option),
    { file, field: option },
  );
}

/** Initialisations for which PEFT asks the module for a weight, which a stack of experts has not. */
function checkStackInit({ init_lora_weights: init }: LoraConfig, name: string, file: string): void {
  if (!/^(pissa|olora|orthogonal|lora_ga)/.test(String(init))) return;
  throw unsupported(
    t(
      '{0}: init_lora_weights "{1}" needs a module with one weight, {2} is a stack of experts; PEFT does not load it either',
      file,
      init,
      name,
    ),
  );
}

/** The factors of one expert of a stack, scaling folded into b. */
export function expertFactors(
  { a, b, rank }: LowRank,
  { experts, expert, scaling }: { experts: number; expert: number; scaling: number },
): LowRank {
  const inputs = a.length / (experts * rank);
  return {
    a: a.slice(expert * rank * inputs, (expert + 1) * rank * inputs),
    b: Float32Array.from(
      { length: b.length / experts },
      (_, i) => scaling * (b[i * experts + expert] as number),
    ),
    rank,
  };
}

async function parameterEffects(
  target: ParameterTarget,
  tensors: ModuleTensors,
  context: TunerContext<LoraConfig>,
): Promise<Partial<AdapterEffects>> {
  const { rank, scaling } = loraScale(context.config, target.name, context.file);
  const stored = { a: tensors.values("lora_A.weight"), b: tensors.values("lora_B.weight"), rank };
  const { owner } = target;
  if (owner.kind === "experts") {
    const { in: inputs, out } = owner.matrix;
    const size = { count: owner.stack.count, in: inputs, out };
    return { experts: new Map([[target.name, expertEffect(stored, size, scaling)]]) };
  }
  const { module } = owner;
  const factors = expertFactors(stored, { experts: 1, expert: 0, scaling });
  const matrix = asLinear(module, target.shape);
  const trained = matrix.isTransposed ? turned(factors, matrix) : factors;
  const taken = await takenFromBase(matrix, context, target.name);
  if (taken && matrix.isTransposed) {
    throw unsupported(
      t(
        "{0}: Graft does not run an initialisation that changes {1}, a Conv1D's",
        context.file,
        target.name,
      ),
      t("Save the adapter with path_initial_model_for_weight_conversion."),
    );
  }
  const { lowRank = trained } = taken
    ? compose({ lowRank: taken }, { lowRank: trained }, matrix)
    : { lowRank: trained };
  if (module.kind === "linear") return { linear: new Map([[module.path, { lowRank }]]) };
  return { embeddings: new Map([[module.path, { rowDelta: (id) => row(lowRank, id) }]]) };
}

/** A parameter as the matrix of y = W x; a table's rows are outputs. */
function asLinear(module: ModuleInfo, [out = 0, inputs = 0]: Shape): LinearModule {
  if (module.kind === "linear") return module;
  return { kind: "linear", path: module.path, in: inputs, out, hasBias: false };
}

/** Factors of a weight stored [in, out] as those of its transpose: (B A)ᵀ = Aᵀ Bᵀ. */
function turned({ a, b, rank }: LowRank, { in: inputs, out }: LinearModule): LowRank {
  return {
    a: Float32Array.from(transposed(b, inputs, rank)),
    b: Float32Array.from(transposed(a, rank, out)),
    rank,
  };
}

/** Row of B A. */
function row({ a, b, rank }: LowRank, index: number): Float32Array {
  const columns = a.length / rank;
  return Float32Array.from({ length: columns }, (_, column) => {
    let sum = 0;
    for (let r = 0; r < rank; r++) {
      sum += (b[index * rank + r] as number) * (a[r * columns + column] as number);
    }
    return sum;
  });
}
