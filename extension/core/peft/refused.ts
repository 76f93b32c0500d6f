/** Methods that Graft knows and does not run, by `peft_type`, and why. */
export const refused: Readonly<Record<string, string>> = {
  XLORA:
    "Its experts are weighted by a classifier that reads the hidden states of a second pass over " +
    "the bare base, which sessions do not have.",
};
