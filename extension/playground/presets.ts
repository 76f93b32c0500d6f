import type { Preset } from "../protocol/playgroundContract.ts";

const key = "graft.playground.presets";
const mostKept = 50;

/** Where presets are kept: the part of VS Code's globalState that is needed. */
export interface Memory {
  get(key: string): unknown;
  update(key: string, value: unknown): PromiseLike<void>;
}

/** Named sets of columns and settings, in the order of their names. */
export class Presets {
  constructor(private readonly memory: Memory) {}

  list(): Preset[] {
    const saved = this.memory.get(key);
    return Array.isArray(saved) ? (saved as Preset[]) : [];
  }

  /** One of the same name is replaced. */
  async save(preset: Preset): Promise<Preset[]> {
    const others = this.list().filter(({ name }) => name !== preset.name);
    const presets = [...others, preset].slice(-mostKept);
    return this.store(presets.sort((a, b) => a.name.localeCompare(b.name)));
  }

  delete(name: string): Promise<Preset[]> {
    return this.store(this.list().filter((preset) => preset.name !== name));
  }

  private async store(presets: Preset[]): Promise<Preset[]> {
    await this.memory.update(key, presets);
    return presets;
  }
}
