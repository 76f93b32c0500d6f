/**
 * P-tuning (PEFT tuners/p_tuning/model.py): an MLP, or an LSTM and an MLP, makes the virtual tokens of
 * trained rows. The file has what they make; they themselves stay with the run's checkpoints.
 */
import { tokenEmbedding } from "../prompt/config.ts";
import { pTuning as method, type PTuningConfig } from "../prompt/pTuning.ts";
import { normal } from "./draws.ts";
import {
  type Linear,
  linear,
  linearTensors,
  linearValues,
  type Lstm,
  lstm,
  lstmTensors,
  lstmValues,
} from "./promptEncoder.ts";
import { type PromptContext, promptForm } from "./promptForm.ts";
import { beforeTokens, rowCount, rowFields } from "./promptRows.ts";
import { refuseField } from "./refuse.ts";

const rows = "embedding.weight";

interface Encoder {
  readonly lstm: Lstm | null;
  /** The MLP's layers, a ReLU between them. */
  readonly head: readonly Linear[];
}

function encoderOf({ config, base }: PromptContext<PTuningConfig>): Encoder {
  const { out: dim } = tokenEmbedding(base);
  const hidden = config.encoder_hidden_size ?? dim;
  const head = (...sizes: number[]): Linear[] =>
    sizes.slice(1).map((out, i) => ({ name: `mlp_head.${2 * i}`, in: sizes[i] as number, out }));
  if (config.encoder_reparameterization_type === "MLP") {
    return { lstm: null, head: head(dim, hidden, hidden, dim) };
  }
  const layers = config.encoder_num_layers;
  return {
    lstm: { name: "lstm_head", in: dim, hidden, layers },
    head: head(2 * hidden, 2 * hidden, dim),
  };
}

export const pTuning = promptForm<PTuningConfig>({
  method,
  predictsFirst: true,
  fields: (context) => ({
    ...rowFields(context),
    encoder_hidden_size: tokenEmbedding(context.base).out,
  }),
  check: ({ config, file }) => {
    const isDropping =
      config.encoder_reparameterization_type === "LSTM" && config.encoder_num_layers > 1;
    if (!isDropping || (config["encoder_dropout"] ?? 0) === 0) return;
    refuseField(file, "encoder_dropout", "P_TUNING");
  },
  tensors: (context) => {
    const { lstm: recurrent, head } = encoderOf(context);
    const shape = [rowCount(context), tokenEmbedding(context.base).out];
    return [
      { name: rows, shape, isTrained: true },
      ...(recurrent ? lstmTensors(recurrent) : []),
      ...head.flatMap(linearTensors),
    ];
  },
  initialize: (context, { random }) => {
    const { lstm: recurrent, head } = encoderOf(context);
    const { out: dim } = tokenEmbedding(context.base);
    return new Map([
      [rows, normal(random, [rowCount(context), dim])] as const,
      ...(recurrent ? lstmValues(random, recurrent) : []),
      ...head.flatMap((layer) => linearValues(random, layer)),
    ]);
  },
  make: (g, context, own) => {
    const { lstm: recurrent, head } = encoderOf(context);
    const steps = rowCount(context);
    const read = recurrent ? lstm(g, own(rows), { ...recurrent, steps, own }) : own(rows);
    return head.reduce((x, { name }, i) => linear(g, i === 0 ? x : g.relu(x), { name, own }), read);
  },
  hook: beforeTokens,
});
