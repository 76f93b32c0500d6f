import type { ModuleInfo } from "../checkpoint/modules.ts";

/**
 * Factor on rows that a method adds behind an embedding's scale, where rows are added before it:
 * PEFT's HiRA and TinyLoRA do not know that scale, its LoRA does (`_get_embed_scale`).
 */
export function behindScale(module: ModuleInfo): number {
  return module.kind === "embedding" ? 1 / (module.scale ?? 1) : 1;
}
