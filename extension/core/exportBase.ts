/** An ONNX export as a base model: opened, mapped, and run over its own inputs. */
import { t } from "@vscode/l10n";
import { dtypeLabel } from "./base/dtype.ts";
import { throwIfAborted, unsupported } from "./base/errors.ts";
import { BaseSession } from "./baseSession.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import { checkMemory, type MemoryReport, type MemoryWish } from "./memoryCheck.ts";
import type { CausalModel } from "./models/causalModel.ts";
import { type ExportPlace } from "./onnxExport/findExport.ts";
import { openExport, type OnnxExport } from "./onnxExport/openExport.ts";
import { refuseNorms } from "./onnxExport/refusals.ts";
import { bareLayers } from "./onnx/layerHook.ts";
import type { AdapterEffects } from "./peft/effect.ts";
import type { MethodBase } from "./peft/method.ts";
import type { PrecisionReport } from "./precision.ts";
import type { SessionOptions } from "./session/ortSession.ts";

/** What a load of an export makes, beside what all bases have. */
export interface ExportBase {
  readonly checkpoint: BaseCheckpoint;
  readonly session: BaseSession;
  readonly adaptable: MethodBase;
  readonly memory: MemoryReport;
  readonly export: OnnxExport["report"];
}

export interface ExportOptions extends SessionOptions {
  /** "mapped" leaves values in their files. */
  readonly memory?: MemoryWish;
  readonly allowTooLarge?: boolean;
  readonly signal?: AbortSignal;
}

/** @throws bad-file, not-found or unsupported, naming file and field */
export async function openExportBase(
  place: ExportPlace,
  options: ExportOptions,
): Promise<ExportBase> {
  const opened = await openExport(place, options.signal);
  throwIfAborted(options.signal);
  const { checkpoint, report } = opened;
  const adaptable = describeExport(opened);
  const mapped = options.memory === "mapped";
  const memory = await checkMemory(
    { checkpoint, base: adaptable },
    {
      options: { mapped },
      packedIn: () => packedBytes(opened),
      ...(options.allowTooLarge && { allowTooLarge: true }),
    },
  );
  const session = await BaseSession.create(checkpoint, adaptable, {
    ...options,
    // Values that are not laid out anew stay where they are in their files.
    ...(mapped && { prepack: false }),
    build: (hook) => opened.model(hook),
    refuse: (effects) => refuseEffects(effects, opened),
  });
  return { checkpoint, session, adaptable, memory, export: report };
}

/** Bytes of the layers whose weights are rounded, by path. */
function packedBytes({ map }: OnnxExport): ReadonlyMap<string, number> {
  const sizes = map.linears.flatMap(({ site: { weight, out }, modules }) => {
    // Beside each scale the kernel keeps a sum of its block.
    const parts = weight.kind === "plain" ? [] : [weight.tensor, weight.scales, weight.scales];
    const whole = parts.reduce((sum, { data }) => {
      if (data.kind === "external") return sum + data.byteLength;
      return sum + (data.kind === "inline" ? data.bytes.length : 0);
    }, 0);
    return parts.length === 0 ? [] : modules.map((m) => [m.path, (whole * m.out) / out] as const);
  });
  return new Map(sizes);
}

/** An export runs as it was made. */
export function storedPrecision({ export: report, checkpoint }: ExportBase): PrecisionReport {
  const packed = report.mapped.filter(({ operator }) => operator === "MatMulNBits").length;
  return {
    ...{ precision: "auto", quantization: null, stored: null, storedLayers: [], kept: [] },
    label: packed > 0 ? report.variant : dtypeLabel(checkpoint.dtype),
    ...{ packed, bytes: 0, fromCache: false, error: null },
  };
}

/** What adapters can bind to in an export. */
function describeExport({ checkpoint, tensors, model, place, map }: OnnxExport): MethodBase {
  const { tree, groups, layers, keyValueHeads, queriesPerKey, headDim }: CausalModel =
    model(bareLayers);
  return {
    modelType: checkpoint.config.modelType,
    config: checkpoint.config,
    ...{ tree, groups, absent: map.missing.map(({ path }) => path) },
    attention: { layers, heads: keyValueHeads * queriesPerKey, keyValueHeads, headDim },
    readTensor: (name, signal) => tensors.read(name, signal),
    withLayers: () => {
      throw unsupported(
        t(
          "{0} is an ONNX export, whose layers cannot be repeated as this adapter does",
          place.file,
        ),
        fromCheckpoint,
      );
    },
  };
}

const fromCheckpoint = t("Load it onto the Hugging Face checkpoint of the model.");

/** What adapters do inside the model rather than around its layers, which an export has no place for. */
function refuseEffects(effects: AdapterEffects, opened: OnnxExport): void {
  const { map, place, report, checkpoint } = opened;
  const { modelType } = checkpoint.config;
  refuseNorms(effects, { producer: report.producer, modelType, file: place.file });
  const inner: [boolean, string][] = [
    [effects.companion !== undefined, t("a decoder beside the model (Shadow)")],
    [effects.router !== undefined, t("a router that reads the model's last norm (X-LoRA)")],
    [(effects.attention?.size ?? 0) > 0, t("keys and values inside attention (adaption prompts)")],
  ];
  const found = inner.find(([isUsed]) => isUsed);
  if (found) {
    throw unsupported(
      t(
        "{0} is an ONNX export; this adapter needs {1}, which adapters cannot reach there",
        place.file,
        found[1],
      ),
      fromCheckpoint,
    );
  }
  const tables = new Set(map.embeddings.map(({ module }) => module.path));
  const table = effects.virtualTokens?.path;
  if (table !== undefined && !tables.has(table)) {
    throw unsupported(
      t(
        "{0}: virtual tokens stand in the place of {1}, which was not found in the export",
        place.file,
        table,
      ),
      fromCheckpoint,
    );
  }
}
