/** Methods that Graft knows and does not run, by `peft_type`, and why. */
export const refused: Readonly<Record<string, string>> = {};
