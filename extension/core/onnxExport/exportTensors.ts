import type { LinearModule } from "../onnx/layerHook.ts";
import type { GraphIndex } from "./graphIndex.ts";
import type { ExportMap, MappedLinear } from "./mapModules.ts";
import { readFloats, readTable, readWeight } from "./readWeight.ts";

/** The numbers in an export by their Hugging Face names, rounded weights as what they stand for. */
export class ExportTensors {
  /** The last product that was read: packed layers are asked for one after another. */
  private last: { of: MappedLinear; values: Promise<Float32Array> } | null = null;

  constructor(
    private readonly index: GraphIndex,
    private readonly map: ExportMap,
  ) {}

  /** "model.layers.0.mlp.up_proj.weight" as fp32, a Linear's as [out, in]; null where there is none. */
  async read(name: string, signal?: AbortSignal): Promise<Float32Array | null> {
    const path = name.replace(/\.(weight|bias)$/, "");
    const isBias = name.endsWith(".bias");
    const norm = this.map.norms.find(({ key }) => key === (isBias ? name : path));
    if (norm) return readFloats(norm.tensor, signal);
    const table = isBias
      ? undefined
      : this.map.embeddings.find(({ module }) => module.path === path);
    if (table?.weight) return readTable(table.weight, signal);
    const linear = this.map.linears.find(({ modules }) =>
      modules.some((each) => each.path === path),
    );
    if (linear) return isBias ? readBias(linear, path, signal) : this.rowsOf(linear, path, signal);
    const tied = this.map.linears.find(({ modules }) =>
      modules.some((each) => each.weight === name),
    );
    if (tied) return this.rowsOf(tied, (tied.modules[0] as LinearModule).path, signal);
    const tensor = this.index.constant(name);
    return tensor ? readFloats(tensor, signal) : null;
  }

  private async rowsOf(
    linear: MappedLinear,
    path: string,
    signal?: AbortSignal,
  ): Promise<Float32Array> {
    if (this.last?.of !== linear) {
      this.last = { of: linear, values: readWeight(linear.site.weight, signal) };
    }
    const [from, to] = placeOf(linear, path);
    try {
      const all = await this.last.values;
      const { in: inputs } = linear.site;
      return linear.modules.length === 1 ? all : all.slice(from * inputs, to * inputs);
    } catch (error) {
      this.last = null;
      throw error;
    }
  }
}

async function readBias(
  linear: MappedLinear,
  path: string,
  signal?: AbortSignal,
): Promise<Float32Array | null> {
  if (!linear.site.bias) return null;
  const all = await readFloats(linear.site.bias, signal);
  return all.slice(...placeOf(linear, path));
}

/** Which outputs of a product are a module's. */
function placeOf({ modules }: MappedLinear, path: string): [number, number] {
  let from = 0;
  for (const module of modules) {
    if (module.path === path) return [from, from + module.out];
    from += module.out;
  }
  return [0, from];
}
