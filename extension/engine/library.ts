import { realpath } from "node:fs/promises";
import * as path from "node:path";
import { GraftError, throwIfAborted } from "../core/base/errors.ts";
import { loadBaseModel, type OnProgress } from "../core/baseModel.ts";
import { PeftModel } from "../core/peftModel.ts";

/** The real path of a folder. An .onnx file keeps its name, which in the Hub's cache is a link's. */
async function modelId(place: string): Promise<string> {
  const isFile = place.endsWith(".onnx");
  const folder = isFile ? path.dirname(place) : place;
  const real = await realpath(folder).catch(() => folder);
  return isFile ? path.join(real, path.basename(place)) : real;
}

/** The open models of the engine, by the real path of their folder. */
export class Library {
  private readonly models = new Map<string, PeftModel>();
  private readonly loading = new Map<string, Promise<PeftModel>>();

  async open(
    folder: string,
    options: { forAdapter?: string; onProgress?: OnProgress; signal?: AbortSignal },
  ): Promise<PeftModel> {
    const id = await modelId(folder);
    const open = this.models.get(id);
    if (open) return open;
    const underWay = this.loading.get(id);
    if (underWay) {
      // Whoever began it may stop it; that is no wish of this caller.
      await underWay.catch(() => undefined);
      throwIfAborted(options.signal);
      return this.open(folder, options);
    }
    const loading = loadBaseModel(folder, options).then((base) => new PeftModel(base));
    this.loading.set(id, loading);
    try {
      const model = await loading;
      this.models.set(id, model);
      return model;
    } finally {
      this.loading.delete(id);
    }
  }

  require(id: string): PeftModel {
    const model = this.models.get(id);
    if (!model)
      throw new GraftError("not-found", `The base model ${id} is not loaded. Load it first.`);
    return model;
  }

  find(id: string | undefined): PeftModel | undefined {
    return id === undefined ? undefined : this.models.get(id);
  }

  async close(id: string): Promise<void> {
    const model = this.require(id);
    this.models.delete(id);
    await model.dispose();
  }
}
