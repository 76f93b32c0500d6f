import { fromFloat32 } from "../base/halfFloat.ts";
import type { DecoderPorts, PastPort } from "../models/decoderPorts.ts";
import { plainTensor, type Tensor } from "./ortSession.ts";
import type { NewTokens, Past } from "./past.ts";

/**
 * The past of an ONNX export: what one run gives as present is the past of the next, in the export's
 * own types and under its own names.
 */
export class GrowingPast implements Past {
  readonly outputs: readonly string[];
  length = 0;
  private tensors: ReadonlyMap<PastPort, Tensor>;

  constructor(
    private readonly ports: DecoderPorts,
    readonly batch: number,
  ) {
    this.outputs = ports.past.map(({ present }) => present);
    this.tensors = new Map(
      ports.past.map((port) => [port, plainTensor(port.type, 0, [batch, port.heads, 0, port.dim])]),
    );
  }

  get capacity(): number {
    return this.length;
  }

  truncate(length: number): void {
    if (length >= this.length) return;
    this.length = length;
    this.tensors = new Map(
      [...this.tensors].map(([port, tensor]) => [port, this.cut(port, tensor, length)]),
    );
  }

  begin(rows: Float32Array, count: number): void {
    const { past } = this.ports;
    const size = rows.length / past.length;
    this.tensors = new Map(
      past.map((port, i) => {
        const own = rows.slice(i * size, (i + 1) * size);
        const data = port.type === "float16" ? halves(own) : own;
        return [port, plainTensor(port.type, data, [this.batch, port.heads, count, port.dim])];
      }),
    );
    this.length = count;
  }

  feed(feeds: Record<string, Tensor>, { ids, positions, seen }: NewTokens): void {
    const { tokens, mask, positions: places, useCache, fixed } = this.ports;
    const shape = [this.batch, ids[0]?.length ?? 0];
    feeds[tokens.name] = plainTensor(tokens.type, ids.flat(), shape);
    if (places) feeds[places.name] = plainTensor(places.type, positions.flat(), shape);
    if (mask) {
      const width = seen[0]?.length ?? 0;
      feeds[mask.name] = plainTensor(mask.type, seen.flat(), [this.batch, width]);
    }
    if (useCache) feeds[useCache.name] = plainTensor("bool", [Number(this.length > 0)], [1]);
    for (const { port, shape: own } of fixed) feeds[port.name] = plainTensor(port.type, 0, own);
    for (const [port, tensor] of this.tensors) feeds[port.name] = tensor;
  }

  take(results: Record<string, Tensor>, seq: number): void {
    this.tensors = new Map(this.ports.past.map((port) => [port, results[port.present] as Tensor]));
    this.length += seq;
  }

  /** The first places of [batch, heads, places, dim]. */
  private cut({ type, heads, dim }: PastPort, { data, dims }: Tensor, length: number): Tensor {
    const values = data as Float32Array | Uint16Array;
    const [from, to] = [(dims[2] ?? 0) * dim, length * dim];
    const out = values.slice(0, this.batch * heads * to);
    for (let row = 0; row < this.batch * heads; row++) {
      out.set(values.subarray(row * from, row * from + to) as Float32Array, row * to);
    }
    return plainTensor(type, out, [this.batch, heads, length, dim]);
  }
}

function halves(values: Float32Array): Uint16Array {
  const bytes = fromFloat32(values, "F16");
  return new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
}
