/** A PEFT adapter of factors that came from another format. */
import { t } from "@vscode/l10n";
import { misfit } from "../../base/errors.ts";
import type { Factors } from "../combine/factors.ts";
import type { suffixes } from "../combine/loraParts.ts";
import type { ModuleTree } from "../../checkpoint/modules.ts";
import {
  type ConvertedAdapter,
  factorTensors,
  loraConfigText,
  scaleFields,
  targetNames,
} from "./converted.ts";
import { squaredNorm } from "./plainFactors.ts";

export interface ImportedModule {
  readonly path: string;
  readonly kind: keyof typeof suffixes;
  readonly alpha: number;
  readonly factors: Factors;
}

/** What is known of the base that an imported adapter is for. */
export interface ImportBase {
  /** As `base_model_name_or_path` is to have it. */
  readonly name: string;
  readonly tree: ModuleTree;
}

/**
 * Makes the tensors and the config.
 * @throws misfit when the base has no such module
 */
export function importedAdapter(
  modules: readonly ImportedModule[],
  {
    base,
    file,
    invocation = [],
  }: { base: ImportBase | null; file: string; invocation?: readonly number[] },
): ConvertedAdapter {
  if (modules.length === 0) throw misfit(t("{0} holds no factors of a LoRA.", file));
  for (const module of modules) checkModule(module, base, file);
  const scales = new Map(
    modules.map(({ path, alpha, factors: { rank } }) => [path, { rank, alpha }]),
  );
  const paths = modules.map(({ path }) => path);
  return {
    tensors: modules.flatMap(({ path, kind, factors }) => factorTensors(path, kind, factors)),
    configText: loraConfigText({
      base_model_name_or_path: base?.name ?? null,
      task_type: "CAUSAL_LM",
      target_modules: targetNames(paths, base?.tree ?? null),
      ...(invocation.length > 0 && { alora_invocation_tokens: invocation }),
      ...scaleFields(scales),
    }),
    modules: modules.map(({ path, factors }) => ({
      path,
      rank: factors.rank,
      total: squaredNorm(factors),
      lost: 0,
    })),
    warnings: base
      ? []
      : [t("The file does not name its base; name it to have the modules checked against it.")],
  };
}

function checkModule(
  { path, factors: { inputs, out } }: ImportedModule,
  base: ImportBase | null,
  file: string,
): void {
  if (!base) return;
  const module = base.tree.modules.find((each) => each.path === path);
  if (module && module.kind !== "norm" && module.in === inputs && module.out === out) return;
  const own = !module
    ? t("does not have")
    : t("has as {0} × {1}", module.out, module.kind === "norm" ? 1 : module.in);
  throw misfit(
    t("{0} has factors of {1}, {2} × {3}, which this base {4}.", file, path, out, inputs, own),
    {
      file,
      module: path,
    },
  );
}
