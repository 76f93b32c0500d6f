import { t } from "@vscode/l10n";
import { unsupported } from "../../base/errors.ts";
import { isReadableDtype } from "../../base/dtype.ts";
import { isSameShape, showShape } from "../../base/shape.ts";
import { type AdapterCheckpoint, plainTensorName } from "../../checkpoint/adapterCheckpoint.ts";
import { isVocabulary } from "../../checkpoint/modules.ts";
import type { TensorEntry } from "../../safetensors/header.ts";
import type { MethodBase } from "../method.ts";
import { namesSome } from "../names.ts";
import { shapeMisfit } from "../tuner/shapeMisfit.ts";
import { floats, readEntries, tensorsOf, type Values } from "../tuner/tensors.ts";
import { wholeShape } from "../tuner/wholeParameters.ts";
import { trainableMethodOf } from "./index.ts";
import type { Parameter, ParameterValues, TrainableAdapter } from "./trainable.ts";

/** A saved adapter's values, and what PEFT would decide in silence. */
export interface StoredValues {
  readonly values: ParameterValues;
  readonly warnings: readonly string[];
}

/**
 * What a saved adapter's training goes on from: its tensors by PEFT's names; what the file lacks stays
 * as it begins, as in PEFT.
 * @throws misfit where a shape is another, unsupported where the file's vocabulary is
 */
export async function storedValues(
  adapter: TrainableAdapter,
  checkpoint: AdapterCheckpoint,
  at: { initial: ParameterValues; base: MethodBase; signal?: AbortSignal | undefined },
): Promise<StoredValues> {
  const { initial, base, signal } = at;
  const { parameters, config } = adapter;
  const { file, tensors } = checkpoint.weights;
  const method = trainableMethodOf(config);
  const arranged = method.arrange?.(tensors, base, file) ?? tensors;
  const byName = new Map(arranged.map((entry) => [plainTensorName(entry.name), entry]));
  const found = parameters.flatMap((parameter) => {
    const entry = parameter.isStored && byName.get(plainTensorName(parameter.name));
    return entry ? [{ parameter, entry }] : [];
  });
  for (const { parameter, entry } of found) {
    if (isSameShape(parameter.shape, entry.shape)) continue;
    throw shapeMisfit(checkpoint, { name: parameter.name, entry, wanted: parameter.shape });
  }
  const taken = new Set(found.map(({ entry }) => entry));
  const rest = arranged.filter((entry) => !taken.has(entry));
  checkVocabulary(rest, { base, file });
  const own = await readEntries([...taken], file, signal);
  const values = new Map(initial);
  for (const { parameter, entry } of found) values.set(parameter.name, numbers(own, entry, file));
  const derived = (await method.derive?.(adapter, base, values)) ?? [];
  for (const [name, value] of derived) values.set(name, value);
  return { values, warnings: warningsOf(parameters, { found, rest, base }) };
}

/** A tensor's numbers: places are whole numbers in files of PEFT's. */
function numbers(values: Values, entry: TensorEntry, file: string): Float32Array {
  if (isReadableDtype(entry.dtype)) return floats(values, entry, file);
  const { name } = entry;
  return Float32Array.from(tensorsOf(new Map([[name, entry]]), values, file).integers(name));
}

/** A table of another size than the base's is one that was resized before training. */
function checkVocabulary(
  rest: readonly TensorEntry[],
  { base: { tree }, file }: { base: MethodBase; file: string },
): void {
  for (const { name, shape } of rest) {
    const path = tablePath(name);
    const module = tree.modules.find((each) => each.path === path);
    if (!module || !isVocabulary(module, tree)) continue;
    const wanted = wholeShape(module, "weight");
    if (isSameShape(shape, wanted)) continue;
    throw unsupported(
      t(
        '{0}: "{1}" is {2}, this base has {3}: Graft does not train on a vocabulary that was resized',
        file,
        name,
        showShape(shape),
        showShape(wanted),
      ),
      t("Resize the base, save it, and train on that."),
    );
  }
}

/** The module whose table PEFT saved beside an adapter. */
function tablePath(name: string): string {
  return plainTensorName(name).replace(/(?:\.base_layer)?\.weight$/, "");
}

function warningsOf(
  parameters: readonly Parameter[],
  at: {
    found: readonly { parameter: Parameter }[];
    rest: readonly TensorEntry[];
    base: MethodBase;
  },
): string[] {
  const { tree } = at.base;
  const there = new Set(at.found.map(({ parameter }) => parameter.name));
  const absent = parameters.filter(({ isStored, name }) => isStored && !there.has(name));
  const copies = new Set(parameters.flatMap(({ copies: own = [] }) => own));
  const strangers = at.rest.filter(({ name }) => {
    const module = tree.modules.find(({ path }) => path === tablePath(name));
    return !copies.has(name) && !(module && isVocabulary(module, tree));
  });
  return [
    ...(absent.length === 0
      ? []
      : [
          t(
            "The file lacks {0} of {1} tensors ({2}): they begin as in a new adapter.",
            absent.length,
            parameters.length,
            namesSome(absent.map(({ name }) => name)),
          ),
        ]),
    ...(strangers.length === 0
      ? []
      : [
          t(
            "The file has tensors that nothing is trained of: {0}.",
            namesSome(strangers.map(({ name }) => name)),
          ),
        ]),
  ];
}
