/**
 * Prefix tuning (PEFT tuners/prefix_tuning/model.py): trained keys and values, not rotated, stand where
 * those of as many placeholders before the sequence would. Of a layer the keys come first. A projection,
 * `Linear, tanh, Linear` of trained rows, may make them; the file has what it made.
 */
import { prefixTuning as method, type PrefixConfig } from "../prompt/prefixTuning.ts";
import { storedPrompt } from "../prompt/virtualTokens.ts";
import { beforeMemory, cacheFields, keyWidth, requireMemory, tokenWidth } from "./cachePrefix.ts";
import { normal, zeros } from "./draws.ts";
import { type Linear, linear, linearTensors, linearValues } from "./promptEncoder.ts";
import { type PromptContext, promptForm } from "./promptForm.ts";
import type { TrainableMethod } from "./trainable.ts";

const rows = "embedding.weight";

const plain = promptForm<PrefixConfig>({
  method,
  predictsFirst: false,
  check: requireMemory,
  fields: (context) => ({ ...cacheFields(context), encoder_hidden_size: keyWidth(context) }),
  tensors: (context) => [
    { name: rows, stored: storedPrompt, shape: shapeOf(context), isTrained: true },
  ],
  initialize: (context, { random }) => {
    const drawn = normal(random, shapeOf(context));
    const isZero = context.config.init_weights === "zero";
    return new Map([[storedPrompt, isZero ? zeros(shapeOf(context)) : drawn]]);
  },
  hook: beforeMemory,
});

function shapeOf(context: PromptContext<PrefixConfig>): [number, number] {
  return [context.config.num_virtual_tokens, tokenWidth(context)];
}

function transform(context: PromptContext<PrefixConfig>): [Linear, Linear] {
  const width = keyWidth(context);
  const hidden = context.config.encoder_hidden_size ?? width;
  return [
    { name: "transform.0", in: width, out: hidden },
    { name: "transform.2", in: hidden, out: tokenWidth(context) },
  ];
}

const projected = promptForm<PrefixConfig>({
  method,
  predictsFirst: false,
  check: requireMemory,
  fields: (context) => ({ ...cacheFields(context), encoder_hidden_size: keyWidth(context) }),
  tensors: (context) => [
    { name: rows, shape: [context.config.num_virtual_tokens, keyWidth(context)], isTrained: true },
    ...transform(context).flatMap(linearTensors),
  ],
  initialize: (context, { random }) => {
    const { num_virtual_tokens: count, init_weights: init } = context.config;
    const drawn = normal(random, [count, keyWidth(context)]);
    const [first, last] = transform(context);
    const values = new Map([[rows, drawn], ...linearValues(random, first)]);
    for (const [name, value] of linearValues(random, last)) {
      values.set(name, init === "zero" ? value.fill(0) : value);
    }
    return values;
  },
  make: (g, context, own) => {
    const [first, last] = transform(context);
    const inner = g.tanh(linear(g, own(rows), { name: first.name, own }));
    return linear(g, inner, { name: last.name, own });
  },
  hook: beforeMemory,
});

/** The form that a config asks for. */
export const prefixTuning: TrainableMethod = {
  peftType: method.peftType,
  prepare: (config, base) => formOf(config.raw).prepare(config, base),
  initialize: (adapter, base, options) =>
    formOf(adapter.config.raw).initialize(adapter, base, options),
};

function formOf(raw: Readonly<Record<string, unknown>>): TrainableMethod {
  return raw["prefix_projection"] === true ? projected : plain;
}
