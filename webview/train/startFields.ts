/** What a method's form begins with where PEFT's default is no value, or fits only some bases. Pure. */

/** The largest number up to a limit that divides all sizes of the base's layers; the limit while they are unknown. */
type Sized = (limit: number) => number;

const starts: Readonly<Record<string, (sized: Sized) => Readonly<Record<string, unknown>>>> = {
  ADALORA: () => ({ total_step: 1000 }),
  ADAPTION_PROMPT: () => ({ adapter_len: 10, adapter_layers: 4 }),
  C3A: (sized) => ({ block_size: sized(256) }),
  CARTRIDGE: () => ({ num_virtual_tokens: 64 }),
  MULTITASK_PROMPT_TUNING: () => ({ num_virtual_tokens: 20 }),
  OFT: (sized) => ({ r: 0, oft_block_size: sized(32) }),
  P_TUNING: () => ({ num_virtual_tokens: 20 }),
  PREFIX_TUNING: () => ({ num_virtual_tokens: 20 }),
  PROMPT_TUNING: () => ({ num_virtual_tokens: 20 }),
  ROAD: (sized) => ({ group_size: sized(64) }),
  VBLORA: (sized) => ({ vector_length: sized(256) }),
};

/** Fields that mean something else than in other methods: names of linear layers, OFT's number of blocks. */
const own: Readonly<Record<string, string>> = {
  ADAPTION_PROMPT: "target_modules",
  LN_TUNING: "target_modules",
  OFT: "r",
  TRAINABLE_TOKENS: "target_modules",
};

/** Is a field that another method has filled in kept for a method? */
export function isKept(peftType: string, field: string): boolean {
  return own[peftType] !== field;
}

/** Fields that a new config of a method has from the start. @param divisor of the sizes of all layers */
export function startFields(
  peftType: string,
  divisor: number | null,
): Readonly<Record<string, unknown>> {
  const sized: Sized = (limit) => {
    if (divisor === null) return limit;
    let size = Math.min(limit, divisor);
    while (divisor % size !== 0) size--;
    return size;
  };
  return starts[peftType]?.(sized) ?? {};
}
