/**
 * LoRA and ONNX Runtime's `.onnx_adapter`. A parameter has the name of the graph input that it
 * feeds, A as [in, rank] and B as [rank, out], the scaling in B. Two tools make such graphs:
 *
 *     Olive (convert-adapters)   model.layers.0.self_attn.q_proj.lora_A.weight
 *     GenAI's model builder      model.layers.0.attn.q_proj.lora_A.MatMul.weight
 */
import { t } from "@vscode/l10n";
import { isFloatDtype, toFloat32 } from "../../base/dtype.ts";
import { badFile, unsupported } from "../../base/errors.ts";
import { fromFloat32 } from "../../base/halfFloat.ts";
import { pause } from "../../base/pause.ts";
import { transposed } from "../../base/matrix.ts";
import { isSameShape, showShape } from "../../base/shape.ts";
import type { AdapterCheckpoint } from "../../checkpoint/adapterCheckpoint.ts";
import type { OrtAdapter, Parameter } from "../../ortAdapter/format.ts";
import type { ConvertedModule, ConvertOptions } from "./converted.ts";
import type { ImportedModule } from "./imported.ts";
import { openPlain, roundFactors } from "./plainFactors.ts";

export type ParameterNames = "olive" | "genai";

/** A LoRA's factors as parameters; nothing is written. */
export async function toOrtAdapter(
  checkpoint: AdapterCheckpoint,
  {
    dtype = "fp32",
    names = "olive",
    onProgress,
    signal,
  }: ConvertOptions & {
    dtype?: "fp32" | "fp16" | undefined;
    names?: ParameterNames | undefined;
  },
): Promise<{ adapter: OrtAdapter; modules: ConvertedModule[] }> {
  const lora = await openPlain(checkpoint, { format: t("ONNX Runtime's adapter file"), signal });
  const parameters: Parameter[] = [];
  const modules: ConvertedModule[] = [];
  for (const [done, { path, kind, factors, scaling }] of lora.modules.entries()) {
    const total = lora.modules.length;
    onProgress?.({ step: t("Converting modules"), done, total, unit: "items" });
    await pause(signal);
    if (kind === "embedding") {
      throw unsupported(t("ONNX Runtime's adapter file has no place for {0}, an embedding", path));
    }
    const { rank, inputs, out } = factors;
    const scaled = { ...factors, b: factors.b.map((value) => value * scaling) };
    const rounded = roundFactors(path, scaled, dtype);
    modules.push(rounded.module);
    const add = (factor: "A" | "B", values: Float64Array, shape: number[]): void => {
      const name = parameterName(path, factor, names);
      const bytes = fromFloat32(Float32Array.from(values), rounded.dtype);
      parameters.push({ name, dtype: rounded.dtype, shape, bytes });
    };
    add("A", transposed(scaled.a, rank, inputs), [inputs, rank]);
    add("B", transposed(scaled.b, out, rank), [rank, out]);
  }
  return { adapter: { adapterVersion: 1, modelVersion: 1, parameters }, modules };
}

function parameterName(path: string, factor: "A" | "B", names: ParameterNames): string {
  return names === "olive"
    ? `${path}.lora_${factor}.weight`
    : `${path.replace(".self_attn.", ".attn.")}.lora_${factor}.MatMul.weight`;
}

/** Factors by module of either tool's names; the scaling is in B. */
export function fromOrtAdapter({ parameters }: OrtAdapter, file: string): ImportedModule[] {
  const pairs = new Map<string, { a?: Parameter; b?: Parameter }>();
  for (const parameter of parameters) {
    const match = /^(?:base_model\.model\.)?(.+)\.lora_([AB])(\.MatMul)?\.weight$/.exec(
      parameter.name,
    );
    const [, module = "", factor, isBuilder] = match ?? [];
    if (!match || /\.quant$/.test(module)) {
      throw unsupported(
        t('{0}: parameter "{1}" is no factor of a LoRA that Graft can name', file, parameter.name),
        t("It reads names of Olive and of GenAI's model builder, not quantized."),
      );
    }
    const path = isBuilder ? module.replace(".attn.", ".self_attn.") : module;
    const pair = pairs.get(path) ?? {};
    pairs.set(path, { ...pair, [factor === "A" ? "a" : "b"]: parameter });
  }
  return [...pairs].map(([path, { a, b }]) => {
    if (!a || !b) throw badFile(file, t("has only one factor of {0}", path));
    const [inputs = 0, rank = 0] = a.shape;
    const out = b.shape[1] ?? 0;
    if (a.shape.length !== 2 || !isSameShape(b.shape, [rank, out]) || rank === 0) {
      throw badFile(
        file,
        t("factors of {0} are {1} and {2}", path, showShape(a.shape), showShape(b.shape)),
      );
    }
    const factors = {
      a: Float32Array.from(transposed(valuesOf(a, file), inputs, rank)),
      b: Float32Array.from(transposed(valuesOf(b, file), rank, out)),
      rank,
      inputs,
      out,
    };
    return { path, kind: "linear", alpha: rank, factors };
  });
}

function valuesOf({ name, dtype, bytes }: Parameter, file: string): Float32Array {
  if (isFloatDtype(dtype)) return toFloat32(bytes, dtype);
  throw unsupported(
    t('{0}: parameter "{1}" is {2}, a floating-point type is needed', file, name, dtype),
  );
}
