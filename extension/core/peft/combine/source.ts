/** What a combination reads of each adapter, and what it copies as it is. */
import { t } from "@vscode/l10n";
import { applyEdits, modify } from "jsonc-parser";
import { type FloatDtype, isFloatDtype } from "../../base/dtype.ts";
import { badRequest, misfit } from "../../base/errors.ts";
import { fromFloat32 } from "../../base/halfFloat.ts";
import { type AdapterCheckpoint, plainTensorName } from "../../checkpoint/adapterCheckpoint.ts";
import type { TensorEntry } from "../../safetensors/header.ts";
import { readFloat32, readTensors } from "../../safetensors/read.ts";
import type { TensorData } from "../../safetensors/write.ts";
import type { MethodBase } from "../method.ts";

/** An adapter that takes part, and with what factor. */
export interface CombineSource {
  /** For messages. */
  readonly name: string;
  readonly weight: number;
  readonly checkpoint: AdapterCheckpoint;
}

/** What a combination may need of the base: the order of its modules, its weights. */
export type CombineBase = Pick<MethodBase, "tree" | "readTensor">;

/** A new adapter, ready to be written. */
export interface CombinedAdapter {
  readonly tensors: readonly TensorData[];
  readonly configText: string;
  readonly warnings: readonly string[];
}

/** A source with its values in memory. */
export interface OpenSource extends CombineSource {
  /** fp32 values by module path and suffix. */
  readonly modules: ReadonlyMap<string, ReadonlyMap<string, StoredValues>>;
  /** Tensors of whole parameters by plain name. */
  readonly others: ReadonlyMap<string, TensorEntry>;
}

export interface StoredValues {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** Reads an adapter's tensors; `suffixes` are those that belong to a module of the method. */
export async function openSource(
  source: CombineSource,
  suffixes: readonly string[],
  signal?: AbortSignal,
): Promise<OpenSource> {
  const { file, tensors } = source.checkpoint.weights;
  const modules = new Map<string, Map<string, StoredValues>>();
  const others = new Map<string, TensorEntry>();
  const suffixOf = (name: string): string | undefined =>
    suffixes.find((each) => plainTensorName(name).endsWith(`.${each}`));
  const own = tensors.filter(({ name }) => suffixOf(name) !== undefined);
  const values = await readFloat32(file, own, signal);
  for (const entry of tensors) {
    const plain = plainTensorName(entry.name);
    const suffix = suffixOf(entry.name);
    if (suffix === undefined) {
      others.set(plain, entry);
      continue;
    }
    const path = plain.slice(0, -suffix.length - 1);
    const stored = modules.get(path) ?? new Map<string, StoredValues>();
    const { shape } = entry;
    stored.set(suffix, { shape, values: values.get(entry.name) as Float32Array });
    modules.set(path, stored);
  }
  return { ...source, modules, others };
}

/**
 * A list or a regex that targets what any of the adapters targets. A family's default and
 * "all-linear", which PEFT expands before it saves, become the modules that the file has.
 */
export function joinedTargets(sources: readonly OpenSource[], field: string): string | string[] {
  const own = sources.map(({ checkpoint: { config }, modules }) => {
    const value = config.raw[field] as string | string[] | null | undefined;
    if (field === "target_modules" && (value ?? "all-linear") === "all-linear") {
      return [...modules.keys()];
    }
    return value ?? [];
  });
  if (own.every((value) => typeof value === "string")) {
    return own.map((value) => `(${value})`).join("|");
  }
  if (own.some((value) => typeof value === "string")) {
    throw badRequest(
      t('Adapters cannot be combined when "{0}" is a regex in some and a list in others.', field),
    );
  }
  return [...new Set(own.flat())].sort();
}

/** The config of the first adapter with some fields changed; every other one stays as it came. */
export function changedConfig(
  [first]: readonly CombineSource[],
  fields: Readonly<Record<string, unknown>>,
): string {
  const formattingOptions = { insertSpaces: true, tabSize: 2 };
  let text = first?.checkpoint.config.text ?? "{}";
  for (const [field, value] of Object.entries({ ...fields, inference_mode: true })) {
    text = applyEdits(text, modify(text, [field], value, { formattingOptions }));
  }
  return text;
}

/**
 * Whole parameters of the new adapter. PEFT does not mix `modules_to_save`: the new adapter gets
 * copies of the base's own for those that the first one's config names.
 * @throws bad-request when two adapters bring the same one
 */
export async function wholeTensors(
  sources: readonly OpenSource[],
  { base, signal }: { base?: CombineBase | undefined; signal?: AbortSignal | undefined },
): Promise<{ tensors: TensorData[]; warnings: string[] }> {
  const tensors = new Map<string, TensorData>();
  const owners = new Map<string, string>();
  const lost: string[] = [];
  for (const [i, source] of sources.entries()) {
    for (const [plain, entry] of source.others) {
      if (!isSavedWhole(source, plain)) {
        tensors.set(plain, await copied(source, entry, signal));
        continue;
      }
      const owner = owners.get(plain);
      if (owner !== undefined) {
        throw badRequest(
          t(
            '"{0}" and "{1}" both save {2} whole (modules_to_save). Such modules cannot be combined.',
            owner,
            source.name,
            plain,
          ),
        );
      }
      owners.set(plain, source.name);
      lost.push(plain);
      if (i === 0) tensors.set(plain, await ofBase(source, entry, { plain, base, signal }));
    }
  }
  const warnings =
    lost.length === 0
      ? []
      : [t("Modules saved whole are not combined; the base's count: {0}.", lost.join(", "))];
  return { tensors: [...tensors.values()], warnings };
}

function isSavedWhole({ checkpoint }: OpenSource, plain: string): boolean {
  const names = checkpoint.config.raw["modules_to_save"];
  const path = `.${plain}`;
  return Array.isArray(names) && names.some((name) => path.includes(`.${String(name)}.`));
}

async function copied(
  { checkpoint }: OpenSource,
  entry: TensorEntry,
  signal?: AbortSignal,
): Promise<TensorData> {
  const [bytes] = await readTensors(checkpoint.weights.file, [entry], signal);
  const name = `base_model.model.${plainTensorName(entry.name)}`;
  return { name, dtype: entry.dtype, shape: entry.shape, bytes: bytes as Uint8Array };
}

async function ofBase(
  { name: adapter }: OpenSource,
  { dtype, shape }: TensorEntry,
  at: { plain: string; base?: CombineBase | undefined; signal?: AbortSignal | undefined },
): Promise<TensorData> {
  if (!at.base) {
    throw badRequest(
      t(
        '"{0}" saves {1} whole; the combination takes the base\'s. Name the base.',
        adapter,
        at.plain,
      ),
    );
  }
  const values = await at.base.readTensor(at.plain, at.signal);
  if (!values)
    throw misfit(t('The base has no tensor "{0}", which "{1}" saves whole.', at.plain, adapter));
  const type: FloatDtype = isFloatDtype(dtype) ? dtype : "F32";
  const name = `base_model.model.${at.plain}`;
  return { name, dtype: type, shape, bytes: fromFloat32(values, type) };
}
