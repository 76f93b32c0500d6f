/**
 * AWQ checkpoints (https://arxiv.org/abs/2306.00978) in AutoAWQ's GEMM layout: `qweight` int32 [in,
 * out / 8] and `qzeros` int32 [groups, out / 8] with eight outputs in a word, `scales` [groups, out].
 * A word's halves of bytes are outputs 0, 2, 4, 6, 1, 3, 5, 7 from the lowest up.
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
import { readFloats, readWords, requireRef, type Weights } from "./int32Codes.ts";
import { fromWhole, type WeightSource } from "./weightSource.ts";

const fields = z.looseObject({
  bits: z.literal(4, t("Graft reads AWQ in 4 bits.")).optional(),
  w_bit: z.literal(4, t("Graft reads AWQ in 4 bits.")).optional(),
  group_size: z.int().optional(),
  q_group_size: z.int().optional(),
  version: z.string().nullish(),
  format: z.string().nullish(),
  backend: z.string().nullish(),
});

export interface AwqOptions {
  /** -1 is one group of all inputs. */
  readonly groupSize: number;
}

/** @throws unsupported for layouts other than GEMM, and for models with scaled activations */
export function awqOptions(config: ModelConfig, quantization: Record<string, unknown>): AwqOptions {
  const c = parseFields(fields, quantization, config.file);
  const version = (c.version ?? c.format ?? "gemm").toLowerCase();
  if (version !== "gemm") {
    throw unsupported(
      t(
        '{0}: the weights are AWQ in the layout "{1}", which Graft does not read',
        config.file,
        version,
      ),
      t('It reads "gemm".'),
    );
  }
  const groupSize = c.group_size ?? c.q_group_size ?? 128;
  if (groupSize > 0 || groupSize === -1) return { groupSize };
  throw badFile(config.file, t('field "group_size" is {0}', groupSize));
}

const places = [0, 2, 4, 6, 1, 3, 5, 7];

/** The layer whose tensors begin with `path`. */
export async function awqSource(
  weights: Weights,
  path: string,
  at: { options: AwqOptions; signal?: AbortSignal | undefined },
): Promise<WeightSource> {
  const qweight = weights.get(`${path}.qweight`);
  if (!qweight) throw badFile(path, t("has no qweight"));
  const part = (name: string): ReturnType<typeof requireRef> =>
    requireRef(weights, `${path}.${name}`, qweight);
  const [columns = 0, words = 0] = qweight.shape;
  const out = words * 8;
  const groupSize = at.options.groupSize === -1 ? columns : at.options.groupSize;
  const groups = Math.ceil(columns / groupSize);
  const groupOf = Array.from({ length: columns }, (_, i) => Math.floor(i / groupSize));
  const scales = part("scales");
  const zeros = unpackRows(await readWords(part("qzeros"), [groups, words], at.signal), words);
  const read = async (signal?: AbortSignal): Promise<GroupedCodes> => {
    const stored = unpackRows(await readWords(qweight, [columns, words], signal), words);
    return {
      out,
      in: columns,
      codes: turned(stored, columns, out),
      scales: await readFloats(scales, { shape: [groups, out], signal }),
      zeros,
      groupOf,
    };
  };
  const order = blocksOfGroups(groupOf, { groupSize, bits: 4 });
  const hasZeroPoints = zeros.some((zero) => zero !== 8);
  return {
    out,
    in: columns,
    dtype: "F32",
    bytes: qweight.byteLength,
    rows: fromWhole(async (signal) => groupedValues(await read(signal)), out, columns),
    ...(order && { lossless: losslessGroups(order, { hasZeroPoints, read }) }),
  };
}

/** [rows, 8 · words] of [rows, words]. */
function unpackRows(packed: Int32Array, words: number): Uint8Array {
  const codes = new Uint8Array(packed.length * 8);
  for (let i = 0; i < packed.length; i++) {
    const word = packed[i] as number;
    const start = Math.floor(i / words) * words * 8 + (i % words) * 8;
    for (let half = 0; half < 8; half++) {
      codes[start + (places[half] as number)] = (word >>> (4 * half)) & 15;
    }
  }
  return codes;
}

function turned(codes: Uint8Array, rows: number, columns: number): Uint8Array {
  const out = new Uint8Array(codes.length);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) out[j * rows + i] = codes[i * columns + j] as number;
  }
  return out;
}
