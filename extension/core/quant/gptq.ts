/**
 * GPTQ checkpoints (https://arxiv.org/abs/2210.17323) as AutoGPTQ and GPTQModel write them: `qweight`
 * int32 [in · bits / 32, out] packed along the inputs, `qzeros` int32 [groups, out · bits / 32] packed
 * along the outputs, `scales` [groups, out], and `g_idx` int32 [in], the group of each input, which is
 * not in order after `desc_act`. The format "gptq" keeps zero points less one, "gptq_v2" as they are.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { badFile, unsupported } from "../base/errors.ts";
import { parseFields } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import {
  blocksOfGroups,
  type GroupedCodes,
  groupedValues,
  losslessGroups,
} from "./groupedCodes.ts";
import { readCodes, readFloats, readWords, requireRef, type Weights } from "./int32Codes.ts";
import { fromWhole, type WeightSource } from "./weightSource.ts";

const fields = z.looseObject({
  bits: z.union([z.literal(2), z.literal(3), z.literal(4), z.literal(8)]),
  group_size: z.int().refine((size) => size === -1 || size > 0, t("It must be -1 or positive.")),
  checkpoint_format: z.string().nullish(),
  format: z.string().nullish(),
});

export interface GptqOptions {
  readonly bits: 2 | 3 | 4 | 8;
  /** -1 is one group of all inputs. */
  readonly groupSize: number;
  /** Zero points are stored less one. */
  readonly isFirstFormat: boolean;
}

/** @throws unsupported for formats that are made for one kernel (Marlin and others) */
export function gptqOptions(
  config: ModelConfig,
  quantization: Record<string, unknown>,
): GptqOptions {
  const c = parseFields(fields, quantization, config.file);
  const format = (c.checkpoint_format ?? c.format ?? "gptq").toLowerCase();
  if (format !== "gptq" && format !== "gptq_v2") {
    throw unsupported(
      t(
        '{0}: the weights are GPTQ in the format "{1}", which Graft does not read',
        config.file,
        format,
      ),
      t('It reads "gptq" and "gptq_v2".'),
    );
  }
  return { bits: c.bits, groupSize: c.group_size, isFirstFormat: format === "gptq" };
}

/** The layer whose tensors begin with `path`. */
export async function gptqSource(
  weights: Weights,
  path: string,
  at: { options: GptqOptions; signal?: AbortSignal | undefined },
): Promise<WeightSource> {
  const { bits } = at.options;
  const qweight = weights.get(`${path}.qweight`);
  if (!qweight) throw badFile(path, t("has no qweight"));
  const part = (name: string): ReturnType<typeof requireRef> =>
    requireRef(weights, `${path}.${name}`, qweight);
  const [packedIn = 0, out = 0] = qweight.shape;
  const columns = (packedIn * 32) / bits;
  const groupSize = at.options.groupSize === -1 ? columns : at.options.groupSize;
  const groups = Math.ceil(columns / groupSize);
  const groupOf = await groupsOf(weights, path, { columns, groups, groupSize, signal: at.signal });
  const scales = part("scales");
  const zeros = await readZeros(part("qzeros"), { ...at, groups, out });
  const read = async (signal?: AbortSignal): Promise<GroupedCodes> => ({
    out,
    in: columns,
    codes: unpackColumns(await readWords(qweight, [packedIn, out], signal), { out, columns, bits }),
    scales: await readFloats(scales, { shape: [groups, out], signal }),
    zeros,
    groupOf,
  });
  const order = blocksOfGroups(groupOf, { groupSize, bits });
  const middle = bits === 8 ? 128 : 8;
  const hasZeroPoints = zeros.some((zero) => zero !== middle);
  return {
    out,
    in: columns,
    dtype: "F32",
    bytes: qweight.byteLength,
    rows: fromWhole(async (signal) => groupedValues(await read(signal)), out, columns),
    ...(order && { lossless: losslessGroups(order, { hasZeroPoints, read }) }),
  };
}

async function groupsOf(
  weights: Weights,
  path: string,
  at: { columns: number; groups: number; groupSize: number; signal?: AbortSignal | undefined },
): Promise<ArrayLike<number>> {
  const index = weights.get(`${path}.g_idx`);
  if (!index) return Array.from({ length: at.columns }, (_, i) => Math.floor(i / at.groupSize));
  const groupOf = await readWords(index, [at.columns], at.signal);
  const wrong = groupOf.find((group) => group < 0 || group >= at.groups);
  if (wrong === undefined) return groupOf;
  throw badFile(index.file, t('tensor "{0}" names group {1} of {2}', index.name, wrong, at.groups));
}

async function readZeros(
  ref: ReturnType<typeof requireRef>,
  at: { options: GptqOptions; groups: number; out: number; signal?: AbortSignal | undefined },
): Promise<Uint8Array> {
  const { groups, out } = at;
  const { bits, isFirstFormat } = at.options;
  const rowWords = (out * bits) / 32;
  const words = await readWords(ref, [groups, rowWords], at.signal);
  const zeros = new Uint8Array(groups * out);
  const mask = (1 << bits) - 1;
  for (let group = 0; group < groups; group++) {
    const start = group * rowWords;
    readCodes(words, { start, stride: 1, bits, count: out }, (i, zero) => {
      zeros[group * out + i] = isFirstFormat ? (zero + 1) & mask : zero;
    });
  }
  return zeros;
}

function unpackColumns(
  words: Int32Array,
  { out, columns, bits }: { out: number; columns: number; bits: number },
): Uint8Array {
  const codes = new Uint8Array(out * columns);
  for (let row = 0; row < out; row++) {
    readCodes(words, { start: row, stride: out, bits, count: columns }, (i, code) => {
      codes[row * columns + i] = code;
    });
  }
  return codes;
}
