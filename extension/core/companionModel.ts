import { t } from "@vscode/l10n";
import * as path from "node:path";
import { unsupported } from "./base/errors.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import type { CausalModel } from "./models/causalModel.ts";
import { buildBackbone } from "./models/index.ts";
import { bareLayers, type LayerHook } from "./onnx/layerHook.ts";
import type { Companion } from "./peft/effect.ts";
import { changeRows, hiddenOutput } from "./peft/slots/slotHook.ts";

/**
 * The graph of an adapter's companion: a decoder of the adapter's weights whose last stream, brought
 * to the size of the base's, is the output.
 * @throws bad-file where a tensor is missing or of another shape than the companion's config asks for;
 * unsupported where base and adapter cannot be mapped together
 */
export function buildCompanion(base: BaseCheckpoint, companion: Companion): CausalModel {
  const { config, sharesEmbedding } = companion;
  const table = "model.embed_tokens.weight";
  const shared = sharesEmbedding ? base.weights.get(table) : undefined;
  const weights = new Map([...companion.weights, ...(shared ? [[table, shared] as const] : [])]);
  const dir = [...companion.weights.values()][0]?.file ?? base.dir;
  if (shared && path.parse(shared.file).root !== path.parse(dir).root) {
    throw unsupported(
      t(
        "{0} lies on another drive than {1}, which the adapter's own decoder reads too",
        dir,
        shared.file,
      ),
      t("Copy the adapter to the base's drive."),
    );
  }
  // Its layers have names of the base's, but no weights of theirs.
  const { packed: _, unpacked: __, ...plain } = base;
  return buildBackbone({ ...plain, dir, config, weights }, hookOf(companion));
}

function hookOf({ sharesEmbedding, projection, hidden }: Companion): LayerHook {
  return {
    ...bareLayers,
    // What the adapter adds to the base's embedding is added here too.
    embedding: (g, path, { rows }) =>
      sharesEmbedding ? changeRows(g, path, { rows, size: hidden }) : rows,
    hidden: (g, stream, size) => {
      const state = projection
        ? g.matMulTransposed(stream, g.float32s("projection", projection, [hidden, size]))
        : stream;
      g.output(state, hiddenOutput, "float32", ["batch", "seq", hidden]);
    },
  };
}
