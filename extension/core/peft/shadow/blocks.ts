/** Which blocks of a base a Shadow adapter is joined to, and what it has of each. */
import { t } from "@vscode/l10n";
import { misfit, unsupported } from "../../base/errors.ts";
import type { Shape } from "../../base/shape.ts";
import { containerPaths } from "../../checkpoint/modules.ts";
import { pathMatcher } from "../../checkpoint/targets.ts";
import type { MethodBase } from "../method.ts";
import type { ShadowConfig } from "./shadowConfig.ts";

/** Size of a base's stream: its embedding's rows. */
export function hiddenSize({ tree }: MethodBase): number {
  return tree.modules.find(({ kind }) => kind === "embedding")?.out ?? 0;
}

/**
 * Paths of the chosen blocks in the model's order, all where the config names none.
 * @throws unsupported for parts of blocks, or blocks with others between them
 */
export function chosenBlocks(config: ShadowConfig, base: MethodBase, file: string): string[] {
  const containers = [...containerPaths(base.tree)];
  const all = containers
    .filter((path) => /\.\d+$/.test(path))
    .sort((a, b) => indexOf(a) - indexOf(b));
  if (config.target_modules === null) return all;
  const isTarget = pathMatcher(base.tree, {
    file,
    targetModules: config.target_modules,
    excludeModules: config.exclude_modules,
    layersToTransform: config.layers_to_transform,
    layersPattern: config.layers_pattern,
    modulesToSave: config.modules_to_save,
  });
  const part = [...containers, ...base.tree.modules.map(({ path }) => path)].find(
    (path) => !all.includes(path) && isTarget(path),
  );
  if (part !== undefined) {
    throw unsupported(
      t('{0}: field "target_modules" chooses {1}; Graft joins Shadow to whole blocks', file, part),
      t("Name blocks, for example {0}.", String(all[0])),
    );
  }
  const chosen = all.filter(isTarget);
  const [first = "", last = ""] = [chosen[0], chosen.at(-1)];
  if (chosen.length === 0 || chosen.length === all.indexOf(last) - all.indexOf(first) + 1) {
    return chosen;
  }
  throw misfit(
    t(
      '{0}: field "target_modules" chooses {1}, with other blocks between them; PEFT asks for blocks in a row.',
      file,
      chosen.join(", "),
    ),
    { file, field: "target_modules" },
  );
}

function indexOf(path: string): number {
  return Number(path.slice(path.lastIndexOf(".") + 1));
}

/** Shapes of what an adapter stores for a block, by the name after the block's path. */
export function blockTensors(
  { r, update_hidden_size: wide }: ShadowConfig,
  base: MethodBase,
): Readonly<Record<string, Shape>> {
  const hidden = hiddenSize(base);
  const width = wide ?? r;
  const shapes: Record<string, Shape> = {
    "shadow_down.default.weight": [r, hidden],
    "shadow_up.default.weight": [hidden, r],
  };
  for (const network of ["shadow_update_transform", "shadow_update_gate"]) {
    shapes[`${network}.default.0.weight`] = [width, hidden];
    shapes[`${network}.default.0.bias`] = [width];
    shapes[`${network}.default.2.weight`] = [hidden, width];
    shapes[`${network}.default.2.bias`] = [hidden];
  }
  return shapes;
}
