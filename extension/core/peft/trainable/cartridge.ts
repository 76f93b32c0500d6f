/**
 * Cartridge (PEFT tuners/cartridge/model.py): a prefix of keys and values whose first tokens stay as they
 * begin. PEFT draws it; its examples begin with what the base remembers of a text.
 */
import { cartridge as method, type CartridgeConfig } from "../prompt/prefixTuning.ts";
import { beforeMemory, cacheFields, requireMemory, tokenWidth } from "./cachePrefix.ts";
import { normal } from "./draws.ts";
import { type PromptContext, promptForm, type PromptTensor } from "./promptForm.ts";

/** The frozen tokens, where there are some, and the trained ones. */
function parts(context: PromptContext<CartridgeConfig>): PromptTensor[] {
  const { num_virtual_tokens: count, num_frozen_tokens: frozen } = context.config;
  const width = tokenWidth(context);
  const trained = { name: "trainable_embedding", shape: [count - frozen, width], isTrained: true };
  if (frozen === 0) return [trained];
  return [{ name: "frozen_embedding", shape: [frozen, width], isTrained: false }, trained];
}

export const cartridge = promptForm<CartridgeConfig>({
  method,
  predictsFirst: false,
  check: requireMemory,
  fields: cacheFields,
  tensors: parts,
  initialize: (context, { random }) =>
    new Map(parts(context).map(({ name, shape }) => [name, normal(random, shape)] as const)),
  make: (g, context, own) =>
    g.concat(
      parts(context).map(({ name }) => own(name)),
      0,
    ),
  hook: beforeMemory,
});
