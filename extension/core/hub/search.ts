import { listModels } from "@huggingface/hub";
import { throughLibrary } from "./library.ts";
import { answerError } from "./repo.ts";
import { type HubOptions, hubSettings } from "./settings.ts";

/** A model that the Hub lists, as far as the list tells. */
export interface HubModel {
  readonly id: string;
  readonly likes: number;
  readonly downloads: number;
  /** ISO date. */
  readonly updated: string;
  readonly isPrivate: boolean;
  readonly isGated: boolean;
  /** As the card says it ("apache-2.0"); null when it does not. */
  readonly licence: string | null;
  /** Ids of the bases that the card names. */
  readonly bases: readonly string[];
  readonly library: string | null;
  readonly task: string | null;
}

export interface SearchOptions extends HubOptions {
  /** Words in the model's name. */
  readonly query?: string | undefined;
  /** At most so many; 30. */
  readonly limit?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Adapters that PEFT wrote, the most downloaded first; of one base when its id is given. */
export async function searchAdapters({
  base,
  ...options
}: SearchOptions & { base?: string | undefined } = {}): Promise<HubModel[]> {
  const ofBase = base === undefined ? [] : [`base_model:adapter:${base}`];
  return search(["peft", ...ofBase], options);
}

/** Models to be a base: safetensors for generating text unless the words ask for others. */
export async function searchModels(options: SearchOptions = {}): Promise<HubModel[]> {
  return search(["transformers"], options);
}

async function search(
  tags: string[],
  { query, limit = 30, signal, ...options }: SearchOptions,
): Promise<HubModel[]> {
  const settings = await hubSettings(options);
  const about = {};
  const models: HubModel[] = [];
  try {
    const found = listModels({
      search: { tags, ...(query && { query }) },
      additionalFields: ["tags", "library_name"],
      sort: "downloads",
      limit,
      ...throughLibrary(settings, { about, signal }),
    });
    for await (const each of found) models.push(toModel(each));
  } catch (error) {
    throw answerError(error, about);
  }
  return models;
}

type Listed = Awaited<ReturnType<ReturnType<typeof listModels>["next"]>>["value"] & {
  tags?: unknown;
  library_name?: unknown;
};

function toModel(model: Listed): HubModel {
  const given: unknown[] = Array.isArray(model.tags) ? model.tags : [];
  const tags = given.filter((tag): tag is string => typeof tag === "string");
  const after = (start: string): string[] =>
    tags.flatMap((tag) => (tag.startsWith(start) ? [tag.slice(start.length)] : []));
  const library = model.library_name;
  return {
    id: String(model.name),
    likes: Number(model.likes) || 0,
    downloads: Number(model.downloads) || 0,
    updated: Number.isNaN(model.updatedAt.getTime()) ? "" : model.updatedAt.toISOString(),
    isPrivate: model.private === true,
    isGated: model.gated !== false && model.gated !== undefined,
    licence: after("license:")[0] ?? null,
    bases: after("base_model:adapter:"),
    library: typeof library === "string" ? library : null,
    task: model.task ?? null,
  };
}
