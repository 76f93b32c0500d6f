import { randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import * as path from "node:path";
import type { ConversationSummary, SavedConversation } from "../protocol/playgroundContract.ts";
import { columnTitle } from "./columnTitle.ts";

/** So many conversations are kept; the oldest go first. */
const mostKept = 200;
/** A conversation that is larger than this is kept without what its tokens could have been. */
const mostBytes = 1_000_000;

/** Earlier conversations, a file each: windows that are open at once do not overwrite each other. */
export class History {
  constructor(private readonly folder: string) {}

  async keep(conversation: SavedConversation): Promise<void> {
    const file = this.fileOf(conversation.id);
    if (!file) return;
    const whole = JSON.stringify(conversation);
    const text = whole.length > mostBytes ? JSON.stringify(withoutDetails(conversation)) : whole;
    await mkdir(this.folder, { recursive: true });
    // A window that closes meanwhile leaves the file as it was.
    const temporary = `${file}.${randomUUID()}.tmp`;
    await writeFile(temporary, text);
    await rename(temporary, file);
    await this.dropOldest();
  }

  /** @param search words that prompts or answers must hold, all of them, in any case */
  async list(search = ""): Promise<ConversationSummary[]> {
    const words = search.toLowerCase().split(/\s+/).filter(Boolean);
    const all = await Promise.all((await this.ids()).map((id) => this.open(id)));
    return all
      .filter((each) => each !== null)
      .filter((each) => words.every((word) => searchable(each).includes(word)))
      .map(summaryOf)
      .sort((a, b) => b.changed - a.changed);
  }

  /** Null when it is not there, or is no conversation. */
  async open(id: string): Promise<SavedConversation | null> {
    const file = this.fileOf(id);
    if (!file) return null;
    try {
      const saved: unknown = JSON.parse(await readFile(file, "utf8"));
      return isConversation(saved) ? saved : null;
    } catch {
      // Deleted meanwhile, or written by something else: not in the list then.
      return null;
    }
  }

  async delete(id: string): Promise<void> {
    const file = this.fileOf(id);
    if (file) await rm(file, { force: true });
  }

  async clear(): Promise<number> {
    const ids = await this.ids();
    await Promise.all(ids.map((id) => this.delete(id)));
    return ids.length;
  }

  private async ids(): Promise<string[]> {
    const names = await readdir(this.folder).catch(() => []);
    return names.filter((name) => name.endsWith(".json")).map((name) => name.slice(0, -5));
  }

  /** An id comes from a page, so it must not lead out of the folder. */
  private fileOf(id: string): string | undefined {
    return /^[\w-]{1,64}$/.test(id) ? path.join(this.folder, `${id}.json`) : undefined;
  }

  private async dropOldest(): Promise<void> {
    const ids = await this.ids();
    if (ids.length <= mostKept) return;
    const dated = await Promise.all(
      ids.map(async (id) => {
        const facts = await stat(path.join(this.folder, `${id}.json`)).catch(() => null);
        return { id, time: facts?.mtimeMs ?? 0 };
      }),
    );
    dated.sort((a, b) => a.time - b.time);
    await Promise.all(dated.slice(0, ids.length - mostKept).map(({ id }) => this.delete(id)));
  }
}

function isConversation(saved: unknown): saved is SavedConversation {
  const { id, exchanges, columns } = (saved ?? {}) as Partial<SavedConversation>;
  return typeof id === "string" && Array.isArray(exchanges) && Array.isArray(columns);
}

function summaryOf({ id, changed, columns, exchanges }: SavedConversation): ConversationSummary {
  const title = exchanges[0]?.prompt.replace(/\s+/g, " ").trim().slice(0, 120) ?? "";
  return { id, changed, title, columns: columns.map(columnTitle), exchanges: exchanges.length };
}

function searchable({ exchanges }: SavedConversation): string {
  const texts = exchanges.flatMap(({ prompt, answers }) => [
    prompt,
    ...Object.values(answers).map(({ text }) => text),
  ]);
  return texts.join("\n").toLowerCase();
}

function withoutDetails(conversation: SavedConversation): SavedConversation {
  const exchanges = conversation.exchanges.map((exchange) => ({
    ...exchange,
    answers: Object.fromEntries(
      Object.entries(exchange.answers).map(([id, answer]) => [id, { ...answer, details: [] }]),
    ),
  }));
  return { ...conversation, exchanges };
}
