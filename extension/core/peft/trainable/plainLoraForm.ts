/**
 * LoRA that began with what its base lost, saved for the base as it is (plainLora.ts): twice the rank,
 * B A − B₀ A₀ = [B, −B₀] [A; A₀]. Such a file holds the beginning too, so that training goes on from it.
 */
import { t } from "@vscode/l10n";
import { applyEdits, modify } from "jsonc-parser";
import { misfit } from "../../base/errors.ts";
import { elementCount } from "../../base/shape.ts";
import { parseAdapterConfig } from "../../checkpoint/adapterConfig.ts";
import type { LoraConfig } from "../loraConfig.ts";
import { isSavedAsPlain } from "../loraPreparations.ts";
import { plainLoraConfig } from "../plainLora.ts";
import { takenNames } from "./loraBeginning.ts";
import { peftPrefix } from "./parameters.ts";
import type { Parameter, ParameterValues, PlainForm, TrainableAdapter } from "./trainable.ts";

const factor = /\.(?:lora_A\.weight|lora_B\.weight|lora_embedding_A|lora_embedding_B)$/;

/** Null for LoRA that is saved as it is. */
export function plainLoraForm(
  { parameters }: Pick<TrainableAdapter, "parameters">,
  config: LoraConfig,
): PlainForm | null {
  const stored = parameters.filter(({ isStored }) => isStored);
  if (config.init_lora_weights === "loftq") return asUsual(stored);
  if (!isSavedAsPlain(config.init_lora_weights)) return null;
  return {
    configText: (text) => plainLoraConfig(text, parseAdapterConfig(text, "adapter_config.json")),
    saved: (values) =>
      savedForm(
        stored.flatMap((parameter) => {
          const own = values.get(parameter.name);
          if (!own) return [];
          if (!factor.test(parameter.name)) return [{ parameter, values: own }];
          return [doubled(parameter, own, takenOf(parameter, values))];
        }),
      ),
    read: (file) => new Map(stored.flatMap((parameter) => parted(parameter, file))),
  };
}

function savedForm(
  tensors: readonly { parameter: Parameter; values: Float32Array }[],
): ReturnType<PlainForm["saved"]> {
  return {
    parameters: tensors.map(({ parameter }) => parameter),
    values: new Map(tensors.map(({ parameter, values }) => [parameter.name, values])),
    fields: {},
  };
}

/** LoftQ's factors belong to a rounded base, which is saved by itself: on that one they are any LoRA's. */
function asUsual(stored: readonly Parameter[]): PlainForm {
  const formattingOptions = { insertSpaces: true, tabSize: 2 };
  return {
    configText: (text) =>
      applyEdits(text, modify(text, ["init_lora_weights"], true, { formattingOptions })),
    saved: (values) => ({ parameters: stored, values, fields: {} }),
    read: (file) => file,
  };
}

/** A₀ or −B₀ of a factor; null for a table's. */
function takenOf({ name }: Parameter, values: ParameterValues): Float32Array | null {
  const { path, suffix } = parts(name);
  if (suffix === "lora_A.weight") return values.get(`${peftPrefix}${path}.${takenNames.a}`) ?? null;
  if (suffix !== "lora_B.weight") return null;
  return values.get(`${peftPrefix}${path}.${takenNames.b}`) ?? null;
}

/** A factor with what was taken behind it along the rank; zeros for a table, whose base stays whole. */
function doubled(
  parameter: Parameter,
  own: Float32Array,
  taken: Float32Array | null,
): { parameter: Parameter; values: Float32Array } {
  const { shape } = parameter;
  const second = taken ?? new Float32Array(own.length);
  const isFirst = isRankFirst(parameter.name);
  const rows = isFirst ? 1 : (shape[0] as number);
  const width = own.length / rows;
  const values = new Float32Array(2 * own.length);
  for (let row = 0; row < rows; row++) {
    values.set(own.subarray(row * width, (row + 1) * width), 2 * row * width);
    values.set(second.subarray(row * width, (row + 1) * width), (2 * row + 1) * width);
  }
  const axis = isFirst ? 0 : 1;
  const twice = shape.map((size, i) => (i === axis ? 2 * size : size));
  return { parameter: { ...parameter, shape: twice }, values };
}

/** A file's doubled factor as the factor and what was taken. */
function parted({ name, shape }: Parameter, file: ParameterValues): [string, Float32Array][] {
  const whole = file.get(name);
  if (!whole) return [];
  if (!factor.test(name)) return [[name, whole]];
  if (whole.length !== 2 * elementCount(shape)) {
    throw misfit(
      t('"{0}" has not twice the rank, so the file does not say what the base has lost.', name),
    );
  }
  const { path, suffix } = parts(name);
  const rows = isRankFirst(name) ? 1 : (shape[0] as number);
  const width = whole.length / (2 * rows);
  const half = (which: 0 | 1): Float32Array => {
    const out = new Float32Array(rows * width);
    for (let row = 0; row < rows; row++) {
      const from = (2 * row + which) * width;
      out.set(whole.subarray(from, from + width), row * width);
    }
    return out;
  };
  const own: [string, Float32Array] = [name, half(0)];
  if (suffix === "lora_A.weight") return [own, [`${peftPrefix}${path}.${takenNames.a}`, half(1)]];
  if (suffix !== "lora_B.weight") return [own];
  return [own, [`${peftPrefix}${path}.${takenNames.b}`, half(1)]];
}

function isRankFirst(name: string): boolean {
  return /lora_(embedding_)?A(\.weight)?$/.test(name);
}

function parts(name: string): { path: string; suffix: string } {
  const suffix = /\.(lora_(?:A|B)\.weight|lora_embedding_(?:A|B))$/.exec(name)?.[1] ?? "";
  return { path: name.slice(peftPrefix.length, -suffix.length - 1), suffix };
}
