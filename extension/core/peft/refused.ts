/** Methods that Graft knows and does not run, by `peft_type`, and why. */
export const refused: Readonly<Record<string, string>> = {
  XLORA:
    "Its experts are weighted by a classifier that reads the hidden states of a second pass over " +
    "the bare base, which sessions do not have.",
  SHADOW:
    "It runs a decoder of its own, with a cache of its own, beside the base and joins the two " +
    "between layers; adapters here act on the base's layers.",
};
