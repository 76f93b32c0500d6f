/**
 * CPT, context-aware prompt tuning (PEFT tuners/cpt/model.py): examples as virtual tokens, each of which
 * may move a bounded way from its embedding; what the examples answer is learned as well.
 */
import { tokenEmbedding } from "../prompt/config.ts";
import { cpt as method, type CptConfig } from "../prompt/cpt.ts";
import { zeros } from "./draws.ts";
import { type PromptContext, promptForm } from "./promptForm.ts";
import { beforeTokens, rowFields, tableRows } from "./promptRows.ts";
import type { ParameterValues, VirtualLabel } from "./trainable.ts";

const [rows, moves] = ["embedding.weight", "delta_embedding.weight"] as const;

/** Per token: 4 n + 1 the input's template, + 2 the input, + 3 the answer's template, 4 n + 4 the answer; 0 for none. */
function typesOf({ config }: PromptContext<CptConfig>): readonly number[] {
  return config.cpt_tokens_type_mask ?? config.cpt_token_ids.map(() => 1);
}

/** How far each token may be moved (get_epsilon): 0 stands for 1e-10. */
function bounds(context: PromptContext<CptConfig>): number[] {
  const { opt_projection_epsilon: input, opt_projection_format_epsilon: format } = context.config;
  const scale = Math.fround(Math.sqrt(tokenEmbedding(context.base).out / 2048));
  return typesOf(context).map((type) => {
    if (type <= 0 || type % 4 === 0) return 1e-10;
    return Math.fround((type % 4 === 2 ? input : format) * scale);
  });
}

/** Answers of the examples are labels; with "decay" those of earlier examples count less (calculate_loss). */
function labelsOf(context: PromptContext<CptConfig>): VirtualLabel[] {
  const { config } = context;
  const types = typesOf(context);
  const isAnswer = (type: number): boolean => type > 0 && type % 4 === 0;
  const { opt_loss_decay_factor: factor, opt_weighted_loss_type: weighted } = config;
  // The text that follows counts whole; before the first token nothing is predicted.
  const examples = [...new Set(types.slice(1).filter(isAnswer))].sort((a, b) => b - a);
  const weightOf = (type: number): number =>
    weighted === "decay" ? factor ** (examples.indexOf(type) + 1) : 1;
  return types.map((type, i) =>
    isAnswer(type)
      ? { label: config.cpt_token_ids[i] as number, weight: weightOf(type) }
      : { label: -100, weight: 1 },
  );
}

/** Moves longer than their bound are cut to it (get_projection). */
function settled(context: PromptContext<CptConfig>, values: ParameterValues): ParameterValues {
  const { out: hidden } = tokenEmbedding(context.base);
  const own = (values.get(moves) as Float32Array).slice();
  for (const [token, bound] of bounds(context).entries()) {
    const row = own.subarray(token * hidden, (token + 1) * hidden);
    const norm = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
    if (norm > bound) row.forEach((value, i) => (row[i] = value * (bound / norm)));
  }
  return new Map([[moves, own]]);
}

export const cpt = promptForm<CptConfig>({
  method,
  predictsFirst: true,
  fields: (context) => ({
    ...rowFields(context),
    num_virtual_tokens: context.config.cpt_token_ids.length,
  }),
  tensors: ({ config, base }) => {
    const shape = [config.cpt_token_ids.length, tokenEmbedding(base).out];
    return [
      { name: rows, shape, isTrained: false },
      { name: moves, shape, isTrained: true },
    ];
  },
  initialize: async (context) => {
    const { config, base } = context;
    const own = await tableRows(context, config.cpt_token_ids);
    const { out: hidden } = tokenEmbedding(base);
    return new Map([
      [rows, own],
      [moves, zeros([config.cpt_token_ids.length, hidden])],
    ]);
  },
  settle: settled,
  virtualLabels: labelsOf,
  make: (g, context, own) => {
    // Of answers nothing is moved.
    const isMoved = Float32Array.from(typesOf(context), (type) => (type % 4 === 0 ? 0 : 1));
    const mask = g.float32s("cpt.moved", isMoved, [isMoved.length, 1]);
    return g.add(own(rows), g.mul(own(moves), mask));
  },
  hook: beforeTokens,
});
