/**
 * Rows of a table that are trained and take the place of the base's (PEFT tuners/trainable_tokens).
 * A head that is tied to the table has them as well.
 */
import { t } from "@vscode/l10n";
import { misfit } from "../../base/errors.ts";
import { weightName } from "../../checkpoint/modules.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import { onnxTypes, type Value } from "../../onnx/graph.ts";
import type { MethodBase } from "../method.ts";
import { type TableModule, tiedHeads, tokenTargets } from "../tokenRows.ts";
import type { TunerConfig } from "../tuner/config.ts";
import type { TunerPlan } from "../tuner/tuner.ts";
import { type ParameterInputs, peftPrefix } from "./parameters.ts";
import type { Parameter } from "./trainable.ts";

export interface TokenTable {
  readonly module: TableModule;
  readonly ids: readonly number[];
  /** Paths of heads that read the table the other way. */
  readonly heads: readonly string[];
  /** [ids, dim] */
  readonly parameter: Parameter;
}

/** A table with trained rows. @param suffix what the tensor is called behind the module's path */
export function tokenTable(
  { module, ids, suffix }: { module: TableModule; ids: readonly number[]; suffix: string },
  base: MethodBase,
  file: string,
): TokenTable {
  const [rows, width] =
    module.kind === "linear" ? [module.out, module.in] : [module.in, module.out];
  const beyond = ids.find((id) => id < 0 || id >= rows);
  if (beyond !== undefined) {
    throw misfit(
      t(
        "{0}: {1}: token {2} is not among the {3} that this base has.",
        file,
        module.path,
        beyond,
        rows,
      ),
    );
  }
  const heads = tiedHeads(module, base).map(({ path }) => path);
  return {
    module,
    ids,
    heads,
    parameter: {
      name: `${peftPrefix}${module.path}.${suffix}`,
      shape: [ids.length, width],
      isTrained: true,
      isStored: true,
      kind: "embedding",
      // Only the method of that name stores the rows once more, under the head.
      ...(suffix === "trainable_tokens_delta" && {
        copies: heads.map((path) => `${peftPrefix}${path}.${suffix}`),
      }),
    },
  };
}

/** The tables of `trainable_token_indices`, a field of LoRA. */
export function tokenTables({ config, base, file }: TunerPlan<TunerConfig>): TokenTable[] {
  const setting = "trainable_token_indices" in config ? config["trainable_token_indices"] : null;
  if (setting === null || setting === undefined) return [];
  const own = { trainable_token_indices: setting as number[] | Record<string, number[]> };
  return tokenTargets(own, base).map(({ module, name, ids }) => {
    if (module) {
      const suffix = "token_adapter.trainable_tokens_delta";
      return tokenTable({ module, ids, suffix }, base, file);
    }
    throw misfit(
      t(
        '{0}: field "trainable_token_indices" names {1}, which this base does not embed.',
        file,
        name,
      ),
    );
  });
}

/** They begin as the base's rows. */
export async function tokenValues(
  tables: readonly TokenTable[],
  base: MethodBase,
  signal?: AbortSignal,
): Promise<Map<string, Float32Array>> {
  const values = new Map<string, Float32Array>();
  for (const { module, ids, parameter } of tables) {
    const table = (await base.readTensor(weightName(module), signal)) ?? new Float32Array(0);
    const width = parameter.shape[1] ?? 0;
    const rows = new Float32Array(ids.length * width);
    ids.forEach((id, i) => rows.set(table.subarray(id * width, (id + 1) * width), i * width));
    values.set(parameter.name, rows);
  }
  return values;
}

/** Rows [batch, seq, dim] of a table with those of the trained tokens in their places. */
export function replacedRows(
  g: GraphBuilder,
  { ids, rows }: { ids: Value; rows: Value },
  { table, inputs }: { table: TokenTable; inputs: ParameterInputs },
): Value {
  const isToken = g.node("Equal", [g.unsqueeze(ids, -1), g.int64s(lastOf(table.ids))])[0];
  const chosen = g.cast(isToken, onnxTypes.float32);
  const [hits] = g.node("ReduceSum", [chosen, g.int64s([-1])]);
  const kept = g.mul(rows, g.sub(g.scalar(1), hits));
  return g.add(kept, g.matMul(chosen, inputs.in(g, table.parameter.name)));
}

/** Outputs [batch, rows, vocabulary] of a head with the columns of the trained tokens anew. */
export function replacedColumns(
  g: GraphBuilder,
  { x, y }: { x: Value; y: Value },
  at: { table: TokenTable; inputs: ParameterInputs; weight: () => Value },
): Value {
  const { table, inputs } = at;
  const old = g.gather(at.weight(), g.int64s(table.ids.map((id) => Math.max(id, 0))));
  const change = g.sub(inputs.in(g, table.parameter.name), old);
  const vocabulary = table.module.kind === "linear" ? table.module.out : table.module.in;
  const all = g.range(g.int64Scalar(0), g.int64Scalar(vocabulary));
  const own = g.unsqueeze(g.int64s(lastOf(table.ids)), 1);
  const places = g.cast(g.node("Equal", [own, g.unsqueeze(all, 0)])[0], onnxTypes.float32);
  return g.add(y, g.matMul(g.matMulTransposed(x, change), places));
}

/** Of a token named twice the last row counts; -1 is no token. */
function lastOf(ids: readonly number[]): number[] {
  return ids.map((id, i) => (ids.lastIndexOf(id) === i ? id : -1));
}
