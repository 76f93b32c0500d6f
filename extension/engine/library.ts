import { t } from "@vscode/l10n";
import { realpath } from "node:fs/promises";
import * as path from "node:path";
import { GraftError, throwIfAborted, unsupported } from "../core/base/errors.ts";
import { type BaseModel, loadBaseModel, type LoadBaseModelOptions } from "../core/baseModel.ts";
import { PeftModel } from "../core/peftModel.ts";
import type { AnswerOptions } from "../core/answer.ts";
import type { ReadingParams } from "../protocol/generationContract.ts";

/** The real path of a folder. An .onnx file keeps its name, which in the Hub's cache is a link's. */
async function modelId(place: string): Promise<string> {
  const isFile = place.endsWith(".onnx");
  const folder = isFile ? path.dirname(place) : place;
  const real = await realpath(folder).catch(() => folder);
  return isFile ? path.join(real, path.basename(place)) : real;
}

/** How a base is to be loaded, where that was chosen; another wish loads it anew. */
export type LoadWish = Pick<
  LoadBaseModelOptions,
  "precision" | "device" | "memory" | "allowTooLarge" | "quantCacheDir"
>;

interface Open {
  readonly model: PeftModel;
  readonly wish: string;
}

interface Draft {
  readonly wish: string;
  readonly base: Promise<BaseModel>;
}

type ReadAhead = Pick<AnswerOptions, "speculation" | "draftModel">;

/** Frees a draft model once the answers that use it have ended. */
async function dropped(draft: Draft | null): Promise<void> {
  const base = await draft?.base.catch(() => null);
  await base?.session.dispose();
}

/** The open models of the engine, by the real path of their folder. */
export class Library {
  private readonly models = new Map<string, Open>();
  private readonly loading = new Map<string, Promise<PeftModel>>();
  private reading: ReadingParams = {
    speculation: "auto",
    draftModel: null,
    draftPrecision: "auto",
  };
  private draft: Draft | null = null;

  /** The model of a folder; one that is open in another way is loaded anew, and the old one goes last. */
  async open(
    folder: string,
    options: LoadWish & Pick<LoadBaseModelOptions, "forAdapter" | "onProgress" | "signal"> = {},
  ): Promise<PeftModel> {
    const id = await modelId(folder);
    const { onProgress: _progress, forAdapter: _adapter, signal, ...rest } = options;
    const wish = JSON.stringify(rest);
    const open = this.models.get(id);
    if (open?.wish === wish) return open.model;
    const underWay = this.loading.get(id);
    if (underWay) {
      // Whoever began it may stop it; that is no wish of this caller.
      await underWay.catch(() => undefined);
      throwIfAborted(signal);
      return this.open(folder, options);
    }
    const loading = loadBaseModel(folder, options).then((base) => new PeftModel(base));
    this.loading.set(id, loading);
    try {
      const model = await loading;
      this.models.set(id, { model, wish });
      await open?.model.dispose();
      return model;
    } finally {
      this.loading.delete(id);
    }
  }

  require(id: string): PeftModel {
    const open = this.models.get(id);
    if (!open)
      throw new GraftError("not-found", t("The base model {0} is not loaded. Load it first.", id));
    return open.model;
  }

  find(id: string | undefined): PeftModel | undefined {
    return id === undefined ? undefined : this.models.get(id)?.model;
  }

  /** How tokens of the answers to come are read ahead. */
  setReading(reading: ReadingParams): void {
    this.reading = reading;
  }

  /** What an answer of a model is read ahead with; the draft model is loaded where it is not yet. */
  async readingOf(model: PeftModel, signal: AbortSignal): Promise<ReadAhead> {
    const { speculation, draftModel, draftPrecision: precision } = this.reading;
    if (speculation === "off" || draftModel === null) return { speculation };
    const id = await modelId(draftModel);
    if (id === (await modelId(model.base.checkpoint.dir))) {
      throw unsupported(
        t("{0} is the model that answers: as its own draft model it would save nothing", id),
        t("Choose a smaller one in the setting graft.generation.draftModel, or none."),
      );
    }
    const wish = JSON.stringify({ id, precision });
    if (this.draft?.wish !== wish) {
      const before = this.draft;
      const base = loadBaseModel(draftModel, { precision, signal });
      this.draft = { wish, base };
      base.catch(() => (this.draft = this.draft?.wish === wish ? null : this.draft));
      await dropped(before);
    }
    return { speculation, draftModel: await this.draft.base };
  }

  async close(id: string): Promise<void> {
    const model = this.require(id);
    this.models.delete(id);
    if (this.models.size === 0) {
      const { draft } = this;
      this.draft = null;
      await dropped(draft);
    }
    await model.dispose();
  }
}
