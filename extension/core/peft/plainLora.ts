/**
 * Turns a trained PiSSA, OLoRA, CorDA or LoRA-GA adapter, which needs a base without its first part,
 * into a LoRA for the base as it is: what training changed is B A − B₀ A₀ = [B, −B₀] [A; A₀], with
 * A₀ and B₀ as they were before training (PEFT: tuners/lora/model.subtract_mutated_init).
 */
import { t } from "@vscode/l10n";
import { applyEdits, modify } from "jsonc-parser";
import { bitsOf, type FloatDtype, isFloatDtype, toFloat32 } from "../base/dtype.ts";
import { badRequest, misfit, unsupported } from "../base/errors.ts";
import { isObject, type JsonObject } from "../base/json.ts";
import { showShape } from "../base/shape.ts";
import { type AdapterCheckpoint, plainTensorName } from "../checkpoint/adapterCheckpoint.ts";
import type { AdapterConfig } from "../checkpoint/adapterConfig.ts";
import type { TensorEntry } from "../safetensors/header.ts";
import { readTensors } from "../safetensors/read.ts";
import type { TensorData } from "../safetensors/write.ts";

/** Factors by their tensor's suffix: the axis of the rank, and whether the initial ones are negated. */
const factors: readonly { suffix: RegExp; axis: 0 | 1; sign: 1 | -1 }[] = [
  { suffix: /\.lora_A\.weight$/, axis: 0, sign: 1 },
  { suffix: /\.lora_B\.weight$/, axis: 1, sign: -1 },
  { suffix: /\.lora_embedding_A$/, axis: 0, sign: 1 },
  { suffix: /\.lora_embedding_B$/, axis: 1, sign: -1 },
];

/** Options under which twice the rank does not say what both adapters say. */
const entangled = [
  "target_parameters",
  "use_bdlora",
  "use_qalora",
  "alora_invocation_tokens",
  "kasa_config",
  "arrow_config",
];

/**
 * The tensors of the plain LoRA, all else as the adapter has it.
 * @param tensors the trained adapter's, under the names that they are saved with
 * @param initial the same adapter as it was before training
 */
export function plainLoraTensors(
  tensors: readonly TensorData[],
  { config }: AdapterCheckpoint,
  initial: AdapterCheckpoint,
): TensorData[] {
  checkConvertible(config, initial.config);
  const before = new Map(initial.weights.tensors.map((each) => [plainTensorName(each.name), each]));
  return tensors.map((tensor) => {
    const plain = plainTensorName(tensor.name);
    const factor = factors.find(({ suffix }) => suffix.test(plain));
    if (!factor) return tensor;
    const entry = before.get(plain);
    if (!entry) {
      throw misfit(
        t(
          '{0} has no "{1}", so it is not the start of this adapter.',
          initial.weights.file,
          tensor.name,
        ),
      );
    }
    return joined(tensor, entry, { ...factor, file: initial.weights.file });
  });
}

/** @throws unsupported as PEFT does, and where twice the rank would be another adapter */
function checkConvertible({ raw, peftType, file }: AdapterConfig, initial: AdapterConfig): void {
  for (const { peftType: type, file: own } of [{ peftType, file }, initial]) {
    if (type === "LORA") continue;
    throw unsupported(
      t("{0}: only LoRA adapters are converted with an initial adapter, this is {1}", own, type),
    );
  }
  const isSet = (field: string): boolean => hasContent(raw[field]);
  const pattern = ["rank_pattern", "alpha_pattern"].find(isSet);
  if (raw["use_rslora"] === true && pattern) {
    throw unsupported(
      t("{0}: an adapter with use_rslora and {1} cannot be converted, as in PEFT", file, pattern),
    );
  }
  const option = entangled.find(isSet);
  if (option) throw unsupported(t("{0}: an adapter with {1} cannot be converted", file, option));
}

function hasContent(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (isObject(value)) return Object.keys(value).length > 0;
  return value !== undefined && value !== null && value !== false;
}

function joined(
  tensor: TensorData,
  entry: TensorEntry,
  { axis, sign, file }: { axis: 0 | 1; sign: 1 | -1; file: string },
): TensorData {
  const { name, shape, dtype: own } = tensor;
  if (shape.length < 2 || shape.join() !== entry.shape.join()) {
    throw misfit(
      t(
        '{0}: "{1}" is {2}, the adapter\'s is {3}.',
        file,
        entry.name,
        showShape(entry.shape),
        showShape(shape),
      ),
    );
  }
  if (!isFloatDtype(own) || !isFloatDtype(entry.dtype)) {
    throw badRequest(t('"{0}" is no floating-point tensor.', name));
  }
  const dtype = own === entry.dtype ? own : "F32";
  const bytes = async (): Promise<Uint8Array> => {
    const trained = tensor.bytes instanceof Uint8Array ? tensor.bytes : await tensor.bytes();
    const [before] = await readTensors(file, [entry]);
    const start = inType(before as Uint8Array, entry.dtype as FloatDtype, dtype);
    const parts = [inType(trained, own, dtype), sign === 1 ? start : negated(start, dtype)];
    return interleaved(parts, axis === 0 ? 1 : (shape[0] as number));
  };
  const twice = shape.map((size, i) => (i === axis ? 2 * size : size));
  return { name, dtype, shape: twice, bytes };
}

function inType(bytes: Uint8Array, from: FloatDtype, to: FloatDtype): Uint8Array {
  if (from === to) return bytes;
  const values = toFloat32(bytes, from);
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** The same values with the other sign: the top bit of each, little-endian. */
function negated(bytes: Uint8Array, dtype: FloatDtype): Uint8Array {
  const size = bitsOf(dtype) / 8;
  const out = bytes.slice();
  for (let i = size - 1; i < out.length; i += size) out[i] = (out[i] as number) ^ 0x80;
  return out;
}

/** `rows` pieces of each part in turn: row 0 of all, row 1 of all, … */
function interleaved(parts: readonly Uint8Array[], rows: number): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (let row = 0; row < rows; row++) {
    for (const part of parts) {
      const length = part.length / rows;
      pieces.push(part.subarray(row * length, (row + 1) * length));
    }
  }
  return new Uint8Array(Buffer.concat(pieces));
}

/** The config for twice the rank at the same scaling, all else as it is; PEFT's save_pretrained. */
export function plainLoraConfig(text: string, { raw }: Pick<AdapterConfig, "raw">): string {
  const number = (field: string, fallback: number): number =>
    typeof raw[field] === "number" ? raw[field] : fallback;
  // alpha / √r stays what it was when alpha grows by √2.
  const growth = raw["use_rslora"] === true ? Math.SQRT2 : 2;
  const values: JsonObject = {
    init_lora_weights: true,
    r: 2 * number("r", 8),
    lora_alpha: growth * number("lora_alpha", 8),
  };
  let edited = text;
  for (const [field, value] of Object.entries(values)) edited = set(edited, [field], value);
  const patterns = { rank_pattern: 2, alpha_pattern: growth };
  for (const [field, factor] of Object.entries(patterns)) {
    const pattern = raw[field];
    for (const [key, value] of isObject(pattern) ? Object.entries(pattern) : []) {
      edited = set(edited, [field, key], factor * Number(value));
    }
  }
  return edited;
}

function set(text: string, place: string[], value: unknown): string {
  const formattingOptions = { insertSpaces: true, tabSize: 2 };
  return applyEdits(text, modify(text, place, value, { formattingOptions }));
}

/** A sentence where PEFT warns: the adapter's start was not taken out of the base. */
export function plainLoraWarning({ raw }: AdapterConfig): string | null {
  const init = String(raw["init_lora_weights"] ?? true).toLowerCase();
  if (/^(pissa|corda|olora|lora_ga|true)/.test(init)) return null;
  return t(
    'init_lora_weights is "{0}": only PiSSA, OLoRA, CorDA and LoRA-GA are converted with an initial adapter.',
    init,
  );
}
