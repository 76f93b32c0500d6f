/**
 * LoRA (https://arxiv.org/abs/2106.09685; PEFT tuners/lora): y = W x + s · B (A x).
 * Run time: the low-rank path. DoRA (https://arxiv.org/abs/2402.09353) scales the output's rows to
 * the trained magnitude, so it is the same path and one factor a row. Embeddings add a row of
 * (B A)ᵀ s to a token's own. What raw PiSSA, OLoRA and KaSA take out of W are further directions of
 * the same path (loraBase.ts); KaSA also has a diagonal between the factors, s · B diag(d) A. BD-LoRA
 * stores a factor as the blocks of its diagonal, [r, in / blocks] or [out, r / blocks]. aLoRA
 * (https://arxiv.org/abs/2504.12397) is the gated path: active from the last invocation on.
 */
import { t } from "@vscode/l10n";
import { misfit, unsupported } from "../base/errors.ts";
import { scaled } from "../base/matrix.ts";
import type { Shape } from "../base/shape.ts";
import type { ModuleInfo } from "../checkpoint/modules.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { compose } from "./compose.ts";
import type { EmbeddingEffect, LinearEffect } from "./effect.ts";
import { addProduct, scaleColumns, scaleRows } from "./effect.ts";
import {
  checkLoraConfig,
  isMica,
  loraBlocks,
  type LoraConfig,
  loraScale,
  loraSchema,
  loraWarnings,
  replicatedLayers,
  usesKasa,
} from "./loraConfig.ts";
import { fusedTargets } from "./experts/fusedTargets.ts";
import { fusedTensors } from "./experts/fusedTensors.ts";
import { takenFromBase } from "./loraBase.ts";
import { rowNorms } from "./norms.ts";
import { loraFieldInfo } from "./loraFields.ts";
import { loraParameters, targetName } from "./loraParameters.ts";
import { loraTargets } from "./defaultTargets.ts";
import { tieTargets } from "./tiedTargets.ts";
import { tokenModules, trainableTokens } from "./tokenRows.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";

const magnitude = "lora_magnitude_vector";

export const lora = tunerMethod<LoraConfig>({
  peftType: "LORA",
  schema: loraSchema,
  fields: loraFieldInfo,
  defaultTargets: loraTargets,
  check: checkLoraConfig,
  prepare: (config, base, file) => tieTargets(fusedTargets(config, base, file), base),
  arrange: (tensors, { modelType }, file) => fusedTensors(tensors, modelType, file),
  suffixes: [
    "lora_A.weight",
    "lora_B.weight",
    "lora_B.bias",
    "lora_embedding_A",
    "lora_embedding_B",
    magnitude,
    "lora_diag",
    "token_adapter.trainable_tokens_delta",
  ],
  // MonteCLoRA's sampler and VeLoRA's projection: in evaluation both are LoRA.
  ignored: /\.lora_monteclora_sampler\.|\.lora_velora_embed$/,
  // MiCA's B is chosen once; only A is trained.
  isOwn: (suffix, { config }) => !isMica(config) || !/^lora_(embedding_)?B\b/.test(suffix),
  unstored: (config, module) => ({
    trained: 0,
    frozen: isMica(config) ? module.out * loraScale(config, module.path, "").rank : 0,
  }),
  frozen: [
    /\.lora_monteclora_sampler\.(expert_weights|gaussian_var_prior)$/,
    /\.lora_velora_embed$/,
  ],
  convolutions: true,
  kinds: ["linear", "embedding"],
  rank: (config) => config.r,
  scale: (config, path, file) => loraScale(config, targetName(config, path), file),
  shapes,
  parameters: loraParameters,
  linear: linearEffect,
  embedding: embeddingEffect,
  layers: replicatedLayers,
  extraModules: tokenModules,
  extra: async (context) => ({
    ...(await trainableTokens(context)),
    ...(isActivated(context.config) && {
      activation: { tokens: context.config.alora_invocation_tokens },
    }),
  }),
  warnings: loraWarnings,
});

function shapes(module: ModuleInfo, config: LoraConfig, file: string): Record<string, Shape> {
  const rank = storedRank(module, config, file);
  if (module.kind === "embedding") checkEmbedding(config, file);
  const blocks = loraBlocks(config, module.path, file);
  const expected: Record<string, Shape> =
    module.kind === "embedding"
      ? { lora_embedding_A: [rank, module.in], lora_embedding_B: [module.out, rank] }
      : {
          // QALoRA's A may be pooled: what it is good for is said when it is read.
          "lora_A.weight": [rank, config.use_qalora ? -1 : inputsOf(module) / blocks.a],
          "lora_B.weight": [module.out, rank / blocks.b],
        };
  if (module.kind === "linear" && module.kernel) {
    expected["lora_A.weight"] = [rank, ...module.kernel];
    expected["lora_B.weight"] = [module.out, rank, 1, 1];
    if (config.use_dora) expected[magnitude] = [1, module.out, 1, 1];
    return expected;
  }
  if (usesKasa(config)) expected["lora_diag"] = [rank];
  if (config.lora_bias) expected["lora_B.bias"] = [module.out];
  if (config.use_dora) expected[magnitude] = [module.out];
  return expected;
}

/** The rank of the stored factors: PiSSA and OLoRA begin with no more directions than the weight has. */
function storedRank(module: ModuleInfo, config: LoraConfig, file: string): number {
  const { rank } = loraScale(config, module.path, file);
  const isOfBase = ["pissa", "olora"].includes(String(config.init_lora_weights));
  return isOfBase && module.kind === "linear" ? Math.min(rank, module.in, module.out) : rank;
}

/** aLoRA: only tokens from the invocation on are changed. */
function isActivated({ alora_invocation_tokens: tokens }: LoraConfig): boolean {
  return tokens.length > 0;
}

/** Options that PEFT has for linear layers alone. */
function checkEmbedding(config: LoraConfig, file: string): void {
  const init = config.init_lora_weights;
  const option =
    (config.lora_bias && "lora_bias") ||
    (config.use_bdlora && "use_bdlora") ||
    (usesKasa(config) && "kasa_config") ||
    (isActivated(config) && "alora_invocation_tokens") ||
    (["pissa", "olora"].includes(String(init)) && t('init_lora_weights "{0}"', init));
  if (!option) return;
  throw unsupported(
    t("{0}: PEFT has {1} for linear layers alone, not for embeddings", file, option),
  );
}

function inputsOf(module: ModuleInfo): number {
  return module.kind === "norm" ? 0 : module.in;
}

async function linearEffect(
  module: LinearModule,
  tensors: ModuleTensors,
  context: TunerContext<LoraConfig>,
): Promise<LinearEffect> {
  const { config, file } = context;
  const { scaling } = loraScale(config, module.path, file);
  const rank = storedRank(module, config, file);
  if (config.use_qalora) checkPooled(module, tensors, file);
  const blocks = loraBlocks(config, module.path, file);
  const a = onDiagonal(tensors.values("lora_A.weight"), { count: blocks.a, columns: module.in });
  const b = onDiagonal(tensors.values("lora_B.weight"), { count: blocks.b, columns: rank });
  const diagonal = usesKasa(config) ? tensors.values("lora_diag") : undefined;
  const update = { a, b: scaled(scaleColumns(b, diagonal, rank), scaling), rank };
  const trained: LinearEffect = {
    lowRank: update,
    ...(config.lora_bias && { shift: scaled(tensors.values("lora_B.bias"), scaling) }),
  };
  const taken = await takenFromBase(module, context);
  // What is taken from the base is missing for every token.
  if (isActivated(config)) return { ...(taken && { lowRank: taken }), gated: update };
  const composed = taken ? compose({ lowRank: taken }, trained, module) : trained;
  // PEFT takes KaSA's part from the base once, however many adapters rely on it.
  const plain = taken && usesKasa(config) ? { ...composed, taken } : composed;
  return config.use_dora ? withMagnitude(plain, { module, tensors, context }) : plain;
}

/** PEFT groups inputs of GPTQ layers alone; on other bases its A has all inputs, or does not load. */
function checkPooled(
  { path, in: inputs }: LinearModule,
  tensors: ModuleTensors,
  file: string,
): void {
  const [, columns = 0] = tensors.shape("lora_A.weight");
  if (columns === inputs) return;
  throw misfit(
    t(
      "{0}: lora_A of {1} has {2} inputs where this base has {3}: it was trained with use_qalora on a GPTQ base, whose inputs PEFT pools in groups. On this base PEFT does not load it either.",
      file,
      path,
      columns,
      inputs,
    ),
    { file, module: path },
  );
}

/** Blocks stacked as [rows, columns / count] in their places of a matrix [rows, columns]. */
function onDiagonal(
  blocks: Float32Array,
  { count, columns }: { count: number; columns: number },
): Float32Array {
  if (count === 1) return blocks;
  const width = columns / count;
  const rows = blocks.length / width;
  const out = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const column = Math.floor((row * count) / rows) * width;
    out.set(blocks.subarray(row * width, (row + 1) * width), row * columns + column);
  }
  return out;
}

/** y = m/‖W + sBA‖ ⊙ (W x + s B A x) + b (PEFT lora/dora.py). */
async function withMagnitude(
  plain: LinearEffect,
  at: { module: LinearModule; tensors: ModuleTensors; context: TunerContext<LoraConfig> },
): Promise<LinearEffect> {
  const { module, tensors, context } = at;
  const { lowRank } = plain;
  if (!lowRank) return plain;
  const sum = Float64Array.from(await context.weight(module));
  addProduct(sum, lowRank, module.in);
  const norms = rowNorms(sum, module.in);
  const outputScale = tensors.values(magnitude).map((m, row) => m / (norms[row] as number));
  const bias = await context.bias(module);
  return {
    outputScale,
    lowRank: { ...lowRank, b: scaleRows(lowRank.b, outputScale, lowRank.rank) },
    ...(bias && { shift: bias.map((value, row) => value * (1 - (outputScale[row] as number))) }),
  };
}

/** Rows of s (B A)ᵀ; with DoRA each column is scaled to its magnitude. */
async function embeddingEffect(
  module: ModuleInfo,
  tensors: ModuleTensors,
  context: TunerContext<LoraConfig>,
): Promise<EmbeddingEffect> {
  const { rank, scaling } = loraScale(context.config, module.path, context.file);
  const a = tensors.values("lora_embedding_A");
  const b = tensors.values("lora_embedding_B");
  const vocabulary = a.length / rank;
  const update = (id: number): Float32Array =>
    Float32Array.from({ length: module.out }, (_, column) => {
      let sum = 0;
      for (let r = 0; r < rank; r++) {
        sum += (b[column * rank + r] as number) * (a[r * vocabulary + id] as number);
      }
      return scaling * sum;
    });
  const lowRank = { a, b: b.map((value) => scaling * value), rank };
  if (!context.config.use_dora) return { rowDelta: update, lowRank };
  const table = await context.weight(module);
  const row = (id: number): Float32Array => table.subarray(id * module.out, (id + 1) * module.out);
  const squares = new Float64Array(module.out);
  for (let id = 0; id < vocabulary; id++) {
    const [own, added] = [row(id), update(id)];
    own.forEach(
      (value, i) => (squares[i] = (squares[i] as number) + (value + (added[i] as number)) ** 2),
    );
  }
  const scale = tensors.values(magnitude).map((m, i) => m / Math.sqrt(squares[i] as number));
  return {
    carry: (added) => added.map((value, i) => value * (scale[i] as number)),
    rowDelta: (id) => {
      const added = update(id);
      return row(id).map(
        (value, i) => (scale[i] as number) * (value + (added[i] as number)) - value,
      );
    },
  };
}
