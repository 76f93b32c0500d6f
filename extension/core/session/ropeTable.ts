import type { RotaryTable } from "../models/rope.ts";

/** In rows. */
const smallestTable = 256;

/** cos and sin of position · inverse frequency, grown on demand; rows are positions. */
export class RopeTable {
  private cosines = new Float32Array(0);
  private sines = new Float32Array(0);
  private inverseFrequencies = new Float32Array(0);

  constructor(private readonly table: RotaryTable) {}

  /**
   * At least the first `rows` rows, each [size / 2], for a sequence of `length` tokens; computed in fp32
   * steps as transformers does. All that there are, as ONNX Runtime plans its memory anew for every
   * shape that it meets.
   */
  rows(
    rows: number,
    length = rows,
  ): { cos: Float32Array; sin: Float32Array; shape: [number, number] } {
    const frequencies = this.table.frequencies(length);
    const width = frequencies.length;
    if (frequencies !== this.inverseFrequencies) {
      this.inverseFrequencies = frequencies as Float32Array<ArrayBuffer>;
      this.cosines = new Float32Array(0);
    }
    if (this.cosines.length < rows * width)
      this.grow(Math.max(rows, smallestTable, 2 * this.count));
    return { cos: this.cosines, sin: this.sines, shape: [this.count, width] };
  }

  private get count(): number {
    return this.cosines.length / this.inverseFrequencies.length;
  }

  private grow(rows: number): void {
    const width = this.inverseFrequencies.length;
    const factor = this.table.attentionFactor;
    const cosines = new Float32Array(rows * width);
    const sines = new Float32Array(rows * width);
    for (let position = 0; position < rows; position++) {
      for (let i = 0; i < width; i++) {
        const angle = Math.fround(position * (this.inverseFrequencies[i] as number));
        cosines[position * width + i] = Math.cos(angle) * factor;
        sines[position * width + i] = Math.sin(angle) * factor;
      }
    }
    this.cosines = cosines;
    this.sines = sines;
  }
}
